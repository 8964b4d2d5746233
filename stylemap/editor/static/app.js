// Start: connect, learn the model, build the page around it.

import * as api from "./api.js";
import { $, attempt, placeIcons, toast } from "./dom.js";
import { arrive } from "./carry.js";
import { bindBatch } from "./batch.js";
import { bindDownloads, picture } from "./downloads.js";
import { bindFar } from "./far.js";
import { bindParts } from "./parts.js";
import { bindSwitcher } from "./switcher.js";
import { bindWelcome, isFirstVisit, showExample } from "./welcome.js";
import { Camera } from "./camera.js";
import { CAMERA, Editor, emptyScene } from "./state.js";
import { Gallery } from "./photos.js";
import { bindHistory } from "./history.js";
import { bindMaskMenu } from "./maskmenu.js";
import { bindKeys } from "./shortcuts.js";
import { Layers } from "./references.js";
import { Link } from "./connection.js";
import { Mixing } from "./mixing.js";
import { Sliders } from "./sliders.js";
import { openProject } from "./project.js";
import { Stage } from "./canvas.js";
import { VERSION } from "./protocol.js";
import { Storage } from "./storage.js";
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
link.addEventListener("notice", (/** @type {CustomEvent} */ event) => toast(event.detail, "error"));
link.addEventListener("hello", (/** @type {CustomEvent} */ event) => start(event.detail).catch((error) => toast(error.message, "error")), { once: true });
link.connect();

async function start({ model, protocol }) {
  if (protocol !== VERSION) throw new Error("This page is of another version than the server: reload it.");
  const images = new Map();
  const editor = new Editor(link, model);
  const stage = new Stage(editor, images);
  const gallery = new Gallery(editor, images);
  const timeline = new Timeline(editor, stage);
  const camera = new Camera(editor, gallery, stage);
  const storage = new Storage(editor, gallery, () => camera.before);
  bindSwitcher(editor, gallery, storage);
  gallery.addEventListener("video", (/** @type {CustomEvent} */ { detail }) => attempt(() => camera.openFile(detail)));
  new Layers(editor, gallery);
  new Sliders(editor);
  new Mixing(editor, gallery);
  bindTools(editor);
  bindMaskMenu(editor);
  bindParts(editor);
  bindBatch(editor);
  bindFar(editor, gallery);
  bindHistory(editor);
  bindKeys(editor, { gallery, stage, timeline });
  bindFiles(editor, gallery, stage);
  bindDownloads(editor, gallery, stage, timeline);
  addEventListener("tab", () => {
    timeline.refresh();
    stage.draw();
  });
  editor.addEventListener("hint", () => toast("Add a reference first: choose “Reference” and a photo."));
  link.addEventListener("frame", (/** @type {CustomEvent} */ event) => {
    editor.exact = event.detail.exact;
    stage.show(event.detail.bitmap, event.detail.exact);
  });
  // One after the other: the connection may break again while a session gets what it needs.
  let ready = welcome(storage, editor, gallery);
  link.addEventListener("hello", (/** @type {CustomEvent} */ { detail }) => {
    ready = ready.then(() => again(detail, editor, gallery)).catch(tellUnlessOffline);
  });
  await ready.catch(tellUnlessOffline);
  storage.start();
  addEventListener("beforeunload", (event) => editor.unsaved && event.preventDefault());
  // For whoever measures or scripts the page.
  Object.assign(window, { stylemap: { camera, editor, link, gallery, stage, storage, timeline } });
  document.body.dataset.ready = "true";
}

// Without a connection the next greeting begins anew.
const tellUnlessOffline = (error) => {
  if (!(error instanceof api.Offline)) toast(error.message, "error");
};

async function welcome(storage, editor, gallery) {
  await gallery.load();
  if (!(await restore(await storage.load(), editor, gallery))) {
    if (isFirstVisit() && editor.model.example) await firstVisit(editor, gallery);
    else await begin(editor, gallery, { forget: true });
  }
  editor.link.release();
  await arrive(editor, gallery, storage);
}

async function firstVisit(editor, gallery) {
  await showExample(editor, gallery, { forget: true });
  bindWelcome(editor);
}

/** Something to paint on from the first moment. */
async function begin(editor, gallery, options) {
  const [first, second] = gallery.photos.filter((photo) => !photo.kind);
  if (!first) return;
  for (const photo of [first, second]) await gallery.ensure(photo?.id);
  const references = second ? [{ mask: 1, image: second.id, shift: [0, 0], on: true, opacity: 1 }] : [];
  gallery.setUse("reference");
  editor.load({ ...emptyScene(), original: first.id, references }, new Map(), options);
}

/** The work of an earlier visit; false where there is none. */
async function restore(kept, editor, gallery) {
  if (!kept?.scene?.original) return false;
  editor.scene = kept.scene;
  editor.active = kept.active;
  await show(editor, gallery, await gallery.sendAgain(kept.photos));
  editor.load(editor.scene, kept.masks, { forget: true });
  return true;
}

/** After the connection broke: the session goes on, or a new one gets everything again. */
async function again({ resumed, model }, editor, gallery) {
  if (model.size !== editor.size || model.name !== editor.model.name) {
    location.reload(); // another model is served here now
    return;
  }
  if (!resumed) await show(editor, gallery, await gallery.sendAgain());
  editor.load(editor.scene, editor.masks.snapshot());
  editor.link.release();
}

/** The photos of a scene, without those that are lost. */
async function show(editor, gallery, lost) {
  await gallery.load();
  const { scene } = editor;
  const here = (id) => id && !lost.includes(id) && (gallery.photo(id) || (id === CAMERA && "camera" in document.body.dataset));
  const references = scene.references.filter((one) => here(one.image));
  const mix = here(scene.mix?.image) ? scene.mix : null;
  const original = here(scene.original) ? scene.original : (gallery.photos[0]?.id ?? null);
  if (original !== scene.original || mix !== scene.mix || references.length < scene.references.length)
    toast("Some photos of this edit are gone from the server.", "error");
  editor.scene = { ...scene, original, references, mix };
  for (const id of [original, mix?.image, ...references.map((one) => one.image)]) await gallery.ensure(id);
}

function bindFiles(editor, gallery, stage) {
  const tell = (work) => () => {
    $("#download-menu").hidePopover?.();
    return attempt(work);
  };
  const open = (file) => tell(() => openProject(file, editor, gallery))();
  $("#new").addEventListener("click", tell(() => begin(editor, gallery)));
  $("#open-button").addEventListener("click", () => $("#open").click());
  $("#open").addEventListener("change", (event) => {
    if (event.target.files[0]) open(event.target.files[0]);
    event.target.value = "";
  });
  addEventListener("copy", (event) => {
    const target = /** @type {Element} */ (event.target);
    if (String(getSelection()) || target.matches("input, textarea")) return;
    event.preventDefault();
    // The promise, not the picture: some browsers forget the key press while it is awaited.
    const item = new ClipboardItem({ "image/png": Promise.resolve(picture(editor, stage)) });
    tell(() => navigator.clipboard.write([item]).then(() => toast("The picture is on the clipboard.")))();
  });
  editor.addEventListener("project", (event) => open(event.detail));
  $("#help-button").addEventListener("click", () => $("#help").showModal());
  $("#example-button").hidden = !editor.model.example;
  $("#example-button").addEventListener("click", tell(() => showExample(editor, gallery)));
}
