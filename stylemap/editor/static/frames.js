// The edit fading in: frames as thumbnails, scrubbing by the weight, playing there and back.

import * as api from "./api.js";
import { $, bindRange, h, icon } from "./dom.js";
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
      this.#changed();
    });
  }

  #changed() {
    const { weight } = this.editor.scene;
    this.setWeight(Math.round(100 * weight));
    $("#weight-value").textContent = `${Math.round(100 * weight)}%`;
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
      const strip = await createImageBitmap(await api.frames(session, this.count, "strip", FRAME_MS, this.asked.signal));
      // The picture that plays may still be drawn once: not from a strip that is closed.
      if (this.stage.playing) this.stage.playing = null;
      this.strip?.close();
      this.strip = strip;
      this.key = key;
      this.#render();
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

  #render() {
    const side = this.strip.height, frames = this.strip.width / side;
    const items = Array.from({ length: frames }, (_, index) => {
      const canvas = h("canvas", { width: 96, height: 96 });
      canvas.getContext("2d").drawImage(this.strip, index * side, 0, side, side, 0, 0, 96, 96);
      const share = index / (frames - 1);
      const choose = () => this.editor.update({ weight: share });
      return h("li", {}, h("button", { type: "button", class: "frame", onclick: choose, "aria-label": `Weight ${Math.round(100 * share)} percent` }, canvas));
    });
    $("#frames").replaceChildren(...items);
    this.#mark();
  }

  #mark() {
    const items = [...$("#frames").children];
    const nearest = Math.round(this.editor.scene.weight * (items.length - 1));
    items.forEach((item, index) => item.firstChild.setAttribute("aria-pressed", String(index === nearest)));
  }
}
