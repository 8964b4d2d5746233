// One page's edit: its changes in, newest frames out, and what it asks for in between. As clients.py, scheduler.py
// and api.py, for one.

import * as boxes from "./boxes.js";
import { Edit } from "./edit.js";
import { cut, toImageData, toPng } from "./pixels.js";
import { decodeRuns, parseChange } from "../protocol.js";
import { paint } from "../brush.js";

const CAMERA = "camera"; // scene.CAMERA
const AHEAD = 2; // frames that the page may leave unanswered

export class Session {
  /** send(data, transfer): to the page, a text or a frame. */
  constructor(studio, send) {
    this.studio = studio;
    this.send = send;
    this.jobs = [];
    this.restart();
  }

  restart() {
    this.studio.live.key = this.scene = null;
    this.masks = new Map();
    this.seq = this.number = this.unanswered = 0;
    this.final = this.due = false;
    this.shot = null; // the camera's newest picture, until it is rendered
    this.sees = false;
  }

  /** A message of the page, as protocol.py describes them. */
  apply(message) {
    if (typeof message === "string") {
      const { seq, final, scene } = JSON.parse(message);
      this.scene = scene;
      this.#changed(seq, final);
    } else {
      const change = parseChange(message);
      if (change.kind === "ack") this.unanswered = Math.max(0, this.unanswered - 1);
      else if (change.kind === "camera") this.#look(change);
      else this.#paint(change);
    }
    this.#work();
  }

