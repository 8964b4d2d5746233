// What was done, as a list: a click goes there.

import { $, h } from "./dom.js";

export function bindHistory(editor) {
  const update = () => {
    const states = editor.states;
    const now = editor.past.length;
    const names = states.map((state, index) => (index ? difference(states[index - 1], state) : "Start"));
    $("#history").replaceChildren(
      ...names.map((name, index) =>
        h("li", {}, h("button", { type: "button", class: "history-step", "aria-current": index === now ? "step" : null, onclick: () => editor.goTo(index) }, name)),
      ),
    );
    $("#history [aria-current]").scrollIntoView({ block: "nearest" });
  };
  $("#history-panel").addEventListener("toggle", () => $("#history-panel").open && update());
  editor.addEventListener("change", () => $("#history-panel").open && update());
}

/** The change from one state to the next in a word or two. */
function difference(before, after) {
  const from = before.scene, to = after.scene;
  if (from.original !== to.original) return "Original";
  if (from.references.length < to.references.length) return "Add reference";
  if (from.references.length > to.references.length) return "Remove reference";
  if (JSON.stringify(from.sliders) !== JSON.stringify(to.sliders)) return "Attributes";
  if (JSON.stringify(from.mix) !== JSON.stringify(to.mix)) return "Style mixing";
  if (from.weight !== to.weight) return "Weight";
  return from.references === to.references ? "Mask" : "Reference";
}
