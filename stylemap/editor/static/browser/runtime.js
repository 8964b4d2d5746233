// ONNX Runtime: on WebGPU where there is one, else as WebAssembly, with threads where the page may share memory.

const KINDS = {
  webgpu: { script: "ort.webgpu.min.mjs", program: "ort-wasm-simd-threaded.asyncify" },
  wasm: { script: "ort.wasm.min.mjs", program: "ort-wasm-simd-threaded" },
};
const MOST_THREADS = 4;

/** What can be tried, the best first. */
export async function backends() {
  const gpu = /** @type {any} */ (navigator).gpu;
  const adapter = await gpu?.requestAdapter().catch(() => null);
  return adapter ? ["webgpu", "wasm"] : ["wasm"];
}

/** The runtime of one of the backends; threads: how many it computes with. */
export async function openRuntime(site, backend) {
  const folder = new URL("runtime/", site);
  const { script, program } = KINDS[backend];
  const [ort, wasmBinary] = await Promise.all([
    import(new URL(script, folder).href),
    download(new URL(`${program}.wasm.gz`, folder)),
  ]);
  const threads = self.crossOriginIsolated ? Math.min(MOST_THREADS, navigator.hardwareConcurrency) : 1;
  Object.assign(ort.env.wasm, { wasmBinary, numThreads: threads, wasmPaths: { mjs: new URL(`${program}.mjs`, folder).href } });
  ort.env.logLevel = "error";
  return { ort, threads };
}

/** The bytes of a file, unpacked where it is packed: some hosts say so, and the browser has done it by then. */
export async function download(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`${address.pathname} cannot be loaded: ${answer.status}`);
  const bytes = new Uint8Array(await answer.arrayBuffer());
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  const unpacked = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(unpacked).arrayBuffer());
}
