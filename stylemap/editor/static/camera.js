// The camera, or a video file, as the original: its newest picture is sent whenever the edit can take one more.

import * as api from "./api.js";
import { $, attempt, toast } from "./dom.js";
import { CAMERA } from "./state.js";

const AHEAD = 3; // pictures on their way: two are rendered while the next one travels
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
    this.crop = null;
    this.sent = this.skipped = this.encoding = 0;
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
    const blob = await this.canvas.convertToBlob({ type: "image/png" });
    const photo = await this.gallery.send(blob, "Camera.png");
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

  /** One picture of the video: shown as the original and sent, if the last ones have been answered. */
  async #frame(time) {
    const { link } = this.editor;
    if (!link.live || link.held || link.shots.size + this.encoding >= AHEAD) {
      this.skipped++;
      return;
    }
    this.#draw();
    this.encoding++;
    try {
      const blob = await this.canvas.convertToBlob({ type: "image/jpeg", quality: QUALITY });
      const bytes = await blob.arrayBuffer();
      if (this.running && link.live) link.sendPicture(bytes, time);
      this.sent++;
    } finally {
      this.encoding--;
    }
  }

  #draw() {
    const { video, canvas } = this, { size } = this.editor;
    const width = video.videoWidth, height = video.videoHeight, shorter = Math.min(width, height);
    const crop = this.crop ?? { cx: 0.5, cy: 0.5, side: 2 ** -Number($("#camera-zoom").value), angle: 0 };
    const context = canvas.getContext("2d"), scale = size / (crop.side * shorter);
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
