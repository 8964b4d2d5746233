// The masks of a scene by their numbers. Arrays are shared with the history, so a gesture clones before it paints.

import { paint } from "./brush.js";

export class Masks {
  constructor(size) {
    this.size = size;
    this.arrays = new Map();
    this.outlines = new WeakMap();
    this.tints = new WeakMap();
    this.pooled = new WeakMap();
    this.empty = new Uint8Array(size * size);
  }

  /** Not to be changed; see detach(). */
  get(number) {
    return this.arrays.get(number) ?? this.empty;
  }

  isEmpty(number) {
    return !this.get(number).some(Boolean);
  }

  set(number, pixels) {
    this.arrays.set(number, pixels);
  }

  /** From here on the mask may be painted without changing what the history remembers. */
  detach(number) {
    const copy = this.get(number).slice();
    this.arrays.set(number, copy);
    return copy;
  }

  paint(number, points, brush) {
    const pixels = this.get(number);
    paint(pixels, this.size, points, brush);
    this.outlines.delete(pixels);
    this.tints.delete(pixels);
    this.pooled.delete(pixels);
  }

  /** What a slider makes of a mask: side×side values, each the largest of the pixels in its cell. */
  cells(number, side) {
    const pixels = this.get(number);
    let cells = this.pooled.get(pixels);
    if (cells) return cells;
    cells = new Uint8Array(side * side);
    const step = this.size / side;
    pixels.forEach((value, i) => {
      const at = Math.floor(Math.floor(i / this.size) / step) * side + Math.floor((i % this.size) / step);
      cells[at] = Math.max(cells[at], value);
    });
    this.pooled.set(pixels, cells);
    return cells;
  }

  /** The border of a mask as a Path2D in its pixels, found by marching squares. */
  outline(number) {
    const pixels = this.get(number);
    let path = this.outlines.get(pixels);
    if (!path) this.outlines.set(pixels, (path = trace(pixels, this.size)));
    return path;
  }

  /** A canvas size×size of one colour with the mask as its alpha. */
  tint(number, colour) {
    const pixels = this.get(number);
    const kept = this.tints.get(pixels);
    if (kept?.colour === colour) return kept.canvas;
    const canvas = kept?.canvas ?? new OffscreenCanvas(this.size, this.size);
    const context = canvas.getContext("2d");
    const image = context.createImageData(this.size, this.size);
    const [red, green, blue] = [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
    for (let i = 0, at = 0; i < pixels.length; i++) {
      image.data[at++] = red;
      image.data[at++] = green;
      image.data[at++] = blue;
      image.data[at++] = pixels[i];
    }
    context.putImageData(image, 0, 0);
    this.tints.set(pixels, { canvas, colour });
    return canvas;
  }

  snapshot() {
    return new Map(this.arrays);
  }

  restore(snapshot) {
    this.arrays = new Map(snapshot);
  }
}

const LEVEL = 127.5;

function trace(pixels, size) {
  const path = new Path2D();
  // One ring of emptiness around the image closes every contour at its border.
  const at = (x, y) => (x < 0 || y < 0 || x >= size || y >= size ? 0 : pixels[y * size + x]);
  const cut = (a, b) => (LEVEL - a) / (b - a);
  for (let y = -1; y < size; y++) {
    for (let x = -1; x < size; x++) {
      const a = at(x, y), b = at(x + 1, y), c = at(x + 1, y + 1), d = at(x, y + 1);
      const kind = (a > LEVEL ? 1 : 0) | (b > LEVEL ? 2 : 0) | (c > LEVEL ? 4 : 0) | (d > LEVEL ? 8 : 0);
      if (kind === 0 || kind === 15) continue;
      const ox = x + 0.5, oy = y + 0.5;
      /** @type {(() => [number, number])[]} */
      const edges = [
        () => [ox + cut(a, b), oy],
        () => [ox + 1, oy + cut(b, c)],
        () => [ox + cut(d, c), oy + 1],
        () => [ox, oy + cut(a, d)],
      ];
      for (const [from, to] of SEGMENTS[kind]) {
        path.moveTo(...edges[from]());
        path.lineTo(...edges[to]());
      }
    }
  }
  return path;
}

// Which edges (top, right, bottom, left) a contour joins, by the corners that are inside.
const SEGMENTS = [
  [], [[3, 0]], [[0, 1]], [[3, 1]], [[1, 2]], [[3, 0], [1, 2]], [[0, 2]], [[3, 2]],
  [[2, 3]], [[2, 0]], [[0, 1], [2, 3]], [[2, 1]], [[1, 3]], [[1, 0]], [[0, 3]], [],
];
