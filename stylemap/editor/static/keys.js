// Keyboard shortcuts; the help dialog lists them from the same table.

import { $, h } from "./dom.js";

export function bindKeys(editor, { gallery, timeline }) {
  const resize = (factor) => {
    const radius = Math.min(editor.size / 2, Math.max(1, editor.brush.radius * factor));
    editor.setBrush({ radius });
  };
  const nudge = (dx, dy) => {
    const reference = editor.reference();
    if (!reference) return false;
    const shift = [reference.shift[0] + dx, reference.shift[1] + dy];
    editor.changeReference(reference.mask, { shift });
  };
  const table = [
    ["B", "Brush", () => editor.set({ tool: "brush" })],
    ["E", "Eraser", () => editor.set({ tool: "eraser" })],
    ["V", "Move the part", () => editor.set({ tool: "move" })],
    ["[", "Smaller brush", () => resize(1 / 1.15)],
    ["]", "Larger brush", () => resize(1.15)],
    ["Arrows", "Nudge the part (with Shift by 8 px)", null],
    ["Ctrl Z", "Undo", () => editor.undo()],
    ["Ctrl Shift Z", "Redo", () => editor.redo()],
    ["Delete", "Clear the mask", () => editor.clearMask()],
    ["M", "Show or hide masks", () => editor.set({ showMasks: !editor.showMasks })],
    ["C", "Compare with the original", () => editor.set({ compare: !editor.compare })],
    ["1 – 8", "Choose a reference", null],
    ["R", "Random face", () => gallery.random()],
    ["Space", "Play the frames", () => timeline.toggle()],
    ["?", "This help", () => $("#help").showModal()],
  ];
  const actions = new Map(table.filter(([, , action]) => action).map(([keys, , action]) => [keys.toLowerCase(), action]));
  $("#shortcuts").replaceChildren(
    ...table.map(([keys, what]) => h("div", {}, h("dt", {}, ...keys.split(" ").map((key) => h("kbd", {}, key))), h("dd", {}, what))),
  );

  addEventListener("keydown", (event) => {
    const target = event.target;
    if (event.defaultPrevented || event.altKey || target.closest("dialog") || target.matches("select, input:not([type=range])")) return;
    const control = event.ctrlKey || event.metaKey;
    const key = event.key === " " ? "space" : event.key.toLowerCase();
    const arrow = { arrowleft: [-1, 0], arrowright: [1, 0], arrowup: [0, -1], arrowdown: [0, 1] }[key];
    let done;
    if (arrow && !control && !target.matches("input, [role=slider]")) {
      const step = event.shiftKey ? 8 : 1;
      done = nudge(arrow[0] * step, arrow[1] * step);
    } else if (/^[1-8]$/.test(key) && !control) {
      const reference = editor.scene.references[Number(key) - 1];
      if (reference) editor.activate(reference.mask);
    } else if (key === "y" && control) {
      editor.redo();
    } else {
      if (key === "space" && target.matches("button, summary")) return;
      const name = (control ? "ctrl " : "") + (control && event.shiftKey ? "shift " : "") + (key === "backspace" ? "delete" : key);
      const action = actions.get(name);
      if (!action) return;
      action();
    }
    if (done !== false) event.preventDefault();
  });
}
