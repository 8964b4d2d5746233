// The pictures: what is drawn in the two panes, and the handle that compares.

import { $, hide } from "./dom.js";
import { Pane } from "./pane.js";
import { bindLabels } from "./labels.js";
import { CAMERA } from "./state.js";
import { View } from "./view.js";

const FILL = 0.22;
const REST_MS = 150; // after the last move of the picture, before it is scaled sharply

export class Stage {
  /** result: the pane that shows frames; reference: the pane with the active reference. */
  constructor(editor, images) {
    this.editor = editor;
    this.images = images;
    this.bitmap = null;
    this.due = {};
    this.playing = null; // a frame of the animation shown instead
    this.split = 0.5;
    this.exact = false; // whether the bitmap is a frame at full quality
    this.movedUntil = 0;
    this.view = new View(() => this.#moved());
    this.live = null; // a canvas with the camera's picture that is to be shown
    this.hand = null; // while Space is held: "ready", and "used" once it moved the picture
    this.result = new Pane($("#result"), this, () => this.#shift());
    this.reference = new Pane($("#reference"), this, () => [0, 0]);
    this.#compareHandle();
    for (const name of ["change", "mask"]) editor.addEventListener(name, () => this.draw());
    bindLabels(editor, this);
  }

  /** A frame. What moves is drawn by the browser's quick scaling, what rests by the sharp one. */
  show(bitmap, exact) {
    this.bitmap?.close?.(); // a canvas of previews is used again
    this.bitmap = bitmap;
    this.exact = exact;
    this.draw({ reference: false });
    hide($("#empty"), true);
  }

  /** The camera's picture as it is now: drawn with the next frame, so that both take one display frame. */
  showLive(canvas) {
    this.live = canvas;
  }

  #drawLive() {
    const canvas = this.live, live = $("#live");
    this.live = null;
    if (live.width !== canvas.width) live.width = live.height = canvas.width;
    live.getContext("2d").drawImage(canvas, 0, 0);
  }

  #moved() {
    this.movedUntil = performance.now() + REST_MS;
    clearTimeout(this.resting);
    this.resting = setTimeout(() => this.draw(), REST_MS);
    this.draw();
  }

  /** Whether a picture is shown long enough to be scaled well. */
  #rests(picture) {
    if (performance.now() < this.movedUntil) return false;
    return picture === this.bitmap ? this.exact : picture !== this.images.get(CAMERA);
  }

  /** The picture that is shown, as a PNG of its own size. */
  file() {
    const canvas = new OffscreenCanvas(this.editor.size, this.editor.size);
    canvas.getContext("2d").drawImage(this.bitmap, 0, 0);
    return canvas.convertToBlob({ type: "image/png" });
  }

  /** Once, when the next display frame is made. */
  draw({ result = true, reference = true } = {}) {
    this.due.result ||= result;
    this.due.reference ||= reference;
    this.scheduled ??= requestAnimationFrame(() => {
      const due = this.due;
      this.due = {};
      this.scheduled = null;
      if (due.result) this.#drawResult();
      if (this.live) this.#drawLive();
      if (due.reference) this.#drawReference();
    });
  }

  #shift() {
    return this.editor.reference()?.shift ?? [0, 0];
  }

  #drawResult() {
    const { editor, result } = this;
    const context = result.begin();
    const original = this.images.get(editor.scene.original);
    const shown = editor.peek && original ? original : (this.bitmap ?? original);
    if (this.playing) result.strip(this.playing.strip, this.playing.rect);
    else if (shown) result.picture(shown, this.#rests(shown));
    if (editor.compare && original) {
      context.save();
      context.beginPath();
      context.rect(0, 0, result.fromPane(this.split), editor.size);
      context.clip();
      result.picture(original, this.#rests(original));
      context.restore();
    }
    if (editor.showMasks && !this.playing && !editor.peek) {
      for (const one of editor.scene.references) {
        if (one.on && one.mask !== editor.active) result.outline(one.mask, one.shift, 0.45);
      }
      if (editor.active !== null) this.#active(result, this.#shift());
    }
    result.cursor();
  }

  #drawReference() {
    const { editor, reference } = this;
    const active = editor.reference();
    const image = active ? this.images.get(active.image) : this.images.get(editor.scene.original);
    reference.begin();
    if (image) reference.picture(image, this.#rests(image));
    if (editor.active !== null && editor.showMasks) this.#active(reference, [0, 0], FILL);
    reference.cursor();
  }

  /** The mask that is painted: a slider's as the cells of the stylemap that it moves. */
  #active(pane, shift, fill = 0) {
    const { active } = this.editor;
    if (this.editor.isLocal(active)) pane.cells(active);
    pane.outline(active, shift, this.editor.isLocal(active) ? 0.45 : 1, fill);
  }

  #compareHandle() {
    const handle = $("#split");
    const set = (value) => {
      this.split = Math.min(1, Math.max(0, value));
      handle.style.setProperty("--split", `${100 * this.split}%`);
      handle.setAttribute("aria-valuenow", Math.round(100 * this.split));
      this.draw({ reference: false });
    };
    handle.addEventListener("pointerdown", (event) => {
      handle.setPointerCapture(event.pointerId);
      event.preventDefault();
      handle.focus();
    });
    handle.addEventListener("pointermove", (event) => {
      if (!handle.hasPointerCapture(event.pointerId)) return;
      const box = $("#result").getBoundingClientRect();
      set((event.clientX - box.left) / box.width);
    });
    handle.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -0.02, ArrowRight: 0.02, Home: -1, End: 1 }[event.key];
      if (step === undefined) return;
      set(this.split + step);
      event.preventDefault();
      event.stopPropagation();
    });
    this.editor.addEventListener("change", () => (handle.hidden = !this.editor.compare));
    set(0.5);
  }
}
