// The first visit: a finished example, and three steps above it that go away for good.

import { partsOf } from "./parts.js";
import { $, $$ } from "./dom.js";
import { join } from "./shapes.js";
import { emptyScene } from "./state.js";

const KEY = "stylemap-welcome";

const seen = () => {
  try {
    return localStorage.getItem(KEY) !== null;
  } catch {
    return true; // nothing could be remembered: better never than each time
  }
};

/** Whether this visit begins with the example. */
export const isFirstVisit = () => !seen();

/** The example that the server names: the parts of drawn faces are the masks. */
export async function showExample(editor, gallery, options) {
  const { example } = editor.model;
  const masks = new Map(), references = [];
  for (const { image, parts } of example.references) {
    const known = await partsOf(image, editor.size), mask = references.length + 1;
    await gallery.ensure(image);
    masks.set(mask, parts.map((name) => known.get(name)).reduce((a, b) => join(a, b, false)));
    references.push({ mask, image, shift: [0, 0], on: true, opacity: 1 });
  }
  await gallery.ensure(example.original);
  const here = Object.entries(example.sliders).filter(([name]) => editor.model.sliders.includes(name));
  const sliders = Object.fromEntries(here.map(([name, strength]) => [name, { strength, mask: null }]));
  gallery.setUse("reference");
  editor.load({ ...emptyScene(), original: example.original, references, sliders }, masks, options);
}

/** The three steps; each is ticked off when it is done, and with the last one all of them go. */
export function bindWelcome(editor) {
  const bar = $("#welcome");
  const leave = () => {
    bar.hidden = true;
    try {
      localStorage.setItem(KEY, "seen");
    } catch {
      // Without storage it is gone for this visit.
    }
  };
  const done = (step) => {
    $(`[data-step="${step}"]`, bar).classList.add("is-done");
    if ($$("[data-step]:not(.is-done)", bar).length === 0) leave();
  };
  $("#welcome-close").addEventListener("click", leave);
  const photos = ({ original, references }) => [original, ...references.map((one) => one.image)].join();
  const settings = ({ weight, sliders }) => JSON.stringify([weight, sliders]);
  const start = { photos: photos(editor.scene), settings: settings(editor.scene) };
  editor.addEventListener("change", () => {
    const { scene } = editor;
    if (!editor.past.length || bar.hidden) return;
    if (photos(scene) !== start.photos) done("photo");
    if (settings(scene) !== start.settings) done("adjust");
  });
  editor.addEventListener("mask", () => !bar.hidden && editor.stroke && done("paint"));
  bar.hidden = false;
}
