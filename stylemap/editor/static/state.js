// The state of the page: a scene, its masks, the tools; every change goes through here and to the server.

import { Masks } from "./masks.js";
import { Pacing } from "./pacing.js";
import { fill, join } from "./shapes.js";

export const COLOURS = ["#4f7df3", "#e8743b", "#2fa58a", "#b45fd6", "#d9a514", "#e0527a", "#3aa6d0", "#7a9a3a"];
/** The original that is the newest picture of the camera, as in scene.py. */
export const CAMERA = "camera";
export const LOCAL = 100; // sliders' masks are numbered from here, references' from 1
const REMEMBERED = 80;
const PRESSURES = 16;
const PIECE = 100; // coordinates of a stroke that are sent together

export const emptyScene = () => ({ original: null, references: [], weight: 1, sliders: {}, mix: null });

/** Events: "change" after anything but pixels, "mask" after painting, "frame" with a new picture. */
export class Editor extends EventTarget {
  constructor(link, model) {
    super();
    this.link = link;
    this.model = model;
    this.size = model.size;
    this.masks = new Masks(model.size);
    this.scene = emptyScene();
    this.active = null; // number of the mask that is painted
    this.tool = "brush";
    this.brush = { radius: model.size / 10, hardness: 0.9 };
    this.compare = false;
    this.showMasks = true;
    this.exact = false; // whether the frame that is shown is the scene as it stands, at full quality
    this.peek = false; // while a key is held: the original
    this.pen = "size"; // what a pen's pressure changes: "size" or "hardness"
    this.lastEnd = null; // of the last stroke
    this.pacing = new Pacing(model.size);
    this.past = [];
    this.future = [];
    this.before = null;
    this.saved = null; // the last gesture that is in a file
  }

  // Gestures: what happens between begin() and commit() is undone together.

  begin() {
    this.before ??= this.#snapshot();
  }

  commit() {
    const before = this.before;
    this.before = null;
    if (!before || (before.scene === this.scene && sameMasks(before.masks, this.masks.arrays))) return;
    this.past.push(before);
    if (this.past.length > REMEMBERED) this.past.shift();
    this.future = [];
    this.#emit("change");
  }

  undo() {
    this.#travel(this.past, this.future);
  }

  redo() {
    this.#travel(this.future, this.past);
  }

