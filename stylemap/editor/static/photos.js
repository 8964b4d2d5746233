// The photos: generated faces, the folder, uploads, random faces; and what a click makes of them.

import * as api from "./api.js";
import { cropDialog } from "./crop.js";
import { $, $$, attempt, h, icon, toast } from "./dom.js";

const TYPES = ["image/png", "image/jpeg", "image/webp"];
const VIDEOS = ["video/mp4", "video/webm", "video/ogg", "video/quicktime"];

/** Events: "photos" after own photos came or went, "video" (detail: a file) to be the original, "far" (detail: a
 *  photo) after one was uploaded that the model decodes badly. */
export class Gallery extends EventTarget {
  /** images: id → ImageBitmap of what is in use. */
  constructor(editor, images) {
    super();
    this.editor = editor;
    this.images = images;
    this.blobs = new Map(); // id → the same as a file, to send and to save again
    this.files = new Map(); // photo.file → the whole photo that an upload is a square (photo.crop) of
    this.shot = null; // () => what the camera shows, as PNG, once there is one
    this.photos = [];
    this.use = "original";
    for (const button of $$("#use button")) button.addEventListener("click", () => this.setUse(button.value));
    $("#upload").addEventListener("change", (event) => {
      this.upload([...event.target.files]);
      event.target.value = "";
    });
    $("#upload-button").addEventListener("click", () => $("#upload").click());
    $("#random").addEventListener("click", () => this.random());
    const { classes, random } = editor.model;
    $("#random").hidden = random === false; // a site of a model without one mapping network
    $("#class").hidden = classes.length === 0;
    $("#class").append(...classes.map((name) => h("option", { value: name }, name)));
    this.#dropTarget();
    this.#clipboard();
    editor.addEventListener("change", () => this.#mark());
  }

  async load() {
    this.photos = [...this.own, ...(await api.gallery())];
    this.#render();
  }

  /** Uploads and random faces. */
  get own() {
    return this.photos.filter((photo) => photo.kind);
  }

  /** Give a server that does not know them the own photos again; returns the ids of those it refuses.
   *  photos: of an earlier visit, with their files. */
  async sendAgain(photos = this.own) {
    const lost = [];
    for (const photo of photos) {
      if (photo.blob) this.blobs.set(photo.id, photo.blob);
      try {
        await this.#rename(photo, await this.#send(photo));
      } catch (error) {
        if (error instanceof api.Offline) throw error; // all over again when it is back
        lost.push(photo.id);
      }
    }
    this.photos = this.photos.filter((photo) => !lost.includes(photo.id));
    return lost;
  }

  #send(photo) {
    const { session } = this.editor.link;
    if (photo.kind === "random") return api.random(session, photo);
    const file = this.files.get(photo.file);
    return file ? api.upload(session, file, photo.name, photo.crop) : api.upload(session, this.blobs.get(photo.id), photo.name);
  }

