// Pictures to arrays and back.

import { drawReflected } from "../reflect.js";

const FINE = 4; // how much finer than wanted a photo is sampled, at most

/** A picture of size×size as 3×S×S in [-1, 1]. */
export function toInput(bitmap, size) {
  const context = new OffscreenCanvas(size, size).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, size, size);
  const area = size * size, out = new Float32Array(3 * area);
  for (let i = 0; i < area; i++) for (let c = 0; c < 3; c++) out[c * area + i] = data[4 * i + c] / 127.5 - 1;
  return out;
}

/** 3×S×S in [-1, 1] as ImageData. */
export function toImageData(image, size) {
  const area = size * size, data = new Uint8ClampedArray(4 * area).fill(255);
  for (let i = 0; i < area; i++) for (let c = 0; c < 3; c++) data[4 * i + c] = (image[c * area + i] + 1) * 127.5;
  return new ImageData(data, size, size);
}

/** Pictures side by side as a PNG. */
export function toPng(images, size) {
  const canvas = new OffscreenCanvas(size * images.length, size);
  const context = canvas.getContext("2d");
  images.forEach((image, index) => context.putImageData(toImageData(image, size), index * size, 0));
  return canvas.convertToBlob({ type: "image/png" });
}

/** The square of a photo as a canvas of size×size; crop as photos.Crop. What lies outside is its reflection. */
export async function cut(file, size, { cx, cy, side, angle }) {
  const photo = await createImageBitmap(file).catch(() => {
    throw new Error("this is not a photo the browser can read");
  });
  const wanted = side * Math.min(photo.width, photo.height);
  let fine = size * Math.min(FINE, Math.max(1, Math.ceil(wanted / size)));
  let canvas = new OffscreenCanvas(fine, fine);
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.translate(fine / 2, fine / 2);
  context.rotate((-angle * Math.PI) / 180);
  context.scale(fine / wanted, fine / wanted);
  context.translate(-cx * photo.width, -cy * photo.height);
  drawReflected(context, photo);
  photo.close();
  if (fine > size) {
    const small = new OffscreenCanvas(size, size);
    const target = small.getContext("2d");
    target.imageSmoothingQuality = "high";
    target.drawImage(canvas, 0, 0, size, size);
    canvas = small;
  }
  return canvas;
}
