// A small picture on a large canvas: Lanczos's kernel, which keeps edges that the browser's own scaling blurs.

const LOBES = 3;

const kernel = (x) => {
  if (x === 0) return 1;
  if (Math.abs(x) >= LOBES) return 0;
  const at = Math.PI * x;
  return (LOBES * Math.sin(at) * Math.sin(at / LOBES)) / (at * at);
};

/** For each of side places from `from` on, a step apart, the first of the values it is made of, and their weights. */
function taps(size, from, step, side) {
  const reach = LOBES * Math.max(1, step), count = Math.ceil(2 * reach) + 1;
  const first = new Int32Array(side), weights = new Float32Array(side * count);
  for (let i = 0; i < side; i++) {
    const centre = from + (i + 0.5) * step - 0.5;
    first[i] = Math.ceil(centre - reach);
    let sum = 0;
    for (let k = 0; k < count; k++) sum += weights[i * count + k] = kernel((first[i] + k - centre) / Math.max(1, step));
    for (let k = 0; k < count; k++) weights[i * count + k] /= sum;
  }
  return { first, weights, count, at: (i) => Math.max(0, Math.min(size - 1, i)) };
}

/**
 * A square window of a picture, scaled.
 * @param {Uint8ClampedArray} pixels size×size, RGBA without transparency
 * @param {number} size
 * @param {{x: number, y: number, length: number}} part its corner and side, in pixels of the picture
 * @param {number} side of the result
 */
export function scaled(pixels, size, { x, y, length }, side) {
  const step = length / side;
  const across = taps(size, x, step, side), down = taps(size, y, step, side);
  const top = down.at(down.first[0]), bottom = down.at(down.first[side - 1] + down.count - 1);
  const rows = new Float32Array((bottom - top + 1) * side * 3);
  for (let row = top; row <= bottom; row++) {
    for (let i = 0; i < side; i++) {
      let red = 0, green = 0, blue = 0;
      for (let k = 0; k < across.count; k++) {
        const weight = across.weights[i * across.count + k], at = 4 * (row * size + across.at(across.first[i] + k));
        red += weight * pixels[at];
        green += weight * pixels[at + 1];
        blue += weight * pixels[at + 2];
      }
      const to = 3 * ((row - top) * side + i);
      rows[to] = red;
      rows[to + 1] = green;
      rows[to + 2] = blue;
    }
  }
  return columns(rows, down, top, side);
}

/** The second half: each row of the result from the rows that are scaled across. */
function columns(rows, down, top, side) {
  const image = new ImageData(side, side), { data } = image, line = new Float32Array(3 * side);
  for (let row = 0; row < side; row++) {
    line.fill(0);
    for (let k = 0; k < down.count; k++) {
      const weight = down.weights[row * down.count + k];
      if (weight === 0) continue;
      const from = 3 * side * (down.at(down.first[row] + k) - top);
      for (let i = 0; i < line.length; i++) line[i] += weight * rows[from + i];
    }
    for (let i = 0, to = 4 * side * row; i < line.length; i += 3, to += 4) {
      data[to] = line[i]; // the array rounds and clamps
      data[to + 1] = line[i + 1];
      data[to + 2] = line[i + 2];
      data[to + 3] = 255;
    }
  }
  return image;
}

/** Keeps the last result for each picture: what is at rest is scaled once. */
export class Sharp {
  constructor() {
    this.kept = new WeakMap();
  }

  /** A canvas of side×side with that window of a picture (anything that can be drawn) of size×size. */
  of(picture, size, part, side) {
    const key = [part.x, part.y, part.length, side].join();
    let kept = this.kept.get(picture);
    if (!kept) {
      const context = new OffscreenCanvas(size, size).getContext("2d", { willReadFrequently: true });
      context.drawImage(picture, 0, 0, size, size);
      kept = { pixels: context.getImageData(0, 0, size, size).data };
      this.kept.set(picture, kept);
    }
    if (kept.key !== key) {
      kept.canvas ??= new OffscreenCanvas(side, side);
      if (kept.canvas.width !== side) kept.canvas.width = kept.canvas.height = side;
      kept.canvas.getContext("2d").putImageData(scaled(kept.pixels, size, part, side), 0, 0);
      kept.key = key;
    }
    return kept.canvas;
  }
}