  /** Every state of the history, the first to the last; the present one is number past.length. */
  get states() {
    return [...this.past, this.#snapshot(), ...this.future.toReversed()];
  }

  goTo(index) {
    while (this.past.length > index && this.past.length) this.undo();
    while (this.past.length < index && this.future.length) this.redo();
  }

  /** Change the scene; with final, as a gesture of its own or the end of one. */
  update(patch, final = true) {
    this.begin();
    this.scene = { ...this.scene, ...patch };
    this.#keepActive();
    this.link.sendScene(this.scene, final);
    if (final) this.commit();
    this.#emit("change");
  }

  /** Everything at once: a project, or the state after a new session. */
  load(scene, masks, { forget = false } = {}) {
    this.begin();
    this.scene = scene;
    this.masks.restore(masks);
    if (!this.maskNumbers().includes(this.active)) this.active = scene.references.at(-1)?.mask ?? null;
    this.sendAll();
    if (forget) [this.past, this.future, this.before] = [[], [], null];
    this.commit();
    this.#emit("change");
    this.#emit("mask");
  }

  /** The server calls an image otherwise now, in the history too. */
  renameImage(from, to) {
    const name = (id) => (id === from ? to : id);
    const renamed = (scene) => ({
      ...scene,
      original: name(scene.original),
      references: scene.references.map((one) => ({ ...one, image: name(one.image) })),
      mix: scene.mix && { ...scene.mix, image: name(scene.mix.image) },
    });
    this.scene = renamed(this.scene);
    for (const one of [...this.past, ...this.future, this.before]) if (one) one.scene = renamed(one.scene);
  }

  /** The same edit, and the same history, on another original: the camera comes or goes. */
  swapOriginal(from, to) {
    const swapped = (scene) => (scene.original === from ? { ...scene, original: to } : scene);
    const changed = this.scene.original === from;
    this.scene = swapped(this.scene);
    for (const one of [...this.past, ...this.future, this.before]) if (one) one.scene = swapped(one.scene);
    if (!changed) return;
    this.link.sendScene(this.scene, true);
    this.#emit("change");
  }

  /** Whether the scene does anything to its original. */
  get isEdited() {
    const { references, sliders, mix, weight } = this.scene;
    const painted = references.some((one) => one.on && one.opacity !== 0 && !this.masks.isEmpty(one.mask));
    return weight > 0 && (painted || Boolean(mix) || Object.values(sliders).some((one) => one.strength));
  }

  /** Whether something was done since it was last saved to a file. */
  get unsaved() {
    return this.past.length > 0 && this.past.at(-1) !== this.saved;
  }

  markSaved() {
    this.saved = this.past.at(-1);
  }

  /** To a server that knows nothing: after a reconnection, or another scene. */
  sendAll() {
    this.link.sendScene(this.scene, true);
    for (const number of this.maskNumbers()) this.link.sendMask(number, this.masks.get(number));
  }

  // References

  reference(mask = this.active) {
    return this.scene.references.find((one) => one.mask === mask) ?? null;
  }

  /** Whether a mask is a slider's, which acts on whole cells of the stylemap. */
  isLocal(mask) {
    return mask >= LOCAL;
  }

  colour(mask) {
    return this.isLocal(mask) ? "#ffffff" : COLOURS[(mask - 1) % COLOURS.length];
  }

  addReference(image) {
    const { references } = this.scene;
    if (references.length >= this.model.limits.references) return null;
    let mask = 1;
    while (references.some((one) => one.mask === mask)) mask++;
    this.begin();
    this.masks.arrays.delete(mask);
    this.active = mask;
    this.update({ references: [...references, { mask, image, shift: [0, 0], on: true, opacity: 1 }] });
    this.link.sendMask(mask, this.masks.get(mask));
    return mask;
  }

  /** The reference that lies on top at a place, in pixels of the picture. */
  referenceAt(x, y) {
    return this.scene.references.findLast(({ mask, shift, on }) => {
      const column = Math.floor(x - shift[0]), row = Math.floor(y - shift[1]);
      const inside = column >= 0 && row >= 0 && column < this.size && row < this.size;
      return on && inside && this.masks.get(mask)[row * this.size + column] > 127;
    });
  }

  changeReference(mask, patch, final = true) {
    const references = this.scene.references.map((one) => (one.mask === mask ? { ...one, ...patch } : one));
    this.update({ references }, final);
  }

  removeReference(mask) {
    this.update({ references: this.scene.references.filter((one) => one.mask !== mask) });
  }

  moveReference(mask, step) {
    const references = [...this.scene.references];
    const from = references.findIndex((one) => one.mask === mask);
    const to = Math.max(0, Math.min(references.length - 1, from + step));
    if (from < 0 || from === to) return;
    references.splice(to, 0, ...references.splice(from, 1));
    this.update({ references });
  }

  // Sliders

  localMask(name) {
    return LOCAL + this.model.sliders.indexOf(name);
  }

  changeSlider(name, patch, final = true) {
    const slider = { strength: 0, mask: null, ...this.scene.sliders[name], ...patch };
    const sliders = { ...this.scene.sliders, [name]: slider };
    if (slider.strength === 0 && slider.mask === null) delete sliders[name];
    this.update({ sliders }, final);
  }

  /** A slider acts everywhere, or where it is painted. */
  setLocal(name, local) {
    const mask = this.localMask(name);
    if (local) this.active = mask;
    this.changeSlider(name, { mask: local ? mask : null });
    if (local) this.link.sendMask(mask, this.masks.get(mask));
  }

  // Painting

  activate(mask) {
    this.active = mask;
    this.#emit("change");
  }

  set(properties) {
    Object.assign(this, properties);
    this.#emit("change");
  }

  setBrush(properties) {
    this.brush = { ...this.brush, ...properties };
    this.#emit("change");
  }

  resizeBrush(radius) {
    this.setBrush({ radius: Math.min(this.size / 2, Math.max(1, radius)) });
  }

  /** Whether painting takes away: with the eraser, or with Alt, which turns the tool about. */
  erases(alt) {
    return (this.tool === "eraser") !== alt;
  }

  /** straight: a line from where the last stroke of this mask ended. */
  beginStroke({ erase = this.erases(false), straight = false } = {}) {
    this.begin();
    this.masks.detach(this.active);
    const { radius, hardness } = this.brush;
    // As the server will read them, so that both paint the same bits.
    this.stroke = { radius: Math.fround(radius), hardness: Math.fround(hardness), erase };
    this.lastPoint = straight && this.lastEnd?.mask === this.active ? this.lastEnd.point : null;
  }

  /** Points x, y, x, y, … in pixels of the mask, following those before; time: of the pointer's event;
   *  pressure: of a pen, 0 to 1, or null. */
  extendStroke(points, time, pressure = null) {
    const rounded = this.pacing.take(points.map(Math.fround), this.lastPoint, this.stroke.radius, time);
    if (rounded.length) this.#extend(rounded, time, pressure);
  }

  #extend(rounded, time, pressure) {
    const joined = this.lastPoint ? [...this.lastPoint, ...rounded] : rounded;
    this.lastPoint = joined.slice(-2);
    if (pressure !== null) this.stroke = this.#pressed(pressure);
    this.masks.paint(this.active, joined, this.stroke);
    for (let start = 0; start < Math.max(1, joined.length - 2); start += PIECE - 2) {
      this.link.sendStroke(this.active, joined.slice(start, start + PIECE), this.stroke, false, time);
    }
    this.#emit("mask");
  }

