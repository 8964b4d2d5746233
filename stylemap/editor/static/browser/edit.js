// The blend of stylecodes, and its γ and β: while a mask is painted they are renewed where it changed, because
// convolving all of them takes longer than the rest of the network.

import * as boxes from "./boxes.js";

const REACH = 1; // of the convolution that makes maps, in cells

export class Edit {
  constructor(model) {
    this.model = model;
    this.key = null; // of what the maps were made of, but for the masks
  }

  /**
   * The image 3×S×S of stylecodes with parts of others laid over them.
   * @param {{key: string, codes: Float32Array[]}} base
   * @param {{key: string, codes: Float32Array[], pixels: Uint8Array, changed: object, shift: number[], opacity: number}[]} parts
   *   changed: the pixels of the mask that may differ from the last call with these parts
   * @param {number} weight
   */
  async render(base, parts, weight) {
    const key = JSON.stringify([base.key, weight, parts.map((part) => [part.key, part.shift, part.opacity])]);
    const fresh = key !== this.key;
    this.key = null; // until this call has succeeded
    if (fresh) this.codes = base.codes.map((code) => code.slice());
    const changed = this.model.codes.map((_, level) => this.#blend(level, base, parts, weight, fresh));
    if (fresh) this.maps = await this.model.maps(this.codes.map((data, level) => ({ data, dims: this.model.codes[level] })));
    else await this.#renew(changed);
    const image = await this.model.picture(this.maps);
    this.key = key;
    return image;
  }

  /** Blend one stylecode where masks changed; returns where, in its cells. */
  #blend(level, base, parts, weight, fresh) {
    const { size } = this.model;
    const [channels, side] = this.model.codes[level];
    const factor = size / side;
    const moved = parts.map(({ shift }) => shift.map((pixels) => Math.trunc(pixels / factor)));
    let box = boxes.none(side);
    parts.forEach((part, index) => {
      const own = fresh ? boxes.all(size) : part.changed;
      if (!boxes.isEmpty(own)) box = boxes.join(box, boxes.move(boxes.cells(own, factor), ...moved[index]));
    });
    box = boxes.grow(box, 0, side);
    if (boxes.isEmpty(box)) return box;
    const out = this.codes[level], area = side * side;
    const rows = (work) => {
      for (let y = box.top; y < box.bottom; y++) for (let c = 0; c < channels; c++) work(y, c * area + y * side);
    };
    rows((y, row) => out.set(base.codes[level].subarray(row + box.left, row + box.right), row + box.left));
    parts.forEach((part, index) => {
      const [dx, dy] = moved[index], laid = part.codes[level];
      const on = covered(part.pixels, size, factor, boxes.move(box, -dx, -dy));
      const width = box.right - box.left;
      rows((y, row) => {
        const line = (y - box.top) * width - box.left, from = row - dy * side - dx;
        for (let x = box.left; x < box.right; x++) if (on[line + x]) out[row + x] += weight * part.opacity * (laid[from + x] - out[row + x]);
      });
    });
    return box;
  }

  /** New maps where stylecodes changed: a window of the codes with two cells around it is convolved, and what
   *  the window's own border made wrong is left out. */
  async #renew(changed) {
    if (changed.every(boxes.isEmpty)) return;
    const windows = changed.map((box, level) => {
      const side = this.model.codes[level][1];
      return boxes.isEmpty(box) ? { left: 0, top: 0, right: 1, bottom: 1 } : boxes.grow(box, 2 * REACH, side);
    });
    const made = await this.model.maps(windows.map((window, level) => this.#part(level, window)));
    changed.forEach((box, level) => {
      if (boxes.isEmpty(box)) return;
      const side = this.model.codes[level][1], { data, dims } = made[level], window = windows[level];
      const { left, top, right, bottom } = boxes.grow(box, REACH, side);
      const target = this.maps[level].data;
      for (let c = 0; c < dims[0]; c++) {
        for (let y = top; y < bottom; y++) {
          const from = (c * dims[1] + y - window.top) * dims[2] - window.left;
          target.set(data.subarray(from + left, from + right), (c * side + y) * side + left);
        }
      }
    });
  }

  #part(level, { left, top, right, bottom }) {
    const [channels, side] = this.model.codes[level];
    const dims = [channels, bottom - top, right - left];
    const data = new Float32Array(dims[0] * dims[1] * dims[2]);
    let at = 0;
    for (let c = 0; c < channels; c++) {
      for (let y = top; y < bottom; y++, at += dims[2]) {
        const row = (c * side + y) * side;
        data.set(this.codes[level].subarray(row + left, row + right), at);
      }
    }
    return { data, dims };
  }
}

/** Which cells of a box are on: those with a mean above one half. Outside the picture none are. */
function covered(pixels, size, factor, { left, top, right, bottom }) {
  const width = right - left, side = size / factor, half = 127.5 * factor * factor;
  const on = new Uint8Array(width * (bottom - top));
  for (let y = Math.max(0, top); y < Math.min(side, bottom); y++) {
    for (let x = Math.max(0, left); x < Math.min(side, right); x++) {
      on[(y - top) * width + x - left] = Number(sum(pixels, size, factor, x, y) > half);
    }
  }
  return on;
}

/** Of a mask's pixels in a cell. */
export function sum(pixels, size, factor, x, y) {
  let total = 0;
  for (let row = y * factor; row < (y + 1) * factor; row++) {
    for (let column = x * factor; column < (x + 1) * factor; column++) total += pixels[row * size + column];
  }
  return total;
}
