// What scenes ask of the model, as studio.py and composer.py answer it: images, sliders, mixing, references.

import { Edit, sum } from "./edit.js";
import { download } from "./runtime.js";
import { toInput } from "./pixels.js";

const KEPT = 10; // images whose stylecodes are kept: as many as one edit may have
const AMPLIFY = "amplify"; // studio.AMPLIFY

export class Studio {
  constructor(model) {
    this.model = model;
    this.stylemaps = new Map(); // id → w
    this.kept = new Map(); // key → stylecodes, those used last
    this.live = new Edit(model);
  }

  get gallery() {
    return this.model.facts.gallery;
  }

  async add(id, canvas) {
    this.stylemaps.set(id, await this.model.encode(toInput(canvas, this.model.size)));
  }

  /** The newest picture of the camera: another one each time, so that nothing of the last one is kept. */
  async see(id, bitmap) {
    this.remove(id);
    await this.add(id, bitmap);
    this.live.key = null;
  }

  remove(id) {
    this.stylemaps.delete(id);
    for (const key of this.kept.keys()) if (JSON.parse(key)[0] === id) this.kept.delete(key);
  }

  /** A random face: mean + truncation · (w − mean). */
  async addRandom(id, seed, truncation) {
    const w = await this.model.map(normal(seed, this.model.facts.latent));
    const mean = this.model.arrays.get("mean");
    this.stylemaps.set(id, w.map((value, i) => mean[i] + truncation * (value - mean[i])));
  }

  /** The stylemap of an image; the gallery's are encoded when they are first used. */
  async stylemap(id) {
    if (!this.stylemaps.has(id)) {
      if (!this.gallery.some((one) => one.id === id)) throw new Error(`image ${id} is not here any more`);
      const bytes = await download(new URL(`gallery/${encodeURIComponent(id)}.png`, this.model.site));
      const picture = await createImageBitmap(new Blob([bytes]), { colorSpaceConversion: "none" });
      this.stylemaps.set(id, await this.model.encode(toInput(picture, this.model.size)));
    }
    return this.stylemaps.get(id);
  }

  /**
   * The edited image 3×S×S. The weight fades everything in: sliders and mixing too.
   * @param {any} scene
   * @param {Map<number, {pixels: Uint8Array, changed: object}>} masks
   * @param {{weight?: number, edit?: Edit}} [options] edit: what keeps the maps of the last picture
   */
  async render(scene, masks, { weight = scene.weight, edit = this.live } = {}) {
    const parts = [];
    for (const { image, mask, shift, on, opacity = 1 } of scene.references) {
      if (!on || !opacity || !masks.has(mask)) continue;
      parts.push({ ...masks.get(mask), key: `${image} ${mask}`, codes: await this.#codes(image), shift, opacity });
    }
    return edit.render(await this.#base(scene, masks, weight), parts, weight);
  }

  /** The original with sliders and mixing. */
  async #base({ original, sliders, mix }, masks, weight) {
    const w = await this.stylemap(original);
    const offset = this.#offset(w, sliders, masks);
    const key = JSON.stringify([original, offset && weight, offset && Array.from(offset)]);
    let codes = await this.#codes(original, key, offset && w.map((value, i) => value + weight * offset[i]));
    if (!mix?.codes.length) return { key, codes };
    const other = await this.#codes(mix.image);
    codes = codes.map((code, level) =>
      mix.codes.includes(level) ? code.map((value, i) => value + weight * (other[level][i] - value)) : code,
    );
    return { key: JSON.stringify([key, mix, weight]), codes };
  }

  async #codes(id, key = JSON.stringify([id, null, null]), w = null) {
    const codes = this.kept.get(key) ?? (await this.model.stylecodes(w ?? (await this.stylemap(id))));
    this.kept.delete(key);
    this.kept.set(key, codes);
    if (this.kept.size > KEPT) this.kept.delete(this.kept.keys().next().value);
    return codes;
  }

  /** What all sliders together add to the original's stylemap; null where nothing. */
  #offset(w, sliders, masks) {
    const [channels, side] = this.model.stylemap, area = side * side, factor = this.model.size / side;
    const total = new Float32Array(channels * area);
    for (const [name, { strength, mask }] of Object.entries(sliders)) {
      if (!strength || (mask !== null && !masks.has(mask))) continue;
      const where = new Float32Array(area).fill(1);
      if (mask !== null) {
        const { pixels } = masks.get(mask);
        for (let i = 0; i < area; i++) where[i] = cell(pixels, this.model.size, factor, i % side, Math.floor(i / side), name === AMPLIFY);
      }
      const step = name === AMPLIFY ? w : this.model.arrays.get(`direction ${name}`);
      for (let i = 0; i < total.length; i++) total[i] += strength * step[i] * where[i % area];
    }
    return total.some(Boolean) ? total : null;
  }
}

/** How much of a cell a slider's mask covers: its mean, or all of it as soon as one pixel is on. */
function cell(pixels, size, factor, x, y, mean) {
  if (mean) return sum(pixels, size, factor, x, y) / (255 * factor * factor);
  for (let row = y * factor; row < (y + 1) * factor; row++) {
    if (pixels.subarray(row * size + x * factor, row * size + (x + 1) * factor).some((value) => value > 127)) return 1;
  }
  return 0;
}

/** Values of N(0, 1) that follow from a seed, by Box and Muller; other ones than Python's. */
function normal(seed, count) {
  let state = seed >>> 0;
  const uniform = () => {
    // The finalizer of MurmurHash3 over a Weyl sequence.
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
    return (((mixed ^ (mixed >>> 16)) >>> 0) + 0.5) / 2 ** 32;
  };
  return Float32Array.from({ length: count }, () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()));
}
