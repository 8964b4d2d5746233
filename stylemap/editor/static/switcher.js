// The model, by its name; a switch where the server has several. Each keeps its last edit; the one that is on the
// screen comes along.

import { carry } from "./carry.js";
import { $, attempt, h } from "./dom.js";

export function bindSwitcher(editor, gallery, storage) {
  const { name, size, models } = editor.model;
  $("#model-name").textContent = models.length > 1 ? `${size} px` : `${name} · ${size} px`;
  const choice = $("#model");
  choice.hidden = models.length < 2;
  choice.replaceChildren(...models.map((one) => h("option", { value: one, selected: one === name }, one)));
  choice.addEventListener("change", () =>
    attempt(async () => {
      await storage.save();
      await carry(editor, gallery, storage);
      editor.markSaved(); // nothing is lost: it is here when this model is
      location.search = new URLSearchParams({ model: choice.value }).toString();
    }),
  );
}
