// The connection: changes out, newest frames in, and how long that takes.

import * as protocol from "./protocol.js";
import { transport } from "./transport.js";

const APART_MS = 8; // between messages: pieces of a stroke that come closer travel together
const RETRY_MS = [300, 1000, 2000, 4000];
const KEPT = 4000;
const PATIENCE_MS = 5000;

/** Events: "hello" (detail: the server's), "frame" (detail: {bitmap, exact, …}), "notice" (detail: text),
 *  "seen" when a frame has come,
 *  "state" (detail: "live" | "away" | "waiting" | "ended"). */
export class Link extends EventTarget {
  constructor() {
    super();
    this.session = null;
    this.seq = 0;
    this.latencies = [];
    this.frameTimes = [];
    this.renderMs = 0;
    this.tries = 0;
    this.newest = 0; // number of the frame that is shown
    this.canvases = []; // that pixels are put into, in turns
    this.mostPending = 0;
    this.shownFrames = 0;
    this.pending = new Map(); // when what was sent happened
    this.shots = new Map(); // the same of a camera's pictures, of which not every one is shown
    this.shotLatencies = [];
    this.seen = 0; // the newest change that a frame contained which came, though it may not be shown yet
    this.droppedShots = 0; // sent, and replaced by a newer one before they were rendered
    this.outgoing = [];
    this.scene = null;
    this.scheduled = false;
    this.flushed = 0; // when changes were sent last
    this.behind = false; // changes were made that no server has: whoever hears "hello" sends all again
    this.held = true; // until the page has told a new session what it needs
  }

