// The batch panel: the edit as it stands on many photos, downloaded as one archive.

import * as api from "./api.js";
import { $, attempt, h, save } from "./dom.js";
import { stem } from "./downloads.js";
import { zip } from "./zip.js";

const SUFFIXES = { png: "png", jpeg: "jpg" };

export function bindBatch(editor) {
  const dialog = $("#batch"), list = $("#batch-list"), bar = $("#batch-progress");
  let photos = [], stopped = false, running = false;
  const show = () => {
    $("#batch-count").textContent = photos.length ? `${photos.length} photo${photos.length === 1 ? "" : "s"} chosen` : "No photos chosen yet";
    $("#batch-start").disabled = running || !photos.length;
    $("#batch-choose").disabled = running;
    bar.hidden = !running;
  };
  const tell = (text, kind = "") => list.append(h("li", { class: kind }, text));
  $("#batch-open").addEventListener("click", () => {
    $("#download-menu").hidePopover();
    $("#batch-faces-field").hidden = !editor.model.faces;
    $("#batch-faces").checked = editor.model.faces;
    list.replaceChildren();
    show();
    dialog.showModal();
  });
  $("#batch-choose").addEventListener("click", () => $("#batch-files").click());
  $("#batch-files").addEventListener("change", ({ target }) => {
    photos = [...target.files];
    target.value = "";
    list.replaceChildren();
    show();
  });
  dialog.addEventListener("close", () => (stopped = true));
  $("#batch-start").addEventListener("click", () => attempt(run));

  async function run() {
    const { session } = editor.link, format = $("#batch-format").value;
    const wanted = { format, whole: $("#batch-whole").checked, find_face: $("#batch-faces").checked };
    /** @type {[string, Blob][]} */
    const done = [];
    const names = new Set();
    [stopped, running] = [false, true];
    bar.max = photos.length;
    show();
    list.replaceChildren();
    for (const [index, file] of photos.entries()) {
      if (stopped) break;
      bar.value = index;
      try {
        done.push([unused(`${stem(file.name)}_edited`, SUFFIXES[format], names), await api.apply(session, file, wanted)]);
      } catch (error) {
        tell(`${file.name}: ${error.message}`, "error");
        if (error instanceof api.Offline) break;
      }
    }
    running = false;
    show();
    tell(`${done.length} of ${photos.length} photos edited.`);
    if (done.length && !stopped) save(await zip(done), "stylemap_photos.zip");
  }
}

/** Photos of several folders may have one name. */
function unused(name, suffix, names) {
  let found = `${name}.${suffix}`;
  for (let number = 2; names.has(found); number++) found = `${name}_${number}.${suffix}`;
  names.add(found);
  return found;
}
