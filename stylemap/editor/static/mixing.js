// Style mixing: which stylecodes are taken from another photo.

import * as api from "./api.js";
import { $, h } from "./dom.js";

export class Mixing {
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
        { type: "button", class: "chip", onclick: () => this.#toggle(index), title: `Stylecode ${index + 1}, ${codes[index]}×${codes[index]}` },
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
