// The model, by its name; a switch where the server has several. Each keeps an edit of its own.

import { $, h } from "./dom.js";

export function bindSwitcher({ name, size, models }) {
  $("#model-name").textContent = models.length > 1 ? `${size} px` : `${name} · ${size} px`;
  const choice = $("#model");
  choice.hidden = models.length < 2;
  choice.replaceChildren(...models.map((one) => h("option", { value: one, selected: one === name }, one)));
  choice.addEventListener("change", () => {
    location.search = new URLSearchParams({ model: choice.value }).toString();
  });
}
