// The toolbar under the picture.

import { imageUrl } from "./api.js";
import { $, $$, bindRange } from "./dom.js";
import { CAMERA } from "./state.js";

export function bindTools(editor) {
  for (const button of $$("button[data-tool]")) button.addEventListener("click", () => editor.set({ tool: button.dataset.tool }));
  const size = $("#brush-size"), hardness = $("#brush-hardness");
  // Sizes are felt as ratios: the slider is logarithmic, from 1 pixel to half the image.
  const most = Math.log(editor.size / 2);
  const setSize = bindRange(size, (value) => editor.setBrush({ radius: Math.exp((value / 100) * most) }));
  const setHardness = bindRange(hardness, (value) => editor.setBrush({ hardness: value / 100 }));
  $("#undo").addEventListener("click", () => editor.undo());
  $("#redo").addEventListener("click", () => editor.redo());
  $("#clear").addEventListener("click", () => editor.clearMask());
  $("#compare").addEventListener("click", () => editor.set({ compare: !editor.compare }));
  $("#masks").addEventListener("click", () => editor.set({ showMasks: !editor.showMasks }));

  for (const button of $$("#pen button")) button.addEventListener("click", () => editor.set({ pen: button.value }));

  const update = () => {
    for (const button of $$("button[data-tool]")) button.setAttribute("aria-pressed", String(button.dataset.tool === editor.tool));
    setSize(Math.round((100 * Math.log(editor.brush.radius)) / most));
    setHardness(Math.round(100 * editor.brush.hardness));
    $("#undo").disabled = editor.past.length === 0;
    $("#redo").disabled = editor.future.length === 0;
    $("#clear").disabled = editor.active === null || editor.masks.isEmpty(editor.active);
    $("#compare").setAttribute("aria-pressed", String(editor.compare));
    $("#masks").setAttribute("aria-pressed", String(editor.showMasks));
    for (const button of $$("#pen button")) button.setAttribute("aria-pressed", String(button.value === editor.pen));
    document.body.dataset.tool = editor.active === null ? "none" : editor.tool;
    const active = editor.reference();
    $("#reference-title").textContent = active || editor.active === null ? "Reference photo" : "Where the slider acts";
    const photo = $("#original");
    const { original } = editor.scene, live = original === CAMERA;
    photo.hidden = !original || live;
    $("#live").hidden = !live;
    const address = imageUrl(original ?? "");
    if (original && !live && !photo.src.endsWith(address)) photo.src = address;
    const colour = editor.active === null ? "transparent" : editor.colour(editor.active);
    $("#reference-dot").style.setProperty("--colour", colour);
    $("#brush-dot").style.setProperty("--colour", colour);
  };
  editor.addEventListener("change", update);
  editor.addEventListener("mask", () => ($("#clear").disabled = editor.masks.isEmpty(editor.active)));
  update();
}