  connect() {
    this.socket = transport.connect(this.session);
    this.socket.binaryType = "arraybuffer";
    this.socket.onmessage = ({ data }) => (typeof data === "string" ? this.#text(JSON.parse(data)) : this.#frame(data));
    this.socket.onclose = ({ code, reason }) => this.#closed(code, reason);
  }

  get live() {
    return this.socket?.readyState === WebSocket.OPEN && this.session !== null;
  }

  /** The scene as it is now; only the newest is sent. */
  sendScene(scene, final) {
    if (this.#away()) return;
    this.scene = { scene, final, time: this.scene?.time ?? performance.now() };
    this.#schedule();
  }

  /** Points begin with the last one sent of the same gesture. Pieces that wait together become one.
   *  time: when the pointer moved, on the clock of performance.now(). */
  sendStroke(mask, points, brush, final, time = performance.now()) {
    if (this.#away()) return;
    const last = this.outgoing.at(-1);
    if (last?.stroke && last.mask === mask && last.brush === brush && last.points.length + points.length <= 200) {
      last.points.push(...points.slice(2));
      last.final ||= final;
    } else {
      this.outgoing.push({ stroke: true, mask, points: [...points], brush, final, time });
    }
    this.#schedule();
  }

  /** The mask as a whole, as it is when it is sent. */
  sendMask(mask, pixels, final = true) {
    if (this.#away()) return;
    this.outgoing.push({ mask, pixels, final, time: performance.now() });
    this.#schedule();
  }

  /** A camera's picture, at once, as `protocol.cameraPicture` takes it. time: when it was taken. */
  sendPicture(picture, time) {
    this.shots.set(++this.seq, time);
    this.socket.send(protocol.cameraPicture(this.seq, picture));
  }

  /** How many pictures of the camera no frame has come for. */
  get shotsAway() {
    return [...this.shots.keys()].filter((seq) => seq > this.seen).length;
  }

  /** Median of the last pictures' times from the camera to the screen, in ms. */
  get shotLatency() {
    const recent = this.shotLatencies.slice(-40).sort((a, b) => a - b);
    return recent.length ? recent[recent.length >> 1] : null;
  }

  #away() {
    this.behind ||= !this.live;
    return !this.live;
  }

  /** Send what waits, and what comes, from now on. */
  release() {
    this.held = false;
    this.#schedule();
  }

  /** Changes that no frame shows yet. */
  get backlog() {
    return this.pending.size + this.outgoing.length;
  }

  /** Until every change is in a frame that is shown, or for a few seconds. */
  async settled() {
    const end = performance.now() + PATIENCE_MS;
    while ((this.backlog || this.scene) && performance.now() < end) await new Promise((done) => setTimeout(done, 30));
  }

  /** Frames shown within the last second. */
  get frameRate() {
    const now = performance.now();
    this.frameTimes = this.frameTimes.filter((time) => now - time < 1000);
    return this.frameTimes.length;
  }

  /** Median of the last changes' times to the screen, in ms. */
  get latency() {
    const recent = this.latencies.slice(-40).sort((a, b) => a - b);
    return recent.length ? recent[recent.length >> 1] : null;
  }

  /** Send at once, or with the next display frame where something was sent a moment ago. */
  #schedule() {
    if (this.scheduled) return;
    this.scheduled = true;
    // After what runs now: a scene and its masks are changed together.
    if (performance.now() - this.flushed >= APART_MS) queueMicrotask(() => this.#flush());
    else requestAnimationFrame(() => this.#flush());
  }

  #flush() {
    this.scheduled = false;
    if (!this.live || this.held) return;
    this.flushed = performance.now();
    // The scene first: it names the masks that are painted.
    if (this.scene) {
      const { scene, final, time } = this.scene;
      this.scene = null;
      this.socket.send(JSON.stringify({ type: "scene", seq: this.#next(time), final, scene }));
    }
    for (const one of this.outgoing.splice(0)) {
      const seq = this.#next(one.time);
      this.socket.send(
        one.stroke
          ? protocol.stroke(one.mask, seq, one.points, one.brush, one.final)
          : protocol.mask(one.mask, seq, one.pixels, one.final),
      );
    }
  }

  #next(time) {
    this.pending.set(++this.seq, time);
    this.mostPending = Math.max(this.mostPending, this.pending.size);
    return this.seq;
  }

  #text(message) {
    if (message.type === "hello") {
      this.session = message.session;
      this.tries = this.newest = 0;
      this.pending.clear();
      this.shots.clear();
      this.outgoing = [];
      this.scene = null;
      this.held = true;
      this.behind = false;
      this.dispatchEvent(new CustomEvent("state", { detail: "live" }));
      this.dispatchEvent(new CustomEvent("hello", { detail: message }));
    } else if (message.type === "engine") {
      if (message.away) {
        this.pending.clear();
        this.shots.clear();
      }
      this.dispatchEvent(new CustomEvent("state", { detail: message.away ? "away" : "live" }));
    } else if (message.type === "notice") {
      this.pending.clear();
      this.shots.clear(); // what could not be rendered has no frame
      this.dispatchEvent(new CustomEvent("notice", { detail: message.message }));
    }
  }

  /** message: a frame as bytes, or from an engine in the browser with its bitmap. */
  async #frame(message) {
    const socket = this.socket;
    const frame = message instanceof ArrayBuffer ? protocol.parseFrame(message) : message;
    this.seen = Math.max(this.seen, frame.seq);
    this.dispatchEvent(new CustomEvent("seen"));
    // Pixels at once: a decoder's answer may be late for the next display frame.
    const pixels = frame.image instanceof ImageData;
    const bitmap = frame.bitmap ?? (pixels ? this.#canvas(frame.image) : await createImageBitmap(frame.image));
    // Decoders may finish in another order: an older picture never replaces a newer one.
    if (frame.number < this.newest || socket !== this.socket) {
      bitmap.close?.();
      if (socket.readyState === WebSocket.OPEN) socket.send(protocol.ack(frame.number));
      return;
    }
    this.newest = frame.number;
    this.dispatchEvent(new CustomEvent("frame", { detail: { ...frame, bitmap } }));
    // The stage asked for this display frame first: when this runs, the picture is drawn.
    requestAnimationFrame(() => {
      const shown = [...this.pending].filter(([seq]) => seq <= frame.seq);
      for (const [seq] of shown) this.pending.delete(seq);
      const shots = [...this.shots].filter(([seq]) => seq <= frame.seq), shot = shots.at(-1);
      for (const [seq] of shots) this.shots.delete(seq);
      this.droppedShots += Math.max(0, shots.length - 1);
      this.frameTimes.push(performance.now());
      this.shownFrames++;
      this.renderMs = frame.renderMs;
      // What was drawn just now is on the screen when the next display frame begins.
      requestAnimationFrame(() => {
        const now = performance.now();
        this.latencies.push(...shown.map(([, time]) => now - time));
        if (shot) this.shotLatencies.push(now - shot[1]);
        if (this.shotLatencies.length > KEPT) this.shotLatencies.splice(0, this.shotLatencies.length - KEPT);
        if (this.latencies.length > KEPT) this.latencies.splice(0, this.latencies.length - KEPT);
      });
      // Answered when it is shown: a hidden page or a slow one gets no frames it cannot show.
      if (socket.readyState === WebSocket.OPEN) socket.send(protocol.ack(frame.number));
    });
  }

  /** A picture of pixels, while at most one newer one is shown. */
  #canvas(image) {
    const canvas = this.canvases.length < 2 ? new OffscreenCanvas(image.width, image.height) : this.canvases.shift();
    this.canvases.push(canvas);
    canvas.getContext("2d").putImageData(image, 0, 0);
    return canvas;
  }

  #closed(code, reason) {
    this.behind ||= this.backlog > 0 || this.scene !== null;
    this.pending.clear();
    this.outgoing = [];
    this.scene = null;
    const ended = code === 1008 || code === 4000;
    if (ended && reason) this.dispatchEvent(new CustomEvent("notice", { detail: reason }));
    if (code === 4000 && /another window|another version|cannot be opened/.test(reason)) {
      this.dispatchEvent(new CustomEvent("state", { detail: "ended" }));
      return;
    }
    this.dispatchEvent(new CustomEvent("state", { detail: "waiting" }));
    setTimeout(() => this.connect(), RETRY_MS[Math.min(this.tries++, RETRY_MS.length - 1)]);
  }
}
