// A ZIP archive of files that are compressed already: they are stored as they are. APPNOTE.TXT of PKWARE, 4.3.

const LOCAL = 0x04034b50, CENTRAL = 0x02014b50, END = 0x06054b50;
const VERSION = 20, UTF8 = 1 << 11;
const DATE = ((2020 - 1980) << 9) | (1 << 5) | 1; // the pictures carry their own

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let value = n;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

export function crc32(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = TABLE[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

/** A record of numbers, [bytes, value] each. */
function record(...fields) {
  const view = new DataView(new ArrayBuffer(fields.reduce((sum, [bytes]) => sum + bytes, 0)));
  let at = 0;
  for (const [bytes, value] of fields) {
    if (bytes === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += bytes;
  }
  return view.buffer;
}

/** @param {[string, Blob][]} files by their names, which differ */
export async function zip(files) {
  const pieces = [], entries = [];
  let at = 0;
  for (const [name, blob] of files) {
    const text = new TextEncoder().encode(name), bytes = new Uint8Array(await blob.arrayBuffer());
    const facts = [[2, UTF8], [2, 0], [2, 0], [2, DATE], [4, crc32(bytes)], [4, bytes.length], [4, bytes.length], [2, text.length], [2, 0]];
    const head = record([4, LOCAL], [2, VERSION], ...facts);
    entries.push(record([4, CENTRAL], [2, VERSION], [2, VERSION], ...facts, [2, 0], [2, 0], [2, 0], [4, 0], [4, at]), text);
    pieces.push(head, text, bytes);
    at += head.byteLength + text.length + bytes.length;
  }
  const length = entries.reduce((sum, one) => sum + one.byteLength, 0);
  const end = record([4, END], [2, 0], [2, 0], [2, files.length], [2, files.length], [4, length], [4, at], [2, 0]);
  return new Blob([...pieces, ...entries, end], { type: "application/zip" });
}
