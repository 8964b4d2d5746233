// What is kept in the browser: the scene, its masks and own photos outlive a reload and a server's restart.

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
  constructor(editor, gallery) {
    this.editor = editor;
    this.gallery = gallery;
    // Work of one model means nothing to another.
    this.key = JSON.stringify([editor.model.name, editor.size, editor.model.stylemap]);
  }

  /** What was kept, or null; private windows may keep nothing. */
  async load() {
    try {
      this.db = await database();
      return (await request(this.db.transaction(STORE).objectStore(STORE).get(this.key))) ?? null;
    } catch {
      return null;
    }
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

  async save() {
    clearTimeout(this.timer);
    this.timer = null;
    const { editor, gallery } = this;
    const numbers = editor.maskNumbers();
    const record = {
      scene: editor.scene,
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
}
