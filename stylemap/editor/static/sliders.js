// Attributes: a slider for each direction, which acts everywhere or where it is painted.

import { $, bindRange, h, iconButton, tell } from "./dom.js";

export class Sliders {
  constructor(editor) {
    this.editor = editor;
    this.rows = new Map();
    const { sliders } = editor.model;
    $("#sliders").replaceChildren(...sliders.map((name) => this.#row(name)));
    $("#no-directions").hidden = sliders.length > 1;
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
    const row = h("div", { class: "slider-row", title: name === "amplify" ? "Multiplies what the picture already has: −1 silences it, 1 doubles it. Paint a map of where." : "" }, h("label", { htmlFor: id }, label), value, range, local);
    this.rows.set(name, { row, set, value, local });
    return row;
  }

  #update() {
    for (const [name, { row, set, value, local }] of this.rows) {
      const slider = this.editor.scene.sliders[name] ?? { strength: 0, mask: null };
      set(slider.strength);
      tell(value, slider.strength ? (slider.strength > 0 ? "+" : "−") + Math.abs(slider.strength).toFixed(2) : "0");
      local.setAttribute("aria-pressed", String(slider.mask !== null));
      row.classList.toggle("is-active", slider.mask !== null && slider.mask === this.editor.active);
    }
  }
}

export const title = (name) => {
  const words = name.replaceAll("_", " ").trim();
  return words.charAt(0).toUpperCase() + words.slice(1);
};
