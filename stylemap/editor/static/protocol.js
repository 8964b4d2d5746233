// The messages of protocol.py, from the browser's side. Little endian throughout.

/** Of protocol.py. */
export const VERSION = 3;
const STROKE = 1, MASK = 2, ACK = 3, CAMERA = 4, FRAME = 1;
const ERASE = 1, FINAL = 2, PIXELS = 4, EXACT = 1, IN_PIXELS = 2;
export const PIXEL_BYTES = 3 * 128 * 128;

function header(bytes, kind, flags, mask, seq) {
  const view = new DataView(new ArrayBuffer(bytes));
  view.setUint8(0, kind);
  view.setUint8(1, flags);
  view.setUint16(2, mask, true);
  view.setUint32(4, seq, true);
  return view;
}

/** points: x, y, x, y, … in pixels of the mask; numbers are float32 already, as the brush painted them. */
export function stroke(mask, seq, points, brush, final) {
  const flags = (brush.erase ? ERASE : 0) | (final ? FINAL : 0);
  const view = header(16 + 4 * points.length, STROKE, flags, mask, seq);
  view.setFloat32(8, brush.radius, true);
  view.setFloat32(12, brush.hardness, true);
  points.forEach((value, i) => view.setFloat32(16 + 4 * i, value, true));
  return view.buffer;
}

/** The whole mask, in runs. */
export function mask(number, seq, pixels, final) {
  const runs = encodeRuns(pixels);
  const view = header(8 + runs.length, MASK, final ? FINAL : 0, number, seq);
  new Uint8Array(view.buffer, 8).set(runs);
  return view.buffer;
}

/** A camera's picture: a file as an ArrayBuffer, or its pixels as ImageData. */
export function cameraPicture(seq, picture) {
  if (picture instanceof ArrayBuffer) {
    const view = header(8 + picture.byteLength, CAMERA, 0, 0, seq);
    new Uint8Array(view.buffer, 8).set(new Uint8Array(picture));
    return view.buffer;
  }
  const { data } = picture, view = header(8 + (data.length / 4) * 3, CAMERA, PIXELS, 0, seq);
  const rgb = new Uint8Array(view.buffer, 8);
  for (let from = 0, to = 0; to < rgb.length; from += 4, to += 3) {
    rgb[to] = data[from];
    rgb[to + 1] = data[from + 1];
    rgb[to + 2] = data[from + 2];
  }
  return view.buffer;
}

export function ack(frame) {
  return header(8, ACK, 0, 0, frame).buffer;
}

export function parseFrame(buffer) {
  const view = new DataView(buffer);
  if (view.getUint8(0) !== FRAME) throw new Error("not a frame");
  const flags = view.getUint8(1), exact = Boolean(flags & EXACT), body = new Uint8Array(buffer, 16);
  const image = flags & IN_PIXELS ? imageData(body) : new Blob([body], { type: exact ? "image/png" : "image/jpeg" });
  return {
    exact,
    number: view.getUint32(4, true),
    seq: view.getUint32(8, true),
    renderMs: view.getFloat32(12, true),
    image,
  };
}

/** A square of pixels, three bytes each. */
function imageData(rgb) {
  const side = Math.sqrt(rgb.length / 3), image = new ImageData(side, side), { data } = image;
  for (let from = 0, to = 0; from < rgb.length; from += 3, to += 4) {
    data[to] = rgb[from];
    data[to + 1] = rgb[from + 1];
    data[to + 2] = rgb[from + 2];
    data[to + 3] = 255;
  }
  return image;
}

/** What stroke(), mask(), cameraPicture() and ack() made, with the points, runs or file that is in it. */
export function parseChange(buffer) {
  const view = new DataView(buffer);
  const flags = view.getUint8(1);
  const change = { mask: view.getUint16(2, true), seq: view.getUint32(4, true), final: Boolean(flags & FINAL) };
  if (view.getUint8(0) === ACK) return { ...change, kind: "ack" };
  if (view.getUint8(0) === CAMERA) return { ...change, kind: "camera", file: new Uint8Array(buffer, 8) };
  if (view.getUint8(0) === MASK) return { ...change, kind: "mask", runs: new Uint8Array(buffer, 8) };
  const brush = { radius: view.getFloat32(8, true), hardness: view.getFloat32(12, true), erase: Boolean(flags & ERASE) };
  const points = Array.from({ length: (buffer.byteLength - 16) / 4 }, (_, i) => view.getFloat32(16 + 4 * i, true));
  return { ...change, kind: "stroke", brush, points };
}

/** (count u16 · value u8)…, row by row; nothing for an empty mask. */
export function encodeRuns(pixels) {
  if (!pixels.some(Boolean)) return new Uint8Array(0);
  const out = [];
  for (let start = 0; start < pixels.length; ) {
    let end = start + 1;
    while (end < pixels.length && end - start < 0xffff && pixels[end] === pixels[start]) end++;
    out.push((end - start) & 0xff, (end - start) >> 8, pixels[start]);
    start = end;
  }
  return Uint8Array.from(out);
}

export function decodeRuns(runs, length) {
  const pixels = new Uint8Array(length);
  let at = 0;
  for (let i = 0; i + 2 < runs.length; i += 3) {
    const count = runs[i] | (runs[i + 1] << 8);
    pixels.fill(runs[i + 2], at, at + count);
    at += count;
  }
  if (runs.length && at !== length) throw new Error("the mask has another size");
  return pixels;
}
