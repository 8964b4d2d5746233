// The crop dialog: drag to move, wheel or slider to zoom, slider to turn; the square is what is uploaded.

import { $, bindRange } from "./dom.js";

const SIDE = 360; // of the preview, in its own pixels

/** Resolves to {cx, cy, side, angle} as photos.Crop reads them, or null when it is dismissed. */
export async function cropDialog(file) {
  let photo;
  try {
    photo = await createImageBitmap(file);
  } catch {
    throw new Error("this is not a photo the browser can read");
  }
  const dialog = $("#crop");
  const context = $("canvas", dialog).getContext("2d");
  const crop = { cx: 0.5, cy: 0.5, side: 1, angle: 0 };
  const shorter = Math.min(photo.width, photo.height);

  const draw = () => {
    const scale = SIDE / (crop.side * shorter);
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#fff";
    context.fillRect(0, 0, SIDE, SIDE);
    context.translate(SIDE / 2, SIDE / 2);
    context.rotate((-crop.angle * Math.PI) / 180);
    context.scale(scale, scale);
    context.imageSmoothingQuality = "high";
    context.drawImage(photo, -crop.cx * photo.width, -crop.cy * photo.height);
  };
  const stop = new AbortController();
  const on = (target, name, handler) => target.addEventListener(name, handler, { signal: stop.signal });

  const canvas = context.canvas;
  const zoom = $("#crop-zoom"), turn = $("#crop-turn");
  zoom.value = 0;
  turn.value = 0;
  const setZoom = bindRange(zoom, (value) => {
    crop.side = 2 ** -value;
    draw();
  });
  const setTurn = bindRange(turn, (value) => {
    crop.angle = value;
    draw();
  });
  on(canvas, "wheel", (event) => {
    event.preventDefault();
    const value = Math.max(-1, Math.min(3, -Math.log2(crop.side) - event.deltaY / 500));
    crop.side = 2 ** -value;
    setZoom(value);
    draw();
  });
  on(canvas, "pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
  on(canvas, "pointermove", (event) => {
    if (!canvas.hasPointerCapture(event.pointerId)) return;
    const step = (crop.side * shorter) / canvas.clientWidth;
    const angle = (crop.angle * Math.PI) / 180;
    const dx = event.movementX * step, dy = event.movementY * step;
    crop.cx = clamp(crop.cx - (dx * Math.cos(angle) - dy * Math.sin(angle)) / photo.width);
    crop.cy = clamp(crop.cy - (dx * Math.sin(angle) + dy * Math.cos(angle)) / photo.height);
    draw();
  });
  on($("#crop-quarter"), "click", () => {
    crop.angle = ((crop.angle + 270) % 360) - 180;
    setTurn(crop.angle);
    draw();
  });
  on(canvas, "keydown", (event) => {
    const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [0, 0];
    if (!dx && !dy) return;
    event.preventDefault();
    crop.cx = clamp(crop.cx + 0.02 * dx);
    crop.cy = clamp(crop.cy + 0.02 * dy);
    draw();
  });
  draw();
  dialog.returnValue = "";
  dialog.showModal();
  await new Promise((resolve) => on(dialog, "close", resolve));
  stop.abort();
  photo.close();
  return dialog.returnValue === "add" ? crop : null;
}

const clamp = (value) => Math.min(1, Math.max(0, value));
