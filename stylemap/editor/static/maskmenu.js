// The menu of the mask that is painted: invert, feather, import, export.

import { $, attempt, save } from "./dom.js";
import { feather, fromPicture, invert, toPicture } from "./shapes.js";

const FEATHER = 0.025; // of the picture's side

export function bindMaskMenu(editor) {
  const on = (id, work) =>
    $(id).addEventListener("click", async () => {
      $("#mask-menu").hidePopover();
      if (editor.active === null) editor.dispatchEvent(new CustomEvent("hint"));
      else await attempt(() => work(editor.masks.get(editor.active)));
    });
  on("#mask-invert", (pixels) => editor.setMask(invert(pixels)));
  on("#mask-feather", (pixels) => editor.setMask(feather(pixels, editor.size, Math.max(1, Math.round(FEATHER * editor.size)))));
  on("#mask-export", async (pixels) => save(await toPicture(pixels, editor.size), "mask.png"));
  on("#mask-import", () => $("#mask-file").click());
  $("#mask-file").addEventListener("change", async ({ target }) => {
    const [file] = target.files;
    target.value = "";
    if (file) await attempt(async () => editor.setMask(await fromPicture(file, editor.size)), `${file.name}: `);
  });
}
