// A canvas over the picture: what can be drawn there, and the pointers that paint, move, zoom and resize.

import { Sharp } from "./sharp.js";

const CELL_FILL = 0.32;
const RESIZE_PX = 120; // of a right-drag that makes the brush e times as large

/** offset(): how far masks lie from where they are painted. */
export class Pane {
  constructor(canvas, stage, offset) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.stage = stage;
    this.editor = stage.editor;
    this.offset = offset;
    this.pointer = null; // where the brush hovers, in pixels of the picture
    /** @type {{ kind: string, id?: number, [more: string]: any } | null} */
    this.gesture = null; // what the pointer that is down does
    this.fingers = new Map(); // places of the touches that are down
    this.sharp = new Sharp();
    this.side = 0; // in pixels of the screen
    this.#observe();
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    // Strokes do not wait for the next display frame where the browser tells at once where the pointer is.
    canvas.addEventListener("pointerrawupdate", (event) => this.gesture?.id === event.pointerId && this.gesture.kind === "paint" && this.#paint(event));
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (event) => this.#up(event));
    canvas.addEventListener("pointerleave", () => this.#hover(null));
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
  }

  /** Clear; from here on one unit is one pixel of the picture. */
  begin() {
    const { view } = this.stage;
    const about = this.canvas.clientWidth * devicePixelRatio;
    // What is observed may be older than the ratio: the page was zoomed, or a ratio is emulated.
    const side = Math.max(1, Math.abs(this.side - about) < 2 ? this.side : Math.round(about));
    if (this.canvas.width !== side) this.canvas.width = this.canvas.height = side;
    this.context.setTransform(1, 0, 0, 1, 0, 0);
    this.context.clearRect(0, 0, side, side);
    this.scale = (side / this.editor.size) * view.zoom;
    this.context.setTransform(this.scale, 0, 0, this.scale, -view.x * view.zoom * side, -view.y * view.zoom * side);
    this.context.imageSmoothingQuality = "high";
    return this.context;
  }

  /** The pixels of the screen that the canvas covers, which no ratio tells exactly. */
  #observe() {
    const observer = new ResizeObserver(([entry]) => {
      this.side = entry.devicePixelContentBoxSize?.[0].inlineSize ?? 0;
      this.stage.draw();
    });
    try {
      observer.observe(this.canvas, { box: "device-pixel-content-box" });
    } catch {
      observer.observe(this.canvas); // Safari
    }
  }

  /** sharp: by a better kernel than the browser's, which takes a few milliseconds where the picture is new. */
  picture(picture, sharp = false) {
    const { context, editor, canvas } = this;
    const part = sharp ? this.stage.view.part(editor.size) : null;
    if (!part) {
      context.imageSmoothingQuality = "low"; // for what the next frame replaces
      context.drawImage(picture, 0, 0, editor.size, editor.size);
      return;
    }
    context.save();
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.drawImage(this.sharp.of(picture, editor.size, part, canvas.width), 0, 0);
    context.restore();
  }

  /** One of several pictures in one. rect: where, [x, y, width, height]. */
  strip(pictures, rect) {
    const { size } = this.editor;
    this.context.drawImage(pictures, ...rect, 0, 0, size, size);
  }

  outline(mask, [dx, dy], alpha, fill = 0) {
    const { context, editor, scale } = this;
    const path = editor.masks.outline(mask);
    const line = devicePixelRatio / scale;
    context.save();
    this.#clip();
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

  /** The cells of the stylemap that a slider's mask reaches, as strongly as it does. */
  cells(mask) {
    const { context, editor } = this;
    const side = editor.model.stylemap.at(-1), step = editor.size / side;
    const line = devicePixelRatio / this.scale;
    context.save();
    this.#clip();
    editor.masks.cells(mask, side).forEach((value, i) => {
      if (!value) return;
      const box = [(i % side) * step, Math.floor(i / side) * step, step, step];
      context.fillStyle = editor.colour(mask);
      context.globalAlpha = (CELL_FILL * value) / 255;
      context.fillRect(...box);
      context.globalAlpha = 0.9;
      context.lineWidth = line;
      context.strokeStyle = editor.colour(mask);
      context.strokeRect(...box);
    });
    context.restore();
  }

  cursor() {
    const { editor, context, pointer } = this;
    const line = devicePixelRatio / this.scale;
    if (this.gesture?.kind === "shape") this.#shape(line);
    if (!pointer || pointer.touch || editor.active === null) return;
    if (editor.tool !== "brush" && editor.tool !== "eraser") return;
    /** @type {[number, string][]} */
    const rings = [[2.6, "rgb(0 0 0 / 45%)"], [1.2, "#fff"]];
    for (const [width, colour] of rings) {
      context.beginPath();
      context.arc(pointer.x, pointer.y, editor.brush.radius, 0, 2 * Math.PI);
      context.lineWidth = width * line;
      context.strokeStyle = colour;
      context.setLineDash(editor.erases(pointer.alt) ? [4 * line, 3 * line] : []);
      context.stroke();
    }
    context.setLineDash([]);
  }

  /** The outline that is drawn. */
  #shape(line) {
    const { context } = this, { points } = this.gesture, [dx, dy] = this.offset();
    context.beginPath();
    for (let i = 0; i < points.length; i += 2) context.lineTo(points[i] + dx, points[i + 1] + dy);
    context.closePath();
    context.lineWidth = 1.5 * line;
    context.strokeStyle = "#fff";
    context.setLineDash([5 * line, 4 * line]);
    context.stroke();
    context.setLineDash([]);
  }

