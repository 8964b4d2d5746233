// An edit that comes along to another model of the server, and what is said of what does not.

import { toast } from "./dom.js";
import { projectOf, rebuild } from "./project.js";

const KEY = "carried";

/** Leave the edit for the page of the other model. */
export async function carry(editor, gallery, storage) {
  if (editor.isEdited) await storage.put(KEY, { from: editor.model.name, project: await projectOf(editor, gallery, { carried: true }) });
}

/** Take what the page of another model left, over what this one had, which can be had back. */
export async function arrive(editor, gallery, storage) {
  const carried = await storage.take(KEY);
  if (!carried || carried.from === editor.model.name) return;
  const { from, project } = carried;
  if (project.size !== editor.size) {
    toast(`The edit stays with ${from}: its masks are ${project.size} px, this model makes ${editor.size} px.`);
    return;
  }
  const missing = left(project.scene, editor.model);
  await rebuild(project, editor, gallery);
  toast(`The edit came along from ${from}${missing.length ? `, but for ${missing.join(", ")}` : ""}.`);
}

/** What of a scene a model has nothing like. */
function left({ sliders, mix }, { sliders: known, codes }) {
  const names = Object.keys(sliders).filter((name) => !known.includes(name));
  return [...names.map((name) => `the slider ${name}`), ...(mix?.codes.some((code) => code >= codes.length) ? ["some of what was mixed"] : [])];
}