  #paint(change) {
    const { size } = this.studio.model;
    const mask = this.#mask(change.mask);
    if (change.kind === "stroke") {
      mask.changed = boxes.join(mask.changed, paint(mask.pixels, size, change.points, change.brush));
    } else {
      const pixels = decodeRuns(change.runs, size * size);
      mask.changed = boxes.join(mask.changed, boxes.difference(mask.pixels, pixels, size));
      mask.pixels = pixels;
    }
    this.#changed(change.seq, change.final);
  }

  /**
   * A newer picture takes the place of one that was not rendered yet.
   * @param {any} change
   */
  #look({ seq, file }) {
    this.shot = file;
    this.#changed(seq, false);
  }

  #mask(number) {
    const { size } = this.studio.model;
    if (!this.masks.has(number)) this.masks.set(number, { pixels: new Uint8Array(size * size), changed: boxes.none(size) });
    return this.masks.get(number);
  }

  #changed(seq, final) {
    Object.assign(this, { seq, final, due: true });
  }

  /** The answer to a request of the HTTP interface: {status, body}, and a new picture where it made one. */
  ask(method, path, body) {
    return new Promise((resolve) => {
      this.jobs.push(async () => {
        try {
          resolve(await this.#answer(method, new URL(path, "http://engine"), body));
        } catch (error) {
          resolve(problem(409, error.message));
        }
      });
      this.#work();
    });
  }

  async #answer(method, { pathname, searchParams }, body) {
    const request = `${method} ${pathname.replace(/^\/api\/(sessions\/[^/]+\/)?/, "").replace(/^images\/.+/, "images/*")}`;
    if (request === "GET gallery") return { status: 200, body: JSON.stringify(this.studio.gallery) };
    if (request === "POST images") return this.#upload(body, searchParams);
    if (request === "POST random") return this.#random(JSON.parse(body));
    if (request === "DELETE images/*") {
      this.studio.remove(decodeURIComponent(pathname.split("/").at(-1)));
      return { status: 204, body: null };
    }
    if (request === "GET result" && searchParams.has("float")) return { status: 200, body: await this.#picture() };
    if (request === "GET result") return { status: 200, body: await toPng([await this.#picture()], this.studio.model.size) };
    if (request === "POST apply") return { status: 200, body: await this.#apply(body) };
    if (request === "GET frames") return { status: 200, body: await this.#strip(Number(searchParams.get("count"))) };
    return problem(404, "this page has no server, which that needs");
  }

  async #upload(file, parameters) {
    const { size, about } = this.studio.model;
    if (file.size > about.limits.upload_bytes) return problem(413, `the limit is ${about.limits.upload_bytes} bytes`);
    const crop = { cx: 0.5, cy: 0.5, side: 1, angle: 0 };
    for (const name of Object.keys(crop)) if (parameters.has(name)) crop[name] = Number(parameters.get(name));
    const canvas = await cut(file, size, crop);
    const id = this.#newId();
    await this.studio.add(id, canvas);
    const blob = await canvas.convertToBlob({ type: "image/png" });
    return created({ id, name: parameters.get("name"), kind: "upload" }, blob);
  }

  /** The edit on another photo, which is not kept. */
  async #apply(file) {
    const { model } = this.studio, id = this.#newId();
    await this.studio.add(id, await cut(file, model.size, { cx: 0.5, cy: 0.5, side: 1, angle: 0 }));
    try {
      const image = await this.studio.render({ ...this.scene, original: id }, this.masks, { edit: new Edit(model) });
      return await toPng([image], model.size);
    } finally {
      this.studio.remove(id);
    }
  }

  async #random({ seed, truncation = 0.7 }) {
    const id = this.#newId();
    await this.studio.addRandom(id, seed, truncation);
    const scene = { original: id, references: [], weight: 1, sliders: {}, mix: null };
    const image = await this.studio.render(scene, new Map(), { edit: new Edit(this.studio.model) });
    const blob = await toPng([image], this.studio.model.size);
    return created({ id, name: `Random ${seed}`, kind: "random", seed, truncation, class_name: null }, blob);
  }

  #newId() {
    return `u${crypto.getRandomValues(new Uint32Array(2)).join("-")}`;
  }

  #picture(options) {
    if (!this.scene?.original) throw new Error("choose an original first");
    return this.studio.render(this.scene, this.masks, { edit: new Edit(this.studio.model), ...options });
  }

  async #strip(count) {
    const images = [];
    for (let index = 0; index < count; index++) images.push(await this.#picture({ weight: index / (count - 1) }));
    return toPng(images, this.studio.model.size);
  }

  /** One thing after the other: the newest frame when one is due, else what was asked for. */
  async #work() {
    if (this.working) return;
    this.working = true;
    for (;;) {
      if (this.due && this.#hasOriginal && this.unanswered < AHEAD) await this.#frame();
      else if (this.jobs.length) await this.jobs.shift()();
      else break;
      await messages();
    }
    this.working = false;
  }

  get #hasOriginal() {
    const original = this.scene?.original;
    return Boolean(original) && (original !== CAMERA || this.shot !== null || this.sees);
  }

  async #see() {
    const { shot } = this;
    this.shot = null;
    if (!shot || this.scene.original !== CAMERA) return;
    await this.studio.see(CAMERA, await createImageBitmap(new Blob([shot])));
    this.sees = true;
  }

  async #frame() {
    const { seq, final, scene } = this;
    this.due = false;
    const begin = performance.now();
    const masks = new Map([...this.masks].map(([number, mask]) => [number, { ...mask }]));
    for (const mask of this.masks.values()) mask.changed = boxes.none(this.studio.model.size);
    try {
      await this.#see();
      const image = await this.studio.render(scene, masks);
      const bitmap = await createImageBitmap(toImageData(image, this.studio.model.size));
      this.unanswered++;
      const frame = { exact: final, number: ++this.number, seq, renderMs: performance.now() - begin, bitmap };
      this.send(frame, [bitmap]);
    } catch (error) {
      this.send(JSON.stringify({ type: "notice", message: `this cannot be rendered: ${error.message}` }));
    }
  }
}

const problem = (status, error) => ({ status, body: JSON.stringify({ error }) });

const created = (photo, blob) => ({ status: 201, body: JSON.stringify(photo), picture: { id: photo.id, blob } });

/** Until the messages that have come are taken. */
function messages() {
  const { port1, port2 } = new MessageChannel();
  return new Promise((resolve) => {
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}
