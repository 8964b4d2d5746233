// What is said of an uploaded photo that the model decodes badly: mostly its face is not where the model looks.

import { $ } from "./dom.js";

export function bindFar(editor, gallery) {
  const bar = $("#far");
  let photo = null;
  const leave = () => (bar.hidden = true);
  gallery.addEventListener("far", (/** @type {CustomEvent} */ { detail }) => {
    photo = detail;
    $("#far-name").textContent = photo.name;
    $("#far-place").textContent = editor.model.faces ? "Find the face" : "Place it again";
    bar.hidden = false;
  });
  $("#far-place").addEventListener("click", () => {
    leave();
    gallery.placeAgain(photo);
  });
  $("#far-close").addEventListener("click", leave);
  // It is about a photo that is edited now.
  editor.addEventListener("change", () => {
    const { original, references } = editor.scene;
    if (photo && ![original, ...references.map((one) => one.image)].includes(photo.id)) leave();
  });
}
