// Project files: a scene with its masks and images, as JSON. Opening one uploads its images like any others.

import * as api from "./api.js";
import { decodeRuns, encodeRuns } from "./protocol.js";
import { emptyScene } from "./state.js";

const FORMAT = "stylemap-project";
const VERSION = 2; // 1 knew no whole photos; it is read too
const MAX_BYTES = 200 << 20;

export async function saveProject(editor, gallery) {
  return new Blob([JSON.stringify(await projectOf(editor, gallery))], { type: "application/json" });
}

/** What a project file holds. carried: to another model of the same server, which has the same gallery, and draws
 *  other random faces from the same seeds. */
export async function projectOf(editor, gallery, { carried = false } = {}) {
  const { scene } = editor;
  const images = {};
  for (const id of imageIds(scene)) {
    const photo = gallery.photo(id);
    images[id] = carried && photo && !photo.kind ? { kind: "gallery" } : await described(id, photo, gallery, !carried);
  }
  const masks = {};
  for (const number of editor.maskNumbers()) masks[number] = await base64(new Blob([encodeRuns(editor.masks.get(number))]));
  return { format: FORMAT, version: VERSION, size: editor.size, scene, images, masks };
}

/** Rebuild what saveProject wrote. Everything is checked by the server again, as any other upload or scene. */
export async function openProject(file, editor, gallery) {
  if (file.size > MAX_BYTES) throw new Error("this is too large for a project");
  let project;
  try {
    project = JSON.parse(await file.text());
  } catch {
    throw new Error("this is not a project file");
  }
  if (project?.format !== FORMAT || ![1, VERSION].includes(project.version)) throw new Error("this is not a project file of this version");
  if (project.size !== editor.size) throw new Error(`this project is for images of ${Number(project.size)} px, the model makes ${editor.size} px`);
  await rebuild(project, editor, gallery);
}

/** Show a project, whose images are sent first. */
export async function rebuild(project, editor, gallery) {
  const ids = new Map();
  for (const [id, image] of Object.entries(project.images ?? {})) {
    const { session } = editor.link;
    if (image.kind === "gallery") {
      await gallery.ensure(id);
      ids.set(id, id);
    } else if (image.kind === "random") {
      const photo = await api.random(session, image);
      await gallery.add(photo);
      ids.set(id, photo.id);
    } else {
      const photo = await gallery.send(await blob(image.file ?? image.png), String(image.name), image.file ? image.crop : null);
      ids.set(id, photo.id);
    }
  }
  const masks = new Map();
  for (const [number, runs] of Object.entries(project.masks ?? {})) {
    const bytes = new Uint8Array(await (await blob(runs)).arrayBuffer());
    masks.set(Number(number), decodeRuns(bytes, editor.size ** 2));
  }
  editor.load(renamed(project.scene ?? {}, ids, masks, editor), masks);
}

/** What a project says of an image; of an upload that is a square of a photo, the photo. */
async function described(id, photo, gallery, seeds) {
  if (seeds && photo?.kind === "random") {
    const { name, seed, truncation, class_name } = photo;
    return { kind: "random", name, seed, truncation, class_name };
  }
  const name = photo?.name ?? "Photo", file = gallery.files.get(photo?.file);
  if (file) return { kind: "photo", name, file: await base64(file), crop: photo.crop };
  return { kind: "photo", name, png: await base64(gallery.blobs.get(id) ?? (await api.imageBlob(id))) };
}

function imageIds(scene) {
  const ids = [scene.original, scene.mix?.image, ...scene.references.map((one) => one.image)];
  return new Set(ids.filter(Boolean));
}

/** The scene with the images' new names; sliders and stylecodes that this model lacks are left out. */
function renamed(scene, ids, masks, editor) {
  const { sliders: known, codes } = editor.model;
  const painted = new Map(masks), sliders = [];
  for (const [name, slider] of Object.entries(scene.sliders ?? {})) {
    if (typeof slider.mask === "number") masks.delete(slider.mask);
    if (known.includes(name)) sliders.push([name, slider]);
  }
  // Their masks are numbered as the model's sliders are.
  const numbered = sliders.map(([name, slider]) => {
    if (typeof slider.mask !== "number") return [name, slider];
    const mask = editor.localMask(name);
    if (painted.has(slider.mask)) masks.set(mask, painted.get(slider.mask));
    return [name, { ...slider, mask }];
  });
  const mixed = (scene.mix?.codes ?? []).filter((code) => code < codes.length);
  return {
    ...emptyScene(),
    original: ids.get(scene.original) ?? null,
    references: (scene.references ?? []).map(({ image, ...one }) => ({ ...one, image: ids.get(image) })),
    weight: Number(scene.weight ?? 1),
    sliders: Object.fromEntries(numbered),
    mix: mixed.length ? { image: ids.get(scene.mix.image), codes: mixed } : null,
  };
}

function base64(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => {
      const url = String(reader.result);
      resolve(url.slice(url.indexOf(",") + 1));
    };
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}

async function blob(text) {
  return new Blob([Uint8Array.from(atob(String(text)), (letter) => letter.charCodeAt(0))]);
}
