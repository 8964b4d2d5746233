// What a project file holds, checked whole before anything of the page changes: a file may come from anyone.

import { decodeRuns } from "./protocol.js";
import { LOCAL, emptyScene } from "./state.js";

export const FORMAT = "stylemap-project";
export const VERSION = 2; // 1 knew no whole photos; it is read too
// Of scene.py, schemas.py and photos.py.
const MAX_STRENGTH = 2, MAX_SHIFT = 16384, MAX_SEED = 2 ** 32 - 1, MAX_CODE = 0xff;
const CROP = { cx: [0, 1], cy: [0, 1], side: [0.02, 4], angle: [-360, 360] };
const MAX_NAME = 200;

/**
 * The images of a project by its own names for them, its scene with those names, and its masks.
 * Raises an Error of one line that says what is wrong with it.
 * model: the editor's. Sliders and stylecodes that it lacks are left out; a slider's mask gets the number it has here.
 */
export function parseProject(text, model) {
  return readProject(json(text), model);
}

/** The same of what was a file. carried: from another model of the same server, whose gallery is this one's. */
export function readProject(project, model, { carried = false } = {}) {
  if (!isObject(project) || project.format !== FORMAT || ![1, VERSION].includes(project.version)) {
    fail("this is not a project file of this version");
  }
  if (project.size !== model.size) fail(`this project is for images of ${shown(project.size)} px, the model makes ${model.size} px`);
  const images = new Map();
  for (const [id, image] of entries(project.images, "images")) images.set(id, described(image, `image ${shown(id)}`, carried));
  if (images.size > model.limits.uploads) fail(`it holds ${images.size} images, and ${model.limits.uploads} are the most`);
  const masks = new Map();
  const files = new Map(entries(project.masks, "masks"));
  const mask = (from, to) => masks.set(to, files.has(String(from)) ? pixels(files.get(String(from)), model.size) : new Uint8Array(model.size ** 2));
  const scene = sceneOf(object(project.scene, "scene"), images, model, mask);
  return { images, scene, masks };
}

function json(text) {
  try {
    return JSON.parse(text);
  } catch {
    return fail("this is not a project file");
  }
}

function described(image, where, carried) {
  object(image, where);
  if (carried && image.kind === "gallery") return { kind: "gallery" };
  const name = image.name === undefined ? "Photo" : text(image.name, `the name of ${where}`).slice(0, MAX_NAME);
  if (image.kind === "random") {
    const seed = whole(image.seed, 0, MAX_SEED, `the seed of ${where}`);
    const truncation = number(image.truncation ?? 0.7, 0, 1, `the truncation of ${where}`);
    const class_name = image.class_name == null ? null : text(image.class_name, `the class of ${where}`);
    return { kind: "random", name, seed, truncation, class_name };
  }
  if (image.kind !== "photo") fail(`${where} is of no known kind`);
  const file = new Blob([bytes(image.file ?? image.png, where)]);
  if (!file.size) fail(`${where} is empty`);
  return { kind: "photo", name, file, crop: image.file && image.crop ? cropOf(object(image.crop, `the crop of ${where}`), where) : null };
}

function cropOf(crop, where) {
  return Object.fromEntries(Object.entries(CROP).map(([name, [low, high]]) => [name, number(crop[name], low, high, `${name} of the crop of ${where}`)]));
}

function sceneOf(scene, images, model, mask) {
  const known = (id, what) => (typeof id === "string" && images.has(id) ? id : fail(`${what} is an image that is not in the file`));
  const references = list(scene.references ?? [], "references");
  if (references.length > model.limits.references) fail(`it has ${references.length} references, and ${model.limits.references} are the most`);
  return {
    ...emptyScene(),
    original: scene.original == null ? null : known(scene.original, "the original"),
    references: references.map((one, i) => reference(object(one, `reference ${i + 1}`), `reference ${i + 1}`, references, known, mask)),
    weight: number(scene.weight ?? 1, 0, 1, "the weight"),
    sliders: sliders(scene.sliders, model, mask),
    mix: scene.mix == null ? null : mix(object(scene.mix, "mix"), model, known),
  };
}

function reference(one, where, references, known, mask) {
  const number_ = whole(one.mask, 1, LOCAL - 1, `the mask of ${where}`);
  if (references.filter((other) => other?.mask === number_).length > 1) fail(`${where} needs a mask of its own`);
  const shift = list(one.shift ?? [0, 0], `the shift of ${where}`);
  if (shift.length !== 2) fail(`the shift of ${where} is not two numbers`);
  const on = one.on ?? true;
  if (typeof on !== "boolean") fail(`${where} is neither on nor off`);
  mask(number_, number_);
  return {
    mask: number_,
    image: known(one.image, where),
    shift: shift.map((value) => number(value, -MAX_SHIFT, MAX_SHIFT, `the shift of ${where}`)),
    on,
    opacity: number(one.opacity ?? 1, 0, 1, `the opacity of ${where}`),
  };
}

function sliders(given, model, mask) {
  const found = [];
  for (const [name, one] of entries(given, "sliders")) {
    const index = model.sliders.indexOf(name);
    if (index < 0) continue;
    const where = `slider ${shown(name)}`;
    const strength = number(object(one, where).strength ?? 0, -MAX_STRENGTH, MAX_STRENGTH, `the strength of ${where}`);
    const local = one.mask == null ? null : LOCAL + index;
    if (local !== null) mask(whole(one.mask, 0, 0xffff, `the mask of ${where}`), local);
    found.push([name, { strength, mask: local }]);
  }
  return Object.fromEntries(found);
}

function mix({ image, codes }, model, known) {
  const chosen = list(codes ?? [], "the codes of mix").map((code) => whole(code, 0, MAX_CODE, "a code of mix"));
  const here = chosen.filter((code) => code < model.codes.length);
  const from = known(image, "mix");
  return here.length ? { image: from, codes: [...new Set(here)].sort((a, b) => a - b) } : null;
}

function pixels(runs, size) {
  const data = bytes(runs, "a mask");
  if (data.length % 3 || data.length > 3 * size * size) fail("a mask is damaged");
  try {
    return decodeRuns(data, size * size);
  } catch {
    return fail("a mask has another size");
  }
}

function bytes(base64, where) {
  try {
    return Uint8Array.from(atob(text(base64, where)), (letter) => letter.charCodeAt(0));
  } catch {
    return fail(`${where} is damaged`);
  }
}

// Of values: what is asked for, or an error that names the place.

/** @param {string} reason @returns {never} */
function fail(reason) {
  throw new Error(reason);
}

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const object = (value, where) => (isObject(value) ? value : fail(`${where} is damaged`));
const entries = (value, where) => (value == null ? [] : Object.entries(object(value, where)));
const list = (value, where) => (Array.isArray(value) ? value : fail(`${where} is no list`));
const text = (value, where) => (typeof value === "string" ? value : fail(`${where} is no text`));

function number(value, low, high, where) {
  if (typeof value !== "number" || !(value >= low && value <= high)) fail(`${where} must be a number from ${low} to ${high}`);
  return value;
}

function whole(value, low, high, where) {
  if (!Number.isInteger(value) || value < low || value > high) fail(`${where} must be a whole number from ${low} to ${high}`);
  return value;
}

/** Of a file, for an error. */
const shown = (value) => JSON.stringify(value ?? null).slice(0, 40);