  /** A place across the pane (0 to 1) in pixels of the picture. */
  fromPane(u) {
    return this.stage.view.toPicture(u, 0)[0] * this.editor.size;
  }

  #clip() {
    this.context.beginPath();
    this.context.rect(0, 0, this.editor.size, this.editor.size);
    this.context.clip();
  }

  /** In fractions of the pane. */
  #across({ clientX, clientY }) {
    const box = this.canvas.getBoundingClientRect();
    return [(clientX - box.left) / box.width, (clientY - box.top) / box.height];
  }

  /** In pixels of the picture. */
  #at(event) {
    return this.stage.view.toPicture(...this.#across(event)).map((value) => value * this.editor.size);
  }

  /** Of all moves in an event that are later than a time. */
  #points(event, after = 0) {
    const [dx, dy] = this.offset();
    const events = event.getCoalescedEvents?.() ?? [];
    return (events.length ? events : [event]).filter((one) => one.timeStamp > after).flatMap((one) => {
      const [x, y] = this.#at(one);
      return [x - dx, y - dy];
    });
  }

  #down(event) {
    // Keys mean the picture from now on, not the button that was pressed before.
    this.canvas.focus({ preventScroll: true });
    event.preventDefault();
    this.canvas.setPointerCapture(event.pointerId);
    if (event.pointerType === "touch") {
      this.fingers.set(event.pointerId, event);
      if (this.fingers.size > 1) {
        this.#pinch();
        return;
      }
    }
    if (this.gesture || this.stage.playing) return;
    if (event.button === 1 || this.stage.hand) this.gesture = { kind: "pan", last: event };
    else if (event.button === 2) this.gesture = { kind: "resize", x: event.clientX, radius: this.editor.brush.radius };
    else if (event.button === 0) this.#begin(event);
    if (this.gesture) this.gesture.id = event.pointerId;
  }

  /** Paint, or take hold of the part. */
  #begin(event) {
    const { editor } = this;
    if (editor.active === null) {
      editor.dispatchEvent(new CustomEvent("hint"));
      return;
    }
    const [x, y] = this.#at(event);
    if (editor.tool === "move") {
      // The part under the pointer; beside all of them the one that is chosen.
      const under = this === this.stage.result ? editor.referenceAt(x, y) : null;
      if (under) editor.activate(under.mask);
      const reference = editor.reference();
      if (!reference) return;
      this.gesture = { kind: "move", x, y, shift: reference.shift };
      editor.begin();
      return;
    }
    if (editor.tool === "lasso" || editor.tool === "rectangle") {
      const [dx, dy] = this.offset();
      this.gesture = { kind: "shape", erase: event.altKey, start: [x - dx, y - dy], points: [x - dx, y - dy] };
      return;
    }
    this.gesture = { kind: "paint", painted: 0 };
    editor.beginStroke({ erase: editor.erases(event.altKey), straight: event.shiftKey });
    this.#hover(event);
    this.#paint(event);
  }

  /** What is new of an event: a browser may tell each move twice, at once and with the next display frame. */
  #paint(event) {
    const { gesture } = this;
    const points = this.#points(event, gesture.painted);
    gesture.painted = Math.max(gesture.painted, event.timeStamp);
    const pressure = event.pointerType === "pen" ? event.pressure : null;
    if (points.length) this.editor.extendStroke(points, event.timeStamp, pressure);
  }

  /** Two fingers zoom and move the picture; what the first one had begun is taken back. */
  #pinch() {
    this.editor.cancel();
    this.gesture = { kind: "pinch", ...this.#span() };
    this.#hover(null);
  }

  /** Distance and middle of the first two fingers. */
  #span() {
    const [a, b] = [...this.fingers.values()].map((event) => [event.clientX, event.clientY]);
    const middle = { clientX: (a[0] + b[0]) / 2, clientY: (a[1] + b[1]) / 2 };
    return { distance: Math.hypot(a[0] - b[0], a[1] - b[1]), middle };
  }

  #move(event) {
    if (this.fingers.has(event.pointerId)) this.fingers.set(event.pointerId, event);
    const { gesture } = this;
    if (gesture?.kind === "pinch") {
      if (this.fingers.size > 1) this.#stretch(gesture);
      return;
    }
    if (gesture?.kind !== "resize") this.#hover(event);
    if (gesture?.id !== event.pointerId) return;
    if (gesture.kind === "paint") this.#paint(event);
    else if (gesture.kind === "move") this.#shift(event, false);
    else if (gesture.kind === "pan") this.#drag(gesture, event);
    else if (gesture.kind === "shape") this.#trace(gesture, event);
    else this.editor.resizeBrush(gesture.radius * Math.exp((event.clientX - gesture.x) / RESIZE_PX));
  }

  #stretch(gesture) {
    const { distance, middle } = this.#span();
    this.#drag({ last: gesture.middle }, middle);
    if (gesture.distance > 0) this.stage.view.zoomBy(distance / gesture.distance, ...this.#across(middle));
    Object.assign(gesture, { distance, middle });
  }

  #drag(gesture, event) {
    const [u, v] = this.#across(event), [before, above] = this.#across(gesture.last);
    if (this.stage.hand) this.stage.hand = "used";
    this.stage.view.pan(u - before, v - above);
    gesture.last = event;
  }

  #up(event) {
    this.fingers.delete(event.pointerId);
    const { gesture } = this;
    if (gesture?.kind === "pinch") {
      // The finger that is left does not paint: it would draw a line from where it happens to lie.
      if (!this.fingers.size) this.gesture = null;
      return;
    }
    if (gesture?.id !== event.pointerId) return;
    this.gesture = null;
    if (gesture.kind === "paint") this.editor.endStroke();
    else if (gesture.kind === "move") this.#shift(event, true, gesture);
    else if (gesture.kind === "shape") this.editor.fillShape(gesture.points, gesture.erase);
    if (event.pointerType !== "mouse") this.#hover(null);
  }

  /** The outline so far: as the pointer went, or the corners of a rectangle. */
  #trace(gesture, event) {
    const points = this.#points(event);
    if (this.editor.tool === "lasso") {
      gesture.points.push(...points);
      return;
    }
    const [ax, ay] = gesture.start, [bx, by] = points.slice(-2);
    gesture.points = [ax, ay, bx, ay, bx, by, ax, by];
  }

  /** Move the place where keys paint, and paint there. */
  step(dx, dy, { paint = false } = {}) {
    const { editor } = this, step = Math.max(1, editor.brush.radius / 2);
    const before = this.pointer ?? { x: editor.size / 2, y: editor.size / 2 };
    const within = (value) => Math.max(0, Math.min(editor.size, value));
    this.pointer = { x: within(before.x + dx * step), y: within(before.y + dy * step), touch: false, alt: false };
    if (paint && editor.active !== null) {
      const [sx, sy] = this.offset();
      editor.beginStroke();
      editor.extendStroke([before.x - sx, before.y - sy, this.pointer.x - sx, this.pointer.y - sy], performance.now());
      editor.endStroke();
    }
    this.stage.draw();
  }

  /** On the reference the mask follows the pointer against the picture: it shows where the part comes from. */
  #shift(event, final, grip = this.gesture) {
    const [x, y] = this.#at(event);
    const limit = this.editor.size;
    const shift = [x - grip.x + grip.shift[0], y - grip.y + grip.shift[1]].map((value) =>
      Math.max(-limit, Math.min(limit, Math.round(value))),
    );
    this.editor.changeReference(this.editor.active, { shift }, final);
  }

  #wheel(event) {
    event.preventDefault();
    // Trackpads report a pinch as a wheel with Ctrl, in small steps.
    const rate = event.ctrlKey ? 0.01 : 0.0015;
    const pixels = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 * event.deltaY : event.deltaY;
    this.stage.view.zoomBy(Math.exp(-rate * pixels), ...this.#across(event));
    this.#hover(event);
  }

  #hover(event) {
    if (event) {
      const [x, y] = this.#at(event);
      this.pointer = { x, y, touch: event.pointerType === "touch", alt: event.altKey };
    } else {
      this.pointer = null;
    }
    const result = this === this.stage.result;
    this.stage.draw({ result, reference: !result });
  }
}
