// The big picture: result, comparison, masks, and the pointer that paints or moves them.

import { $ } from "./dom.js";

const FILL = 0.22;

export class Stage {
  /** result: the pane that shows frames; reference: the pane with the active reference. */
  constructor(editor, images) {
    this.editor = editor;
    this.images = images;
    this.bitmap = null;
    this.due = {};
    this.playing = null; // a frame of the animation shown instead
    this.split = 0.5;
    this.result = new Pane($("#result"), this, () => this.#shift());
    this.reference = new Pane($("#reference"), this, () => [0, 0]);
    this.#compareHandle();
    for (const name of ["change", "mask"]) editor.addEventListener(name, () => this.draw());
    new ResizeObserver(() => this.draw()).observe($("#result"));
    new ResizeObserver(() => this.draw()).observe($("#reference"));
  }

  show(bitmap) {
    this.bitmap?.close();
    this.bitmap = bitmap;
    this.draw({ reference: false });
    $("#empty").hidden = true;
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
    const shown = this.playing ?? this.bitmap ?? original;
    if (shown) result.picture(shown, this.playing?.rect);
    if (editor.compare && original) {
      context.save();
      context.beginPath();
      context.rect(0, 0, this.split * editor.size, editor.size);
      context.clip();
      result.picture(original);
      context.restore();
    }
    if (editor.showMasks && !this.playing) {
      for (const one of editor.scene.references) {
        if (one.on && one.mask !== editor.active) result.outline(one.mask, one.shift, 0.45);
      }
      if (editor.active !== null) result.outline(editor.active, this.#shift(), 1);
    }
    result.cursor();
  }

  #drawReference() {
    const { editor, reference } = this;
    const active = editor.reference();
    const image = active ? this.images.get(active.image) : this.images.get(editor.scene.original);
    reference.begin();
    if (image) reference.picture(image);
    if (editor.active !== null && editor.showMasks) reference.outline(editor.active, [0, 0], 1, FILL);
    reference.cursor();
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

/** A canvas over the model's pixels that can be painted on. offset(): how far masks lie from where they are. */
class Pane {
  constructor(canvas, stage, offset) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.stage = stage;
    this.editor = stage.editor;
    this.offset = offset;
    this.pointer = null; // where the brush hovers, in pixels of the image
    this.grip = null; // of a mask that is moved
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (event) => this.#up(event));
    canvas.addEventListener("pointerleave", () => this.#hover(null));
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  /** Clear; from here on one unit is one pixel of the image. */
  begin() {
    const side = Math.max(1, Math.round(this.canvas.clientWidth * devicePixelRatio));
    if (this.canvas.width !== side) this.canvas.width = this.canvas.height = side;
    this.scale = side / this.editor.size;
    this.context.setTransform(this.scale, 0, 0, this.scale, 0, 0);
    this.context.clearRect(0, 0, this.editor.size, this.editor.size);
    this.context.imageSmoothingQuality = "high";
    return this.context;
  }

  /** rect: of a picture that holds several, [x, y, width, height]. */
  picture(picture, rect) {
    const size = this.editor.size;
    if (rect) this.context.drawImage(picture.strip, ...rect, 0, 0, size, size);
    else this.context.drawImage(picture, 0, 0, size, size);
  }

  outline(mask, [dx, dy], alpha, fill = 0) {
    const { context, editor, scale } = this;
    const path = editor.masks.outline(mask);
    const line = devicePixelRatio / scale;
    context.save();
    context.beginPath();
    context.rect(0, 0, editor.size, editor.size);
    context.clip();
    context.translate(dx, dy);
    if (fill > 0 && !editor.masks.isEmpty(mask)) {
      context.globalAlpha = fill;
      context.drawImage(editor.masks.tint(mask, editor.colour(mask)), 0, 0);
    }
    context.globalAlpha = 0.55 * alpha;
    context.lineWidth = 3.4 * line;
    context.strokeStyle = "#000";
    context.stroke(path);
    context.globalAlpha = alpha;
    context.lineWidth = 1.8 * line;
    context.strokeStyle = editor.colour(mask);
    context.stroke(path);
    context.restore();
  }

  cursor() {
    const { editor, context, pointer } = this;
    if (!pointer || pointer.touch || editor.tool === "move" || editor.active === null) return;
    const line = devicePixelRatio / this.scale;
    for (const [width, colour] of [[2.6, "rgb(0 0 0 / 45%)"], [1.2, "#fff"]]) {
      context.beginPath();
      context.arc(pointer.x, pointer.y, editor.brush.radius, 0, 2 * Math.PI);
      context.lineWidth = width * line;
      context.strokeStyle = colour;
      context.setLineDash(editor.tool === "eraser" ? [4 * line, 3 * line] : []);
      context.stroke();
    }
    context.setLineDash([]);
  }

  #at(event) {
    const box = this.canvas.getBoundingClientRect();
    const scale = this.editor.size / box.width;
    return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
  }

  #points(event) {
    const [dx, dy] = this.offset();
    const events = event.getCoalescedEvents?.() ?? [];
    return (events.length ? events : [event]).flatMap((one) => {
      const [x, y] = this.#at(one);
      return [x - dx, y - dy];
    });
  }

  #down(event) {
    if (event.button > 0 || this.busy !== undefined || this.stage.playing) return;
    if (this.editor.active === null) {
      this.stage.editor.dispatchEvent(new CustomEvent("hint"));
      return;
    }
    event.preventDefault();
    this.canvas.setPointerCapture(event.pointerId);
    this.busy = event.pointerId;
    const [x, y] = this.#at(event);
    if (this.editor.tool === "move") {
      const reference = this.editor.reference();
      this.grip = reference && { x, y, shift: reference.shift };
      this.editor.begin();
      return;
    }
    this.editor.beginStroke();
    this.#hover(event);
    this.editor.extendStroke(this.#points(event), event.timeStamp);
  }

  #move(event) {
    this.#hover(event);
    if (this.busy !== event.pointerId) return;
    if (this.editor.stroke) this.editor.extendStroke(this.#points(event), event.timeStamp);
    else if (this.grip) this.#shift(event, false);
  }

  #up(event) {
    if (this.busy !== event.pointerId) return;
    this.busy = undefined;
    if (this.editor.stroke) this.editor.endStroke();
    else if (this.grip) this.#shift(event, true);
    this.grip = null;
    if (event.pointerType !== "mouse") this.#hover(null);
  }

  /** On the reference the mask follows the pointer against the picture: it shows where the part comes from. */
  #shift(event, final) {
    const [x, y] = this.#at(event);
    const limit = this.editor.size;
    const shift = [x - this.grip.x + this.grip.shift[0], y - this.grip.y + this.grip.shift[1]].map((value) =>
      Math.max(-limit, Math.min(limit, Math.round(value))),
    );
    this.editor.changeReference(this.editor.active, { shift }, final);
  }

  #hover(event) {
    if (event) {
      const [x, y] = this.#at(event);
      this.pointer = { x, y, touch: event.pointerType === "touch" };
    } else {
      this.pointer = null;
    }
    const result = this === this.stage.result;
    this.stage.draw({ result, reference: !result });
  }
}