  async #rename(photo, { id, whole }) {
    for (const map of [this.images, this.blobs]) {
      if (map.has(photo.id)) map.set(id, map.get(photo.id));
      map.delete(photo.id);
    }
    this.editor.renameImage(photo.id, id);
    const { blob, ...facts } = photo;
    this.photos = [...this.photos.filter((one) => one.id !== photo.id), { ...facts, id, whole }];
  }

  photo(id) {
    return this.photos.find((photo) => photo.id === id);
  }

  /** Its pixels, for the stage; they are there when the promise is done. */
  async ensure(id) {
    if (!id || this.images.has(id)) return;
    if (!this.blobs.has(id)) this.blobs.set(id, await api.imageBlob(id));
    this.images.set(id, await createImageBitmap(this.blobs.get(id)));
  }

  /** What a click does: "original", "reference" or "mix". Mixing is asked for each time: it cannot be seen
   *  from afar that the next photo would replace the one that is mixed in. */
  choose(id, use = this.use) {
    return attempt(async () => {
      await this.ensure(id);
      this.#use(id, use);
    });
  }

  #use(id, use) {
    const { editor } = this;
    if (use === "original") {
      editor.update({ original: id });
      if (!editor.scene.references.length) this.setUse("reference");
    } else if (use === "mix") {
      const codes = editor.scene.mix?.codes ?? editor.model.codes.map((_, i) => i).slice(2);
      editor.update({ mix: { image: id, codes } });
      this.setUse("reference");
    } else if (editor.addReference(id) === null) {
      toast(`At most ${editor.model.limits.references} references: remove one first.`, "error");
    }
  }

  /** Upload a photo; where it is more than the square, it is kept whole here too. */
  async send(file, name, crop = null) {
    const sent = await api.upload(this.editor.link.session, file, name.slice(0, 80), crop);
    const photo = sent.whole ? { ...sent, crop, file: sent.id } : sent;
    if (sent.whole) this.files.set(sent.id, file);
    await this.add(photo);
    return photo;
  }

  /** An own photo, which the server has. */
  async add(photo) {
    this.photos = [photo, ...this.photos.filter((one) => one.id !== photo.id)];
    this.#render();
    await this.ensure(photo.id);
    this.dispatchEvent(new CustomEvent("photos"));
  }

  /** The class that random faces are of; null for any. */
  get #class() {
    return $("#class").value || null;
  }

  async random() {
    if ($("#random").hidden) return;
    const seed = crypto.getRandomValues(new Uint32Array(1))[0] % 100_000;
    await attempt(async () => {
      const photo = await api.random(this.editor.link.session, { seed, class_name: this.#class });
      await this.add(photo);
      await this.choose(photo.id);
    });
  }

  /** One after the other: each is cropped, then sent. */
  async upload(files) {
    for (const file of files) {
      if (VIDEOS.includes(file.type)) {
        this.dispatchEvent(new CustomEvent("video", { detail: file }));
        continue;
      }
      if (!TYPES.includes(file.type)) {
        toast(`${file.name} is not a JPEG, PNG or WebP photo, and no video.`, "error");
        continue;
      }
      if (file.size > this.editor.model.limits.upload_bytes) {
        toast(`${file.name} is larger than ${this.editor.model.limits.upload_bytes >> 20} MB.`, "error");
        continue;
      }
      const crop = await this.#crop(file);
      if (!crop) continue;
      await attempt(async () => {
        const photo = await this.send(file, file.name, crop);
        await this.choose(photo.id);
        if (photo.far) this.dispatchEvent(new CustomEvent("far", { detail: photo }));
      }, `${file.name}: `);
    }
  }

  #crop(file) {
    const server = { session: this.editor.link.session, faces: this.editor.model.faces };
    return cropDialog(file, server).catch((error) => toast(`${file.name}: ${error.message}`, "error"));
  }

  /** Cut another square of a photo, which takes the place of the first one wherever it is used. */
  async placeAgain(photo) {
    const file = this.files.get(photo.file) ?? this.blobs.get(photo.id);
    const crop = await this.#crop(new File([file], photo.name, { type: file.type }));
    if (!crop) return;
    await attempt(async () => {
      const placed = await this.send(file, photo.name, crop);
      this.editor.renameImage(photo.id, placed.id);
      this.editor.load(this.editor.scene, this.editor.masks.snapshot());
      await this.editor.link.settled(); // the server has the scene without it
      await this.#forget(photo);
      if (placed.far) this.dispatchEvent(new CustomEvent("far", { detail: placed }));
    }, `${photo.name}: `);
  }

  async #remove(photo) {
    await attempt(() => this.#forget(photo));
  }

  async #forget(photo) {
    await api.removeImage(this.editor.link.session, photo.id);
    this.photos = this.photos.filter((one) => one !== photo);
    this.images.delete(photo.id);
    this.blobs.delete(photo.id);
    this.files.delete(photo.file);
    this.#render();
    this.dispatchEvent(new CustomEvent("photos"));
  }

  setUse(use) {
    this.use = use;
    for (const button of $$("#use button")) button.setAttribute("aria-pressed", String(button.value === use));
    this.#mark();
  }

  #render() {
    const tiles = this.photos.map((photo) =>
      h(
        "li",
        { class: "tile", dataset: { id: photo.id } },
        h(
          "button",
          { type: "button", title: photo.name, onclick: () => this.choose(photo.id) },
          h("img", { src: api.imageUrl(photo.id, true), alt: "", loading: "lazy", width: 96, height: 96, draggable: false }),
          h("span", { class: "marks" }),
        ),
        photo.kind &&
          h("button", { type: "button", class: "tile-remove", "aria-label": `Remove ${photo.name}`, onclick: () => this.#remove(photo) }, icon("close")),
      ),
    );
    $("#photos-list").replaceChildren(...tiles);
    this.#mark();
  }

  #mark() {
    const { scene } = this.editor;
    const words = { original: "Edit", reference: "Add as reference:", mix: "Mix in" };
    for (const tile of $$("#photos-list .tile")) {
      const id = tile.dataset.id;
      const used = scene.references.filter((one) => one.image === id);
      tile.classList.toggle("is-original", id === scene.original);
      tile.classList.toggle("is-mix", id === scene.mix?.image);
      $(".marks", tile).replaceChildren(
        ...used.map((one) => h("span", { class: "dot", colour: this.editor.colour(one.mask) })),
      );
      const state = id === scene.original ? ", the original" : used.length ? ", a reference" : "";
      $("button", tile).setAttribute("aria-label", `${words[this.use]} ${this.photo(id)?.name ?? "photo"}${state}`);
    }
  }

  /** Images from the clipboard, as if they were dropped. */
  #clipboard() {
    addEventListener("paste", (event) => {
      const files = [...event.clipboardData.files];
      if (!files.length) return;
      event.preventDefault();
      this.upload(files);
    });
  }

  #dropTarget() {
    const body = document.body;
    const files = (event) => event.dataTransfer?.types.includes("Files");
    addEventListener("dragover", (event) => {
      if (!files(event)) return;
      event.preventDefault();
      body.classList.add("dropping");
    });
    addEventListener("dragleave", (event) => !event.relatedTarget && body.classList.remove("dropping"));
    addEventListener("drop", (event) => {
      body.classList.remove("dropping");
      if (!files(event)) return;
      event.preventDefault();
      const dropped = [...event.dataTransfer.files];
      const project = dropped.find((file) => file.name.endsWith(".stylemap") || file.type === "application/json");
      if (project) this.editor.dispatchEvent(new CustomEvent("project", { detail: project }));
      else this.upload(dropped);
    });
  }
}
