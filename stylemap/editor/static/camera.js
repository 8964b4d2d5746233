// The camera, or a video file, as the original: its newest picture is sent whenever the edit can take one more.

import * as api from "./api.js";
import { $, attempt, toast } from "./dom.js";
import { PIXEL_BYTES } from "./protocol.js";
import { CAMERA } from "./state.js";
import { transport } from "./transport.js";

const AHEAD = 2; // pictures on their way: as many as a server renders at the same time
const FRESH_MS = 25; // how old a picture may be that had to wait for one of them
const QUALITY = 0.92;

export class Camera {
  constructor(editor, gallery, stage) {
    this.editor = editor;
    this.gallery = gallery;
    this.stage = stage;
    /** @type {any} */
    this.video = document.createElement("video");
    Object.assign(this.video, { muted: true, loop: true, playsInline: true });
    this.canvas = new OffscreenCanvas(editor.size, editor.size);
    this.context = this.canvas.getContext("2d", { willReadFrequently: true });
    this.asPixels = transport.near && 3 * editor.size ** 2 <= PIXEL_BYTES;
    this.crop = null; // of the whole picture, as photos.Crop; null for the middle
    this.before = null; // the original that the camera took the place of
    this.running = false;
    $("#camera").addEventListener("click", () => (this.running ? this.stop() : attempt(() => this.openCamera())));
    $("#camera-stop").addEventListener("click", () => this.stop());
    $("#camera-take").addEventListener("click", () => attempt(() => this.take()));
    $("#camera-mirror").addEventListener("click", () => this.#mirror(!this.mirrored));
    $("#camera-face").addEventListener("click", () => attempt(() => this.#findFace()));
    $("#camera-zoom").addEventListener("input", () => (this.crop = null));
    $("#camera-face").hidden = !editor.model.faces;
    $("#camera").hidden = !navigator.mediaDevices?.getUserMedia;
    editor.link.addEventListener("seen", () => this.#waited());
    editor.addEventListener("change", () => this.running && editor.scene.original !== CAMERA && this.#end());
    setInterval(() => this.running && this.#figures(), 500);
  }

  async openCamera() {
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 } } });
    } catch (error) {
      throw new Error(error.name === "NotAllowedError" ? "The browser does not let this page use the camera." : "There is no camera that can be used.");
    }
    this.video.srcObject = stream;
    this.#mirror(true);
    await this.#start();
  }

  /** @param {File} file of a video */
  async openFile(file) {
    this.#release();
    this.video.src = URL.createObjectURL(file);
    this.#mirror(false);
    await new Promise((resolve, reject) => {
      this.video.onloadeddata = resolve;
      this.video.onerror = () => reject(new Error(`${file.name} is no video that this browser plays.`));
    });
    await this.#start();
  }

  async #start() {
    const { editor, stage } = this;
    await this.video.play();
    this.#draw();
    stage.images.set(CAMERA, this.canvas);
    this.gallery.shot = () => this.canvas.convertToBlob({ type: "image/png" });
    this.crop = null;
    this.sent = this.skipped = this.encoding = 0;
    this.waiting = null; // the time of a picture that could not be sent
    if (!this.running) this.before = editor.scene.original;
    this.running = true;
    document.body.dataset.camera = "";
    $("#camera-bar").hidden = false;
    $("#camera").setAttribute("aria-pressed", "true");
    editor.link.shots.clear();
    editor.swapOriginal(this.before, CAMERA);
    this.#next();
  }

  /** Back to the photo that was edited before. */
  stop() {
    this.editor.swapOriginal(CAMERA, this.before);
  }

  /** The picture of this moment becomes a photo, and the original. */
  async take() {
    const photo = await this.gallery.send(await this.gallery.shot(), "Camera.png");
    if (this.running) this.editor.swapOriginal(CAMERA, photo.id);
  }

  #end() {
    this.running = false;
    delete document.body.dataset.camera;
    $("#camera-bar").hidden = true;
    $("#camera").setAttribute("aria-pressed", "false");
    this.#release();
    this.stage.draw();
    this.editor.swapOriginal(CAMERA, this.before); // in the history too
  }

  #release() {
    for (const track of this.video.srcObject?.getTracks() ?? []) track.stop();
    this.video.srcObject = null;
    if (this.video.src) URL.revokeObjectURL(this.video.src);
    this.video.removeAttribute("src");
  }

  #next() {
    this.video.requestVideoFrameCallback((now, facts) => {
      if (!this.running) return;
      this.#next();
      // Not as work that the page shows as such: it goes on all the time.
      this.#frame(facts.captureTime ?? now).catch((error) => toast(error.message, "error"));
    });
  }

  /** The picture that could not be sent is the video's newest one still: now it can. */
  #waited() {
    if (!this.running || this.waiting === null || performance.now() - this.waiting > FRESH_MS) return;
    this.#frame(this.waiting, false).catch((error) => toast(error.message, "error"));
  }

  /** One picture of the video: shown as the original and sent, if the last ones have been answered. */
  async #frame(time, isNew = true) {
    const { link } = this.editor;
    if (isNew && this.waiting !== null) this.skipped++;
    this.waiting = null;
    if (!link.live || link.held || link.shotsAway + this.encoding >= AHEAD) {
      this.waiting = time;
      return;
    }
    this.#draw();
    this.encoding++;
    try {
      const picture = this.asPixels ? this.#pixels() : await this.#file();
      if (this.running && link.live) link.sendPicture(picture, time);
      this.sent++;
    } finally {
      this.encoding--;
    }
  }

  #pixels() {
    return this.context.getImageData(0, 0, this.canvas.width, this.canvas.height);
  }

  async #file() {
    return (await this.canvas.convertToBlob({ type: "image/jpeg", quality: QUALITY })).arrayBuffer();
  }

  #draw() {
    const { video, canvas } = this, { size } = this.editor;
    const width = video.videoWidth, height = video.videoHeight, shorter = Math.min(width, height);
    const crop = this.crop ?? { cx: 0.5, cy: 0.5, side: 2 ** -Number($("#camera-zoom").value), angle: 0 };
    const { context } = this, scale = size / (crop.side * shorter);
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, size, size);
    context.translate(size / 2, size / 2);
    if (this.mirrored) context.scale(-1, 1);
    context.rotate((-crop.angle * Math.PI) / 180);
    context.scale(scale, scale);
    context.imageSmoothingQuality = "high";
    context.drawImage(video, -crop.cx * width, -crop.cy * height, width, height);
    this.stage.showLive(canvas);
  }

  /** Cut every picture where the face of this one is. */
  async #findFace() {
    const whole = new OffscreenCanvas(this.video.videoWidth, this.video.videoHeight);
    whole.getContext("2d").drawImage(this.video, 0, 0);
    this.crop = await api.face(this.editor.link.session, await whole.convertToBlob({ type: "image/jpeg", quality: QUALITY }));
    toast("Cut to the face. Move Zoom to cut the middle again.");
  }

  #mirror(on) {
    this.mirrored = on;
    $("#camera-mirror").setAttribute("aria-pressed", String(on));
  }

  #figures() {
    const { link } = this.editor, latency = link.shotLatency;
    $("#camera-figures").textContent = `${link.frameRate} fps · ${latency === null ? "–" : Math.round(latency)} ms`;
    $("#camera-figures").title = `${this.skipped} pictures were skipped because newer ones came first`;
  }
}
