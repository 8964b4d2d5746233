// Masks by other means than the brush: filled outlines, turned inside out, feathered, from and to a picture.

/** Fill a closed outline (x, y, x, y, … in pixels) as a mask of size×size, smooth at its border. */
export function fill(size, points) {
  const canvas = new OffscreenCanvas(size, size);
  const context = canvas.getContext("2d");
  context.beginPath();
  for (let i = 0; i < points.length; i += 2) context.lineTo(points[i], points[i + 1]);
  context.fill();
  const { data } = context.getImageData(0, 0, size, size);
  return Uint8Array.from({ length: size * size }, (_, i) => data[4 * i + 3]);
}

/** Both together, or what is left of the first without the second. */
export function join(pixels, added, erase) {
  return pixels.map((value, i) => (erase ? Math.min(value, 255 - added[i]) : Math.max(value, added[i])));
}

export const invert = (pixels) => pixels.map((value) => 255 - value);

/** Softer at its border: three means over squares, which come close to a Gaussian of this radius. */
export function feather(pixels, size, radius) {
  let now = Float32Array.from(pixels);
  for (let pass = 0; pass < 3; pass++) now = means(means(now, size, radius, 1, size), size, radius, size, 1);
  return Uint8Array.from(now, Math.round);
}

/** Means along one axis; step: between neighbours, line: between lines. The border goes on outside. */
function means(values, size, radius, step, line) {
  const out = new Float32Array(values.length);
  for (let row = 0; row < size; row++) {
    const at = (i) => values[row * line + Math.max(0, Math.min(size - 1, i)) * step];
    let sum = 0;
    for (let i = -radius; i <= radius; i++) sum += at(i);
    for (let i = 0; i < size; i++) {
      out[row * line + i * step] = sum / (2 * radius + 1);
      sum += at(i + radius + 1) - at(i - radius);
    }
  }
  return out;
}

/** A picture's brightness as a mask of size×size. */
export async function fromPicture(blob, size) {
  const options = { resizeWidth: size, resizeHeight: size, resizeQuality: /** @type {const} */ ("high") };
  const bitmap = await createImageBitmap(blob, options).catch(() => {
    throw new Error("this is not a picture that the browser can read");
  });
  const context = new OffscreenCanvas(size, size).getContext("2d");
  context.fillRect(0, 0, size, size);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const { data } = context.getImageData(0, 0, size, size);
  // Brightness as Rec. 601 weighs it; grey stays what it is.
  return Uint8Array.from({ length: size * size }, (_, i) =>
    Math.round(0.299 * data[4 * i] + 0.587 * data[4 * i + 1] + 0.114 * data[4 * i + 2]),
  );
}

/** A mask as a grey PNG. */
export function toPicture(pixels, size) {
  const canvas = new OffscreenCanvas(size, size);
  const context = canvas.getContext("2d");
  const image = context.createImageData(size, size);
  pixels.forEach((value, i) => image.data.set([value, value, value, 255], 4 * i));
  context.putImageData(image, 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}
