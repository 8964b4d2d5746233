// The download menu: the edit as a picture, in its whole photo, as an animation, a sheet, or a project.

import * as api from "./api.js";
import { $, $$, attempt, save } from "./dom.js";
import { saveProject } from "./project.js";

const PICTURES = { png: "png", jpeg: "jpg", webp: "webp" };
const MOVING = ["gif", "mp4", "webm"];
const FRAME_MS = 70;

/** What the picture is now, as PNG: exact from the server, or what is on the screen if that is the edit. */
export function picture(editor, stage) {
  const { link } = editor;
  if (link.live) return api.result(link.session);
  if (!stage.bitmap || !editor.exact || link.behind) throw new api.Offline();
  return stage.file();
}

/** The original is a square of a photo, which is kept whole. */
const photoOf = (editor, gallery) => {
  const photo = gallery.photo(editor.scene.original);
  return photo?.whole ? photo : null;
};

export function bindDownloads(editor, gallery, stage, timeline) {
  const { link } = editor;
  let wanted = "whole";
  const whole = () => (wanted === "whole" ? photoOf(editor, gallery) : null);
  const mark = () => {
    $("#download-what").hidden = !photoOf(editor, gallery);
    for (const button of $$("#download-what button")) button.setAttribute("aria-pressed", String(button.value === wanted));
  };
  for (const button of $$("#download-what button")) {
    button.addEventListener("click", () => {
      wanted = button.value;
      mark();
    });
  }
  editor.addEventListener("change", mark);
  gallery.addEventListener("photos", mark);
  mark();

  const onClick = (id, work) =>
    $(id).addEventListener("click", () => {
      $("#download-menu").hidePopover?.();
      attempt(async () => {
        const [blob, name] = await work();
        save(blob, name);
        editor.markSaved();
      });
    });
  for (const [format, suffix] of Object.entries(PICTURES)) {
    onClick(`#save-${format}`, async () => {
      const photo = whole();
      if (photo) return [await api.result(link.session, { format, whole: true }), `${stem(photo.name)}_edited.${suffix}`];
      if (format === "png") return [await picture(editor, stage), "stylemap.png"];
      return [await api.result(link.session, { format }), `stylemap.${suffix}`];
    });
  }
  for (const format of MOVING) {
    const count = () => Math.max(12, timeline.count);
    onClick(`#save-${format}`, async () => [await api.frames(link.session, count(), format, FRAME_MS), `stylemap.${format}`]);
  }
  for (const format of ["mp4", "webm"]) $(`#save-${format}`).hidden = !editor.model.videos;
  onClick("#save-sheet", async () => [await api.sheet(link.session), "stylemap_sheet.png"]);
  onClick("#save-project", async () => [await saveProject(editor, gallery), "project.stylemap"]);
}

export const stem = (name) => name.replace(/\.[^.]*$/, "") || "photo";
