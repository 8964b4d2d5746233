// The crop dialog: drag to move, wheel or slider to zoom, slider to turn, or aligned to a face, which the
// server finds or five clicks tell. The square is what is edited.

import * as api from "./api.js";
import { $, attempt, bindRange } from "./dom.js";
import { drawReflected } from "./reflect.js";

const SIDE = 360; // of the preview, in its own pixels
const DEEPEST = 5; // of the zoom: the side is 2 ** -zoom of the photo's shorter edge
const POINTS = ["the left eye", "the right eye", "the tip of the nose", "the left corner of the mouth", "the right corner of the mouth"];
const HINT = "Drag to move, scroll to zoom.";

/**
 * @typedef {{cx: number, cy: number, side: number, angle: number}} Crop as photos.Crop of the server
 * @typedef {{crop: Crop, points: [number, number][] | null}} State points: those clicked; null while none are asked for
 */

/**
 * Resolves to a crop, or null when the dialog is dismissed.
 * @param {File} file
 * @param {{session: string, faces: boolean}} server faces: whether it finds them
 * @returns {Promise<Crop | null>}
 */
export async function cropDialog(file, server) {
  let photo;
  try {
    photo = await createImageBitmap(file);
  } catch {
    throw new Error("this is not a photo the browser can read");
  }
  const dialog = $("#crop");
  const canvas = $("canvas", dialog), context = canvas.getContext("2d");
  const shorter = Math.min(photo.width, photo.height);
  /** @type {State} */
  const state = { crop: { cx: 0.5, cy: 0.5, side: 1, angle: 0 }, points: null };
  const { crop } = state;
  const stop = new AbortController();
  const on = (target, name, handler) => target.addEventListener(name, handler, { signal: stop.signal });
  const draw = () => drawCrop(context, photo, state);
  const hint = (text) => ($("#crop-hint").textContent = text);

  const zoom = $("#crop-zoom"), turn = $("#crop-turn");
  zoom.max = DEEPEST;
  zoom.value = turn.value = 0;
  const setZoom = bindRange(zoom, (value) => change({ side: 2 ** -value }));
  const setTurn = bindRange(turn, (value) => change({ angle: value }));
  let touched = false; // by hand: what is found after that comes too late
  /** @param {Partial<Crop>} part */
  const change = (part) => {
    touched = true;
    Object.assign(crop, part);
    crop.cx = clamp(crop.cx);
    crop.cy = clamp(crop.cy);
    setZoom(-Math.log2(crop.side));
    setTurn(crop.angle);
    draw();
  };
  /** Show no points any more, and what became of them. */
  const leavePoints = (text) => {
    state.points = null;
    $("#crop-points").setAttribute("aria-pressed", "false");
    hint(text);
    draw();
  };
  const place = async (u, v) => {
    const [x, y] = toPhoto(crop, shorter, u, v);
    state.points.push([clamp(crop.cx + x / photo.width), clamp(crop.cy + y / photo.height)]);
    draw();
    if (state.points.length < POINTS.length) return hint(`Click ${POINTS[state.points.length]}.`);
    const points = state.points;
    try {
      change(await api.alignment({ width: photo.width, height: photo.height, points }));
      leavePoints("Aligned to the face.");
    } catch (error) {
      leavePoints(error.message);
    }
  };

  on(canvas, "wheel", (event) => {
    event.preventDefault();
    change({ side: 2 ** -Math.max(-1, Math.min(DEEPEST, -Math.log2(crop.side) - event.deltaY / 500)) });
  });
  on(canvas, "pointerdown", (event) => {
    if (state.points === null) return canvas.setPointerCapture(event.pointerId);
    const box = canvas.getBoundingClientRect();
    attempt(() => place((event.clientX - box.left) / box.width - 0.5, (event.clientY - box.top) / box.height - 0.5));
  });
  on(canvas, "pointermove", (event) => {
    if (!canvas.hasPointerCapture(event.pointerId)) return;
    const [x, y] = toPhoto(crop, shorter, event.movementX / canvas.clientWidth, event.movementY / canvas.clientWidth);
    change({ cx: crop.cx - x / photo.width, cy: crop.cy - y / photo.height });
  });
  on(canvas, "keydown", (event) => {
    if (event.key === "Enter" && state.points !== null) {
      event.preventDefault();
      attempt(() => place(0, 0));
      return;
    }
    const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [0, 0];
    if (!dx && !dy) return;
    event.preventDefault();
    change({ cx: crop.cx + 0.02 * dx, cy: crop.cy + 0.02 * dy });
  });
  on($("#crop-quarter"), "click", () => change({ angle: ((crop.angle + 270) % 360) - 180 }));
  $("#crop-face").hidden = !server.faces;
  const findFace = async () => {
    hint("Looking for the face…");
    touched = false;
    try {
      const found = await api.face(server.session, file);
      if (touched || !dialog.open) return;
      if (found) change(found);
      leavePoints(found ? "Aligned to the face." : `No face was found: click its five points, or ${HINT.toLowerCase()}`);
    } catch (error) {
      leavePoints(error.message);
    }
  };
  on($("#crop-face"), "click", () => attempt(findFace));
  on($("#crop-points"), "click", () => {
    touched = true;
    if (state.points !== null) return leavePoints(HINT);
    state.points = [];
    $("#crop-points").setAttribute("aria-pressed", "true");
    hint(`Click ${POINTS[0]}, or move it to the middle and press Enter.`);
    change({ cx: 0.5, cy: 0.5, angle: 0, side: Math.min(2, Math.max(photo.width, photo.height) / shorter) });
  });

  leavePoints(HINT);
  dialog.returnValue = "";
  dialog.showModal();
  if (server.faces) attempt(findFace);
  await new Promise((resolve) => on(dialog, "close", resolve));
  stop.abort();
  photo.close();
  return dialog.returnValue === "add" ? crop : null;
}

const clamp = (value) => Math.min(1, Math.max(0, value));

/** A step over the preview, in fractions of it, as one over the photo, in its pixels. */
function toPhoto({ side, angle }, shorter, u, v) {
  const turn = (angle * Math.PI) / 180, length = side * shorter;
  return [length * (u * Math.cos(turn) - v * Math.sin(turn)), length * (u * Math.sin(turn) + v * Math.cos(turn))];
}

/** The square of the photo, its reflection around it, and the points. */
function drawCrop(context, photo, { crop, points }) {
  const scale = SIDE / (crop.side * Math.min(photo.width, photo.height));
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, SIDE, SIDE);
  context.translate(SIDE / 2, SIDE / 2);
  context.rotate((-crop.angle * Math.PI) / 180);
  context.scale(scale, scale);
  context.translate(-crop.cx * photo.width, -crop.cy * photo.height);
  context.imageSmoothingQuality = "high";
  drawReflected(context, photo);
  if (points === null) return;
  for (const [x, y] of points) ring(context, x * photo.width, y * photo.height, 5 / scale);
  ring(context, crop.cx * photo.width, crop.cy * photo.height, 1.5 / scale); // where Enter places one
}

function ring(context, x, y, radius) {
  for (const colour of ["#000", "#fff"]) {
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.strokeStyle = colour;
    context.lineWidth = (colour === "#000" ? 0.8 : 0.4) * radius;
    context.stroke();
  }
}
