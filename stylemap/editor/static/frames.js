// The edit fading in: frames as thumbnails, scrubbing by the weight, playing there and back.

import * as api from "./api.js";
import { $, bindRange, h, icon, tell } from "./dom.js";
import { CAMERA } from "./state.js";

const QUIET_MS = 350; // after the last change, before frames are asked for
const FRAME_MS = 70;

export class Timeline {
  constructor(editor, stage) {
    this.editor = editor;
    this.stage = stage;
    this.count = Number($("#frames-count").value);
    this.strip = null;
    this.player = null;
    this.key = null; // of the scene whose frames are shown
    this.asked = null; // gives up the request for frames that is on its way
    this.setWeight = bindRange(
      $("#weight"),
      (value) => editor.update({ weight: value / 100 }, false),
      (value) => editor.update({ weight: value / 100 }, true),
    );
    $("#frames-count").addEventListener("change", (event) => {
      this.count = Number(event.target.value);
      this.refresh();
    });
    $("#play").addEventListener("click", () => this.toggle());
    editor.addEventListener("change", () => this.#changed());
    editor.addEventListener("mask", () => {
      this.key = null;
      if (!editor.stroke) this.#changed(); // its end is a change
    });
  }

  #changed() {
    const { weight } = this.editor.scene;
    this.setWeight(Math.round(100 * weight));
    tell($("#weight-value"), `${Math.round(100 * weight)}%`);
    this.#mark();
    this.stop();
    // A camera has no frames, and no picture yet: the server could not answer.
    if (this.editor.scene.original === CAMERA) this.asked?.abort();
    // The weight alone chooses among the frames there are.
    if (this.key === this.#sceneKey()) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.refresh(), QUIET_MS);
  }

  /** Ask for the frames of the edit as it is; only when someone sees them. */
  async refresh() {
    const { editor } = this;
    const { original } = editor.scene; // a camera's picture is another one before its frames are made
    if (!editor.link.live || !original || original === CAMERA || editor.stroke || !$("#timeline").checkVisibility()) return;
    // One request at a time: what changes meanwhile is asked for when it is answered.
    this.stale = Boolean(this.loading);
    if (this.loading) return this.loading;
    this.loading = this.#load(this.#sceneKey());
    await this.loading;
    this.loading = null;
    if (this.stale) await this.refresh();
  }

  async #load(key) {
    const { session } = this.editor.link;
    this.asked = new AbortController();
    try {
      const file = await api.frames(session, this.count, "strip", FRAME_MS, this.asked.signal);
      const strip = await createImageBitmap(file);
      // The picture that plays may still be drawn once: not from a strip that is closed.
      if (this.stage.playing) this.stage.playing = null;
      this.strip?.close();
      this.strip = strip;
      this.key = key;
      this.#render(file);
    } catch {
      // The next change asks again; what is wrong is told there.
    }
  }

  #sceneKey() {
    return JSON.stringify({ ...this.editor.scene, weight: 1 });
  }

  async toggle() {
    if (this.player) return this.stop();
    if (!this.strip) await this.refresh();
    if (!this.strip) return;
    $("#play").replaceChildren(icon("pause"));
    $("#play").setAttribute("aria-label", "Stop the animation");
    const start = performance.now();
    const frames = this.strip.width / this.strip.height;
    const step = (now) => {
      const phase = Math.floor((now - start) / FRAME_MS) % (2 * frames - 2);
      this.#frame(phase < frames ? phase : 2 * frames - 2 - phase);
      this.player = requestAnimationFrame(step);
    };
    this.player = requestAnimationFrame(step);
  }

  stop() {
    if (!this.player) return;
    cancelAnimationFrame(this.player);
    this.player = null;
    this.stage.playing = null;
    $("#play").replaceChildren(icon("play"));
    $("#play").setAttribute("aria-label", "Play the animation");
    this.stage.draw();
    this.#mark();
  }

  #frame(index) {
    const side = this.strip.height;
    this.stage.playing = { strip: this.strip, rect: [index * side, 0, side, side] };
    this.stage.draw();
    [...$("#frames").children].forEach((item, i) => item.firstChild.setAttribute("aria-pressed", String(i === index)));
  }

  /** file: of the strip. Each thumbnail is a part of it: canvases would be sent to the screen with every frame. */
  #render(file) {
    const frames = this.strip.width / this.strip.height;
    const before = this.address;
    this.address = URL.createObjectURL(file);
    const items = Array.from({ length: frames }, (_, index) => {
      const share = index / (frames - 1);
      const choose = () => this.editor.update({ weight: share });
      return h("li", {}, h("button", { type: "button", class: "frame", onclick: choose, "aria-label": `Weight ${Math.round(100 * share)} percent`, style: `background-position-x: ${100 * share}%` }));
    });
    const list = $("#frames");
    list.style.setProperty("--strip", `url("${this.address}")`);
    list.style.setProperty("--count", String(frames));
    list.replaceChildren(...items);
    if (before) URL.revokeObjectURL(before);
    this.#mark();
  }

  #mark() {
    const items = [...$("#frames").children];
    const nearest = Math.round(this.editor.scene.weight * (items.length - 1));
    items.forEach((item, index) => item.firstChild.setAttribute("aria-pressed", String(index === nearest)));
  }
}
