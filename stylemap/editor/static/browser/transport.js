// The engine in the browser in the server's place: a worker that answers the same questions, so that the page
// never waits for the model.

const SITE = new URL("../../", import.meta.url);
const OPEN = 1;

const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
const waiting = new Map(); // number of a question → what takes the answer
const pictures = new Map(); // id → address of an own picture
let questions = 0;
let socket = null;

/** What the page takes for a WebSocket. */
class Socket {
  constructor() {
    this.readyState = OPEN;
    this.binaryType = "arraybuffer";
    this.onmessage = null;
    this.onclose = null;
  }

  send(message) {
    worker.postMessage({ message });
  }
}

const tell = (message) => socket?.onmessage?.({ data: JSON.stringify({ type: "notice", message }) });

worker.onerror = (event) => tell(`The model cannot run in this browser: ${event.message ?? "its program cannot be loaded"}`);
worker.onmessage = ({ data }) => {
  if (data.question === undefined) return socket?.onmessage?.(data);
  const { question, status, body, picture } = data;
  if (picture) pictures.set(picture.id, URL.createObjectURL(picture.blob));
  waiting.get(question)(new Response(body, { status }));
  waiting.delete(question);
};

export const transport = {
  near: false, // the engine takes files

  /** As fetch; what begins with /api/ is answered by the engine. */
  fetch(path, options = {}) {
    if (!path.startsWith("/api/")) return fetch(path, options);
    const parts = path.match(/^\/api\/images\/([^/]+)\/parts$/);
    if (parts) return fetch(`gallery/${parts[1]}.parts.json`);
    const { method = "GET", body = null } = options;
    return new Promise((resolve) => {
      waiting.set(++questions, resolve);
      worker.postMessage({ question: questions, method, path, body });
    });
  },

  imageUrl: (id, thumb) => pictures.get(id) ?? `gallery/${encodeURIComponent(id)}.png`,

  connect(session) {
    socket = new Socket();
    worker.postMessage({ connect: true });
    return socket;
  },
};

// Kept for times without a network. An address without TLS that is not this machine's has no such thing.
navigator.serviceWorker?.register(new URL("sw.js", SITE), { updateViaCache: "none" }).catch(() => {});
