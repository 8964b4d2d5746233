// Semantic sliders and style mixing.

import * as api from "./api.js";
import { $, bindRange, h, iconButton } from "./dom.js";

export class Sliders {
  constructor(editor) {
    this.editor = editor;
    this.rows = new Map();
    const { directions } = editor.model;
    $("#sliders").replaceChildren(...directions.map((name) => this.#row(name)));
    $("#no-directions").hidden = directions.length > 0;
    $("#sliders-reset").hidden = directions.length === 0;
    $("#sliders-reset").addEventListener("click", () => editor.update({ sliders: {} }));
    editor.addEventListener("change", () => this.#update());
  }

  #row(name) {
    const { editor } = this;
    const id = `slider-${editor.localMask(name)}`;
    const label = title(name);
    const range = h("input", { type: "range", id, min: -2, max: 2, step: 0.02, value: 0, class: "centred" });
    const value = h("output", { htmlFor: id }, "0");
    const local = iconButton("brush", `Paint where ${label} acts`, () => {
      const current = editor.scene.sliders[name];
      if (current?.mask !== null && current?.mask !== undefined && editor.active !== current.mask) editor.activate(current.mask);
      else editor.setLocal(name, (current?.mask ?? null) === null);
    });
    const set = bindRange(
      range,
      (strength) => editor.changeSlider(name, { strength }, false),
      (strength) => editor.changeSlider(name, { strength }, true),
    );
    range.addEventListener("dblclick", () => editor.changeSlider(name, { strength: 0 }));
    const row = h("div", { class: "slider-row" }, h("label", { htmlFor: id }, label), value, range, local);
    this.rows.set(name, { row, set, value, local });
    return row;
  }

  #update() {
    for (const [name, { row, set, value, local }] of this.rows) {
      const slider = this.editor.scene.sliders[name] ?? { strength: 0, mask: null };
      set(slider.strength);
      value.textContent = slider.strength ? (slider.strength > 0 ? "+" : "−") + Math.abs(slider.strength).toFixed(2) : "0";
      local.setAttribute("aria-pressed", String(slider.mask !== null));
      row.classList.toggle("is-active", slider.mask !== null && slider.mask === this.editor.active);
    }
  }
}

export class Mixer {
  constructor(editor, gallery) {
    this.editor = editor;
    this.gallery = gallery;
    const { codes } = editor.model;
    const all = codes.map((_, i) => i);
    const presets = { Coarse: all.slice(0, 2), Fine: all.slice(2), All: all };
    this.presets = Object.entries(presets).map(([name, chosen]) =>
      h("button", { type: "button", class: "chip", onclick: () => this.#set(chosen) }, name),
    );
    this.chips = all.map((index) =>
      h(
        "button",
        { type: "button", class: "chip", onclick: () => this.#toggle(index), "aria-label": `Stylecode ${index + 1}, ${codes[index]}×${codes[index]}` },
        `${codes[index]}${index % 2 ? "b" : "a"}`,
      ),
    );
    $("#mix-presets").replaceChildren(...this.presets);
    $("#mix-codes").replaceChildren(...this.chips);
    $("#mix-off").addEventListener("click", () => editor.update({ mix: null }));
    editor.addEventListener("change", () => this.#update());
  }

  #set(codes) {
    if (this.editor.scene.mix) this.editor.update({ mix: { ...this.editor.scene.mix, codes } });
  }

  #toggle(index) {
    const chosen = new Set(this.editor.scene.mix?.codes ?? []);
    if (!chosen.delete(index)) chosen.add(index);
    this.#set([...chosen].sort((a, b) => a - b));
  }

  #update() {
    const { mix } = this.editor.scene;
    $("#mix-on").hidden = !mix;
    $("#mix-hint").hidden = Boolean(mix);
    if (!mix) return;
    const name = this.gallery.photo(mix.image)?.name ?? "Image";
    const picture = h("img", { src: api.imageUrl(mix.image, true), alt: "", width: 40, height: 40 });
    $("#mix-image").replaceChildren(picture, h("span", {}, name));
    this.chips.forEach((chip, index) => chip.setAttribute("aria-pressed", String(mix.codes.includes(index))));
  }
}

export const title = (name) => {
  const words = name.replaceAll("_", " ").trim();
  return words.charAt(0).toUpperCase() + words.slice(1);
};
