// The graphs of the model, which `stylemap export web` wrote, as functions of arrays.

import { backends, download, openRuntime } from "./runtime.js";
import { toInput } from "./pixels.js";

const TOLERANCE = 0.02; // of the check, in [-1, 1]: what is wrong with a driver is far from it

export class Model {
  /** The model of a site on the first backend that opens it and computes what Python did. */
  static async open(site) {
    const facts = JSON.parse(new TextDecoder().decode(await download(new URL("model/model.json", site))));
    let problem;
    for (const backend of await backends()) {
      try {
        const model = new Model(site, facts, backend);
        await model.#load();
        if (backend !== "wasm") await model.#check();
        return model;
      } catch (error) {
        problem = error;
      }
    }
    throw problem;
  }

  constructor(site, facts, backend) {
    this.site = site;
    this.facts = facts;
    this.about = { ...facts.about, random: facts.graphs.includes("mapping") };
    this.backend = backend;
    this.size = facts.about.size;
    this.stylemap = facts.about.stylemap;
    this.codes = facts.codes; // [channels, height, width] of every stylecode
    this.sessions = {};
  }

  async #load() {
    const { site, facts } = this;
    const file = (name) => download(new URL(`model/${name}`, site));
    const [runtime, data, arrays, ...graphs] = await Promise.all([
      openRuntime(site, this.backend),
      file(facts.weights),
      file("arrays.bin"),
      ...facts.graphs.map((name) => file(`${name}.onnx`)),
    ]);
    this.ort = runtime.ort;
    this.threads = runtime.threads;
    let at = arrays.byteOffset;
    this.arrays = new Map();
    for (const { name, size } of facts.arrays) {
      this.arrays.set(name, new Float32Array(arrays.buffer, at, size));
      at += 4 * size;
    }
    const options = { executionProviders: [this.backend], externalData: [{ path: facts.weights, data }] };
    for (const [index, name] of facts.graphs.entries()) {
      this.sessions[name] = await this.ort.InferenceSession.create(graphs[index], options);
    }
  }

  /** Image 3×S×S in [-1, 1] → stylemap. */
  async encode(image) {
    return (await this.#run("encoder", { images: [image, [3, this.size, this.size]] })).w.data;
  }

  async map(z) {
    return (await this.#run("mapping", { z: [z, [z.length]] })).w.data;
  }

  /** Stylemap → stylecodes. */
  async stylecodes(w) {
    const made = await this.#run("stylecodes", { w: [w, this.stylemap] });
    return this.codes.map((_, index) => made[`codes_${index}`].data);
  }

  /** Parts of stylecodes, {data, dims: [channels, height, width]}, → maps of them, likewise. */
  async maps(codes) {
    const made = await this.#run("part_maps", named("codes", codes));
    return codes.map((_, index) => {
      const { data, dims } = made[`maps_${index}`];
      return { data, dims: dims.slice(1) };
    });
  }

  /** Maps → image 3×S×S. */
  async picture(maps) {
    return (await this.#run("picture", named("maps", maps))).images.data;
  }

  async #run(graph, inputs) {
    const tensors = {};
    for (const [name, [data, dims]] of Object.entries(inputs)) {
      tensors[name] = new this.ort.Tensor("float32", data, [1, ...dims]);
    }
    return this.sessions[graph].run(tensors);
  }

  /** Drivers of GPUs have faults: one picture is computed and compared. */
  async #check() {
    const { image, places, values } = this.facts.check;
    const pixels = toInput(await createImageBitmap(new Blob([await download(new URL(`gallery/${image}.png`, this.site))])), this.size);
    const codes = await this.stylecodes(await this.encode(pixels));
    const made = await this.picture(await this.maps(codes.map((data, index) => ({ data, dims: this.codes[index] }))));
    if (!places.every((place, index) => Math.abs(made[place] - values[index]) < TOLERANCE)) {
      throw new Error(`${this.backend} computes something else`);
    }
  }
}

const named = (stem, arrays) => Object.fromEntries(arrays.map(({ data, dims }, index) => [`${stem}_${index}`, [data, dims]]));
