// Project files: a scene with its masks and images, as JSON. Opening one uploads its images like any others.

import * as api from "./api.js";
import { FORMAT, VERSION, parseProject, readProject } from "./projectfile.js";
import { encodeRuns } from "./protocol.js";
import { CAMERA } from "./state.js";

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

/** Rebuild what saveProject wrote. The file is read whole before anything changes, and the server checks it again. */
export async function openProject(file, editor, gallery) {
  if (file.size > MAX_BYTES) throw new Error("this is too large for a project");
  await show(parseProject(await file.text(), editor.model), editor, gallery);
}

/** Show what projectOf made for this model. */
export async function rebuild(project, editor, gallery) {
  await show(readProject(project, editor.model, { carried: true }), editor, gallery);
}

/** Show a project that was read. Its images are sent first. */
async function show({ images, scene, masks }, editor, gallery) {
  const ids = new Map();
  for (const [id, image] of images) {
    if (image.kind === "gallery") {
      await gallery.ensure(id);
      ids.set(id, id);
    } else if (image.kind === "random") {
      const photo = await api.random(editor.link.session, image);
      await gallery.add(photo);
      ids.set(id, photo.id);
    } else {
      ids.set(id, (await gallery.send(image.file, image.name, image.crop)).id);
    }
  }
  editor.load(renamed(scene, ids), masks);
}

/** What a project says of an image; of an upload that is a square of a photo, the photo; of the camera, what it shows. */
async function described(id, photo, gallery, seeds) {
  if (id === CAMERA) return { kind: "photo", name: "Camera.png", png: await base64(await gallery.shot()) };
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

/** The scene with the images' new names. */
function renamed(scene, ids) {
  const name = (one) => one && { ...one, image: ids.get(one.image) };
  return { ...scene, original: ids.get(scene.original) ?? null, references: scene.references.map(name), mix: name(scene.mix) };
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
