// Start: connect, learn the model, build the page around it.

import * as api from "./api.js";
import { $, placeIcons, save, toast } from "./dom.js";
import { Editor } from "./state.js";
import { Gallery } from "./photos.js";
import { bindKeys } from "./shortcuts.js";
import { Layers } from "./references.js";
import { Link } from "./connection.js";
import { Mixing } from "./mixing.js";
import { Sliders } from "./sliders.js";
import { openProject, saveProject } from "./project.js";
import { Stage } from "./canvas.js";
import { bindTheme } from "./theme.js";
import { Timeline } from "./frames.js";
import { bindStatus } from "./status.js";
import { bindTabs } from "./tabs.js";
import { bindTools } from "./toolbar.js";

placeIcons();
bindTheme();
bindTabs();
const link = new Link();
bindStatus(link);
link.addEventListener("notice", (event) => toast(event.detail, "error"));
link.addEventListener("hello", (event) => start(event.detail).catch((error) => toast(error.message, "error")), { once: true });
link.connect();

async function start({ model }) {
  const images = new Map();
  const editor = new Editor(link, model);
  $("#model-name").textContent = `${model.name} · ${model.size} px`;
  const stage = new Stage(editor, images);
  const gallery = new Gallery(editor, images);
  const timeline = new Timeline(editor, stage);
  new Layers(editor, gallery);
  new Sliders(editor);
  new Mixing(editor, gallery);
  bindTools(editor);
  bindKeys(editor, { gallery, stage, timeline });
  bindFiles(editor, gallery, timeline);
  addEventListener("tab", () => {
    timeline.refresh();
    stage.draw();
  });
  editor.addEventListener("hint", () => toast("Add a reference first: choose “Reference” and a photo."));
  link.addEventListener("frame", (event) => {
    stage.show(event.detail.bitmap);
    editor.exact = event.detail.exact;
  });
  link.addEventListener("hello", (event) => again(event.detail, editor, gallery));
  await gallery.load();
  await begin(editor, gallery);
  // For whoever measures or scripts the page.
  window.stylemap = { editor, link, gallery, stage, timeline };
  document.body.dataset.ready = "true";
}

/** Something to paint on from the first moment. */
async function begin(editor, gallery) {
  const [first, second] = gallery.photos;
  if (!first) return;
  await gallery.choose(first.id, "original");
  if (second) await gallery.choose(second.id, "reference");
  editor.load(editor.scene, editor.masks.snapshot(), { forget: true });
}

/** After the connection broke: the session goes on, or a new one gets what can be had again. */
async function again({ resumed }, editor, gallery) {
  if (!resumed) {
    const lost = gallery.photos.filter((photo) => photo.kind).map((photo) => photo.id);
    gallery.photos = gallery.photos.filter((photo) => !photo.kind);
    await gallery.load();
    const { scene } = editor;
    const here = (id) => id && !lost.includes(id);
    if (lost.length) toast("The server forgot uploaded photos: add them again.", "error");
    editor.scene = {
      ...scene,
      original: here(scene.original) ? scene.original : (gallery.photos[0]?.id ?? null),
      references: scene.references.filter((one) => here(one.image)),
      mix: here(scene.mix?.image) ? scene.mix : null,
    };
    await gallery.ensure(editor.scene.original);
  }
  editor.load(editor.scene, editor.masks.snapshot());
}

function bindFiles(editor, gallery, timeline) {
  const tell = (work) => async () => {
    $("#download-menu").hidePopover?.();
    try {
      await work();
    } catch (error) {
      toast(error.message, "error");
    }
  };
  const open = (file) => tell(() => openProject(file, editor, gallery))();
  $("#save-png").addEventListener("click", tell(async () => save(await api.result(link.session), "stylemap.png")));
  $("#save-gif").addEventListener("click", tell(async () => save(await api.frames(link.session, Math.max(12, timeline.count), "gif", 70), "stylemap.gif")));
  $("#save-project").addEventListener("click", tell(async () => save(await saveProject(editor, gallery), "project.stylemap")));
  $("#open-button").addEventListener("click", () => $("#open").click());
  $("#open").addEventListener("change", (event) => {
    if (event.target.files[0]) open(event.target.files[0]);
    event.target.value = "";
  });
  editor.addEventListener("project", (event) => open(event.detail));
  $("#help-button").addEventListener("click", () => $("#help").showModal());
}
