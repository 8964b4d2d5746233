// The references, as a list that is reordered, switched and removed; the last lies on top.

import * as api from "./api.js";
import { $, $$, bindRange, h, iconButton } from "./dom.js";

export class Layers {
  constructor(editor, gallery) {
    this.editor = editor;
    this.gallery = gallery;
    this.shape = null;
    this.fills = new Map(); // mask → what sets its slider
    editor.addEventListener("change", () => this.#update());
  }

  #update() {
    const { references } = this.editor.scene;
    const shape = references.map((one) => `${one.mask}:${one.image}`).join();
    if (shape !== this.shape) {
      this.shape = shape;
      this.#render(references);
    }
    references.forEach((one) => this.#state(one));
    $("#no-references").hidden = references.length > 0;
    $("#references-count").textContent = references.length ? `${references.length} of ${this.editor.model.limits.references}` : "";
  }

  #render(references) {
    const row = /** @type {HTMLElement | null} */ (document.activeElement?.closest(".layer"));
    const focused = row?.dataset.mask;
    $("#layers").replaceChildren(...references.map((one, index) => this.#row(one, index, references.length)));
    if (focused) $(`.layer[data-mask="${focused}"] .layer-main`)?.focus();
  }

  #row({ mask, image }, index, count) {
    const { editor } = this;
    const name = this.gallery.photo(image)?.name ?? "Image";
    const row = h(
      "li",
      { class: "layer", draggable: true, colour: editor.colour(mask), dataset: { mask } },
      h(
        "button",
        { type: "button", class: "layer-main", onclick: () => editor.activate(mask), title: `Paint reference ${index + 1}` },
        h("img", { src: api.imageUrl(image, true), alt: "", width: 40, height: 40, draggable: false }),
        h("span", { class: "layer-text" }, h("span", { class: "layer-name" }, name), h("span", { class: "layer-shift" })),
      ),
      iconButton("up", `Move ${name} below`, () => editor.moveReference(mask, -1), { disabled: index === 0 }),
      iconButton("down", `Move ${name} above`, () => editor.moveReference(mask, 1), { disabled: index === count - 1 }),
      iconButton("eye", `Show ${name}`, () => editor.changeReference(mask, { on: !editor.reference(mask).on }), { class: "icon-button layer-eye" }),
      iconButton("trash", `Remove ${name}`, () => editor.removeReference(mask)),
      h("label", { class: "range-field layer-opacity" }, h("span", {}, "Opacity"), this.#opacity(mask), h("output", {}, "100%")),
    );
    this.#dragging(row, mask);
    return row;
  }

  #opacity(mask) {
    const input = h("input", { type: "range", min: 0, max: 100, value: 100 });
    const change = (final) => (value) => this.editor.changeReference(mask, { opacity: value / 100 }, final);
    this.fills.set(mask, bindRange(input, change(false), change(true)));
    // Dragging the thumb moves no row.
    input.addEventListener("pointerdown", () => (input.closest(".layer").draggable = false));
    input.addEventListener("pointerup", () => (input.closest(".layer").draggable = true));
    return input;
  }

  #state(one) {
    const row = $(`.layer[data-mask="${one.mask}"]`);
    const active = one.mask === this.editor.active;
    row.classList.toggle("is-active", active);
    row.classList.toggle("is-off", !one.on);
    $(".layer-main", row).setAttribute("aria-pressed", String(active));
    const opacity = Math.round(100 * (one.opacity ?? 1));
    this.fills.get(one.mask)(opacity);
    $(".layer-opacity output", row).textContent = `${opacity}%`;
    $(".layer-eye", row).setAttribute("aria-pressed", String(one.on));
    const [dx, dy] = one.shift.map(Math.round);
    $(".layer-shift", row).textContent = dx || dy ? `moved ${dx}, ${dy} px` : "in place";
  }

  #dragging(row, mask) {
    row.addEventListener("dragstart", (event) => {
      event.dataTransfer.setData("text/x-reference", String(mask));
      event.dataTransfer.effectAllowed = "move";
    });
    row.addEventListener("dragover", (event) => {
      if (!event.dataTransfer.types.includes("text/x-reference")) return;
      event.preventDefault();
      $$(".layer").forEach((other) => other.classList.toggle("is-target", other === row));
    });
    row.addEventListener("dragend", () => $$(".layer").forEach((other) => other.classList.remove("is-target")));
    row.addEventListener("drop", (event) => {
      const moved = Number(event.dataTransfer.getData("text/x-reference"));
      const order = this.editor.scene.references.map((one) => one.mask);
      if (!order.includes(moved)) return;
      event.preventDefault();
      this.editor.moveReference(moved, order.indexOf(mask) - order.indexOf(moved));
    });
  }
}
