// Parts of a picture (hair, eyes, mouth …) as masks, where they are known.

import * as api from "./api.js";
import { $, attempt, h } from "./dom.js";
import { decodeRuns } from "./protocol.js";
import { join } from "./shapes.js";

/** The parts of a photo by name, each a mask of size×size. */
export async function partsOf(id, size) {
  const { names, labels } = await api.parts(id);
  const runs = Uint8Array.from(atob(labels), (letter) => letter.charCodeAt(0));
  const found = decodeRuns(runs, size * size);
  return new Map(Object.entries(names).map(([name, members]) => [name, found.map((label) => (members.includes(label) ? 255 : 0))]));
}

/** The chips in the menu of the mask: a click adds a part, with Alt it takes the part away. */
export function bindParts(editor) {
  const place = $("#mask-parts"), hint = $("#mask-parts-hint");
  const tell = (text) => {
    place.replaceChildren();
    hint.textContent = text;
    hint.hidden = !text;
  };
  let asked = 0;
  // A reference's mask lies over the reference, a slider's over the original.
  const show = async () => {
    const photo = editor.reference()?.image ?? editor.scene.original, turn = ++asked;
    if (editor.active === null || !photo) return tell("Choose what is painted first.");
    tell("Looking for them…"); // a segmenter takes a moment, in which parts of the photo before would be wrong
    try {
      const parts = await partsOf(photo, editor.size);
      if (turn !== asked) return;
      tell("");
      place.replaceChildren(...[...parts].filter(([name]) => name !== "background").map(([name, pixels]) => chip(name, pixels)));
    } catch (error) {
      if (turn === asked) tell(error instanceof api.Offline ? error.message : "Not known for this photo.");
    }
  };
  const chip = (name, pixels) =>
    h("button", { type: "button", class: "chip", value: name, onclick: (event) => editor.setMask(join(editor.masks.get(editor.active), pixels, event.altKey)) }, name);
  $("#mask-menu").addEventListener("beforetoggle", (event) => event.newState === "open" && attempt(show));
}
