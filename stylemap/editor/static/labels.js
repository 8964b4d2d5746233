// What a picture is: an original, or what the model made of it.

import { $, hide, tell } from "./dom.js";
import { CAMERA } from "./state.js";

export function bindLabels(editor, stage) {
  const right = $("#picture-label"), left = $("#compare-label");
  const update = () => {
    const live = editor.scene.original === CAMERA;
    const decoded = editor.isEdited ? "Edited" : "Decoded, not edited";
    tell(right, editor.peek ? "Original photo" : stage.playing ? "Edit fading in" : live ? `${decoded}, live` : decoded);
    hide(right, !editor.scene.original);
    hide(left, !editor.compare);
    tell($("#original-label"), live ? "Original, live" : "Original photo");
  };
  for (const name of ["change", "mask"]) editor.addEventListener(name, update);
}