  /** The brush under a pen; in steps, because points of one brush travel together. */
  #pressed(pressure) {
    const share = Math.max(1, Math.round(pressure * PRESSURES)) / PRESSURES;
    const { radius, hardness } = this.brush;
    const now =
      this.pen === "size"
        ? { radius: Math.fround(Math.max(0.5, radius * share)), hardness: Math.fround(hardness) }
        : { radius: Math.fround(radius), hardness: Math.fround(hardness * share) };
    const same = now.radius === this.stroke.radius && now.hardness === this.stroke.hardness;
    return same ? this.stroke : { ...now, erase: this.stroke.erase };
  }

  endStroke() {
    const rest = this.pacing.rest();
    if (rest.length) this.#extend(rest, performance.now(), null);
    this.link.sendStroke(this.active, this.lastPoint, this.stroke, true);
    this.lastEnd = { mask: this.active, point: this.lastPoint };
    this.stroke = null;
    this.commit();
  }

  /** Take a gesture back that is not at its end, as if it had not begun. */
  cancel() {
    const before = this.before;
    this.stroke = this.before = null;
    this.pacing.rest();
    if (before) this.#show(before);
  }

  clearMask(mask = this.active) {
    if (mask === null || this.masks.isEmpty(mask)) return;
    this.setMask(new Uint8Array(this.size * this.size), mask);
  }

  /** Another mask, as a gesture of its own. */
  setMask(pixels, mask = this.active) {
    this.begin();
    this.masks.set(mask, pixels);
    this.link.sendMask(mask, pixels);
    this.commit();
    this.#emit("mask");
  }

  /** Fill a closed outline, x, y, x, y, … in pixels of the mask. */
  fillShape(points, erase) {
    this.setMask(join(this.masks.get(this.active), fill(this.size, points), erase));
  }

  maskNumbers() {
    const local = Object.values(this.scene.sliders).map((slider) => slider.mask);
    return [...this.scene.references.map((one) => one.mask), ...local.filter((mask) => mask !== null)];
  }

  /** A mask that left the scene takes no strokes: another one does, or none. */
  #keepActive() {
    if (this.active === null || this.maskNumbers().includes(this.active)) return;
    this.active = this.scene.references.at(-1)?.mask ?? null;
  }

  #snapshot() {
    return { scene: this.scene, masks: this.masks.snapshot(), active: this.active };
  }

  #travel(from, to) {
    const target = from.pop();
    if (!target) return;
    to.push(this.#snapshot());
    this.#show(target);
  }

  /** Go to a snapshot; the server gets the masks that differ. */
  #show({ scene, masks, active }) {
    const shown = new Map(this.maskNumbers().map((number) => [number, this.masks.get(number)]));
    this.scene = scene;
    this.active = active;
    this.masks.restore(masks);
    this.link.sendScene(this.scene, true);
    for (const number of this.maskNumbers()) {
      const pixels = this.masks.get(number);
      if (pixels !== shown.get(number)) this.link.sendMask(number, pixels);
    }
    this.#emit("change");
    this.#emit("mask");
  }

  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

function sameMasks(a, b) {
  return [...new Set([...a.keys(), ...b.keys()])].every((number) => a.get(number) === b.get(number));
}
