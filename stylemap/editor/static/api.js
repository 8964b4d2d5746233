// The HTTP interface, as far as the page uses it.

import { transport } from "./transport.js";

/** The server cannot be reached; what it refuses is a plain Error with its reason. */
export class Offline extends Error {
  constructor() {
    super("There is no connection to the server.");
  }
}

async function ask(path, options) {
  let answer;
  try {
    answer = await transport.fetch(path, options);
  } catch {
    throw new Offline();
  }
  if (answer.ok) return answer;
  let reason = `the server answered ${answer.status}`;
  try {
    reason = (await answer.json()).error ?? reason;
  } catch {
    // Not JSON: the status has to do.
  }
  throw new Error(reason);
}

const json = (method, value) => ({
  method,
  body: JSON.stringify(value),
  headers: { "content-type": "application/json" },
});

export const gallery = async () => (await ask("/api/gallery")).json();

export const imageUrl = (id, thumb = false) => transport.imageUrl(id, thumb);

export const imageBlob = async (id) => (await ask(imageUrl(id))).blob();

/** crop: {cx, cy, side, angle} as photos.Crop, or null for the middle. */
export async function upload(session, file, name, crop = null) {
  const query = new URLSearchParams({ name, ...(crop ?? {}) });
  return (await ask(`/api/sessions/${session}/images?${query}`, { method: "POST", body: file })).json();
}

/** class_name: of a class-conditional model; null for any. */
export const random = async (session, { seed, truncation = 0.7, class_name = null }) =>
  (await ask(`/api/sessions/${session}/random`, json("POST", { seed, truncation, class_name }))).json();

/** Where the parts of an image are, see parts.py. */
export const parts = async (id) => (await ask(`/api/images/${encodeURIComponent(id)}/parts`)).json();

/** The edit as it stands on another photo. wanted: {format, whole, find_face}. */
export const apply = async (session, file, wanted) =>
  (await ask(`/api/sessions/${session}/apply?${new URLSearchParams(wanted)}`, { method: "POST", body: file })).blob();

export const removeImage = (session, id) =>
  ask(`/api/sessions/${session}/images/${encodeURIComponent(id)}`, { method: "DELETE" });

/** format: "png", "jpeg" or "webp"; whole: the photo that the original was cut from, with the edit in it. */
export const result = async (session, { format = "png", whole = false } = {}) =>
  (await ask(`/api/sessions/${session}/result?format=${format}&whole=${whole}`)).blob();

export const sheet = async (session) => (await ask(`/api/sessions/${session}/sheet`)).blob();

/** The crop of the largest face of a photo. */
export const face = async (session, file) => (await ask(`/api/sessions/${session}/face`, { method: "POST", body: file })).json();

/** The crop of a face by five points of it, in fractions of the photo's width and height. */
export const alignment = async (points) => (await ask("/api/alignment", json("POST", points))).json();

/** signal: an AbortSignal that gives the request up. */
export const frames = async (session, count, format, duration = 80, signal = null) =>
  (await ask(`/api/sessions/${session}/frames?count=${count}&format=${format}&duration=${duration}`, { signal })).blob();
