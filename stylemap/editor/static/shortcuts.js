// Keyboard shortcuts; the help dialog lists them from the same table.

import { $, h } from "./dom.js";
import { invert } from "./shapes.js";

export function bindKeys(editor, { gallery, stage, timeline }) {
  const resize = (factor) => editor.resizeBrush(editor.brush.radius * factor);
  const nudge = (dx, dy) => {
    const reference = editor.reference();
    if (!reference) return false;
    const shift = [reference.shift[0] + dx, reference.shift[1] + dy];
    editor.changeReference(reference.mask, { shift });
  };
  const pane = (target) => [stage.result, stage.reference].find((one) => one.canvas === target);
  /** @type {[string, string, (() => any) | null][]} */
  const table = [
    ["B", "Brush", () => editor.set({ tool: "brush" })],
    ["E", "Eraser", () => editor.set({ tool: "eraser" })],
    ["L", "Lasso", () => editor.set({ tool: "lasso" })],
    ["T", "Rectangle", () => editor.set({ tool: "rectangle" })],
    ["I", "Invert the mask", () => editor.active !== null && editor.setMask(invert(editor.masks.get(editor.active)))],
    ["V", "Move the part", () => editor.set({ tool: "move" })],
    ["[", "Smaller brush", () => resize(1 / 1.15)],
    ["]", "Larger brush", () => resize(1.15)],
    ["Arrows", "With the move tool: nudge the part (with Shift by 8 px)", null],
    ["Arrows", "With a brush, on the picture: move it (with Shift it paints)", null],
    ["Enter", "On the picture: paint where the brush is", null],
    ["Ctrl Z", "Undo", () => editor.undo()],
    ["Ctrl Shift Z", "Redo", () => editor.redo()],
    ["Ctrl C", "Copy the picture", null],
    ["Ctrl V", "Add a photo from the clipboard", null],
    ["Delete", "Clear the mask", () => editor.clearMask()],
    ["M", "Show or hide masks", () => editor.set({ showMasks: !editor.showMasks })],
    ["C", "Compare with the original", () => editor.set({ compare: !editor.compare })],
    ["O", "See the original, while it is held", () => editor.set({ peek: true })],
    ["Alt", "Erase with the brush, while it is held", null],
    ["Shift Click", "A straight line from the last stroke", null],
    ["Right Drag", "Size of the brush", null],
    ["Wheel", "Zoom", null],
    ["Space Drag", "Move the picture", null],
    ["0", "The whole picture", () => stage.view.fit()],
    ["9", "One pixel for each of the picture", () => stage.view.actual(editor.size, stage.result.canvas.width)],
    ["1 – 8", "Choose a reference", null],
    ["R", "Random face", () => gallery.random()],
    ["Space", "Play the frames", () => (stage.hand ??= "ready")],
    ["?", "This help", () => $("#help").showModal()],
  ];
  const actions = new Map(table.filter(([, , action]) => action).map(([keys, , action]) => [keys.toLowerCase(), action]));
  $("#shortcuts").replaceChildren(
    ...table.map(([keys, what]) => h("div", {}, h("dt", {}, ...keys.split(" ").map((key) => h("kbd", {}, key))), h("dd", {}, what))),
  );

  addEventListener("click", (event) => {
    // By pointer, not by Enter or Space; dialogs keep the focus among their own.
    const target = /** @type {Element} */ (event.target);
    if (event.detail > 0 && !target.closest("dialog")) target.closest("button")?.blur();
  });
  addEventListener("keyup", (event) => {
    if (event.key === " " && stage.hand) {
      if (stage.hand === "ready") timeline.toggle();
      stage.hand = null;
    }
    if (event.key.toLowerCase() === "o" && editor.peek) editor.set({ peek: false });
  });
  addEventListener("blur", () => {
    stage.hand = null;
    editor.set({ peek: false });
  });
  addEventListener("change", (event) => {
    if (event.target instanceof HTMLSelectElement) event.target.blur();
  });
  addEventListener("keydown", (event) => {
    const target = /** @type {Element} */ (event.target);
    if (event.defaultPrevented || event.altKey || target.closest("dialog") || target.matches("select, input:not([type=range])")) return;
    const control = event.ctrlKey || event.metaKey;
    const key = event.key === " " ? "space" : event.key.toLowerCase();
    const arrow = { arrowleft: [-1, 0], arrowright: [1, 0], arrowup: [0, -1], arrowdown: [0, 1] }[key];
    let done;
    if (arrow && !control && !target.matches("input, [role=slider]")) {
      const step = event.shiftKey ? 8 : 1;
      if (editor.tool === "move") done = nudge(arrow[0] * step, arrow[1] * step);
      else if (pane(target)) pane(target).step(...arrow, { paint: event.shiftKey });
      else done = false;
    } else if (key === "enter" && pane(target)) {
      pane(target).step(0, 0, { paint: true });
    } else if (/^[1-8]$/.test(key) && !control) {
      const reference = editor.scene.references[Number(key) - 1];
      if (reference) editor.activate(reference.mask);
    } else if (key === "y" && control) {
      editor.redo();
    } else {
      // Who walks the page by keyboard presses the button that has the focus; a pointer leaves none there.
      if (key === "space" && target.matches("button, summary")) return;
      const name = (control ? "ctrl " : "") + (control && event.shiftKey ? "shift " : "") + (key === "backspace" ? "delete" : key);
      const action = actions.get(name);
      if (!action) return;
      action();
    }
    if (done !== false) event.preventDefault();
  });
}
