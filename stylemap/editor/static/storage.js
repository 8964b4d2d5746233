// What is kept in the browser: the scene, its masks and own photos outlive a reload and a server's restart.

import { CAMERA } from "./state.js";

const DATABASE = "stylemap", STORE = "work";
const QUIET_MS = 250; // after the last change, before it is written

function request(one) {
  return new Promise((resolve, reject) => {
    one.onsuccess = () => resolve(one.result);
    one.onerror = () => reject(one.error);
  });
}

async function database() {
  const opening = indexedDB.open(DATABASE, 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
  return request(opening);
}

export class Storage {
  /** beforeCamera(): the original that the camera took the place of. */
  constructor(editor, gallery, beforeCamera = () => null) {
    this.editor = editor;
    this.gallery = gallery;
    this.beforeCamera = beforeCamera;
    // Work of one model means nothing to another.
    this.key = JSON.stringify([editor.model.name, editor.size, editor.model.stylemap]);
    this.written = new Set(); // of the whole photos, which are written once
    this.saving = 0; // writes that go on
  }

  /** What was kept, or null; private windows may keep nothing. */
  async load() {
    try {
      this.db = await database();
      const store = () => this.db.transaction(STORE).objectStore(STORE);
      const record = (await request(store().get(this.key))) ?? null;
      for (const { file } of record?.photos ?? []) {
        const kept = file && (await request(store().get(this.#fileKey(file))));
        if (!kept) continue;
        this.gallery.files.set(file, kept);
        this.written.add(file);
      }
      return record;
    } catch {
      return null;
    }
  }

  /** Something for another page, which takes it once. */
  async put(name, value) {
    if (this.db) await request(this.db.transaction(STORE, "readwrite").objectStore(STORE).put(value, name));
  }

  async take(name) {
    if (!this.db) return null;
    const store = this.db.transaction(STORE, "readwrite").objectStore(STORE);
    const found = await request(store.get(name));
    await request(store.delete(name));
    return found ?? null;
  }

  /** From now on every change is written, soon after it or when the page is left. */
  start() {
    if (!this.db) return;
    for (const name of ["change", "mask"]) this.editor.addEventListener(name, () => this.#soon());
    this.gallery.addEventListener("photos", () => this.#soon());
    addEventListener("pagehide", () => this.timer && this.save());
    document.addEventListener("visibilitychange", () => document.hidden && this.timer && this.save());
  }

  #soon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.save(), QUIET_MS);
  }

  #fileKey(file) {
    return `${this.key} ${file}`;
  }

  async save() {
    clearTimeout(this.timer);
    this.timer = null;
    this.saving++;
    await this.#saveRecord();
    await this.#saveFiles();
    this.saving--;
  }

  async #saveRecord() {
    const { editor, gallery } = this;
    const numbers = editor.maskNumbers();
    const { scene } = editor;
    const record = {
      // After a reload the camera is off.
      scene: scene.original === CAMERA ? { ...scene, original: this.beforeCamera() } : scene,
      active: editor.active,
      masks: new Map(numbers.map((number) => [number, editor.masks.get(number)])),
      photos: gallery.own.map((photo) => ({ ...photo, blob: gallery.blobs.get(photo.id) })),
    };
    try {
      await request(this.db.transaction(STORE, "readwrite").objectStore(STORE).put(record, this.key));
    } catch {
      // A full disk: the page goes on without.
    }
  }

  /** Whole photos have records of their own: the scene is written often, they need not be. */
  async #saveFiles() {
    const wanted = new Set(this.gallery.own.map((photo) => photo.file).filter(Boolean));
    const store = () => this.db.transaction(STORE, "readwrite").objectStore(STORE);
    try {
      for (const file of this.written) {
        if (wanted.has(file)) continue;
        await request(store().delete(this.#fileKey(file)));
        this.written.delete(file);
      }
      for (const file of wanted) {
        if (this.written.has(file) || !this.gallery.files.has(file)) continue;
        await request(store().put(this.gallery.files.get(file), this.#fileKey(file)));
        this.written.add(file);
      }
    } catch {
      // A full disk: after a reload the square is there, without its photo.
    }
  }
}
