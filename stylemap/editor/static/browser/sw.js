// The service worker: keeps the whole site for times without a network, and lets the page share memory between
// threads where the host sends no headers for that.

const worker = /** @type {any} */ (self);
worker.importScripts("files.js"); // SITE: version, files

const PREFIX = `stylemap ${worker.registration.scope} `;
const NAME = PREFIX + worker.SITE.version;
const ISOLATION = { "cross-origin-opener-policy": "same-origin", "cross-origin-embedder-policy": "require-corp" };

worker.addEventListener("install", (event) => event.waitUntil(install()));
worker.addEventListener("activate", (event) => event.waitUntil(activate()));
worker.addEventListener("fetch", (event) => {
  const { method, url } = event.request;
  if (method === "GET" && url.startsWith(worker.registration.scope)) event.respondWith(answer(event.request));
});

async function install() {
  const cache = await caches.open(NAME);
  // Past the browser's cache of an earlier version.
  await cache.addAll(worker.SITE.files.map((file) => new Request(file, { cache: "no-cache" })));
  await worker.skipWaiting();
}

async function activate() {
  for (const name of await caches.keys()) if (name.startsWith(PREFIX) && name !== NAME) await caches.delete(name);
  await worker.clients.claim();
}

async function answer(request) {
  const cache = await caches.open(NAME);
  const page = request.mode === "navigate" && new URL(request.url).pathname.endsWith("/");
  const kept = await cache.match(page ? "index.html" : request, { ignoreSearch: true });
  const found = kept ?? (await fetch(request));
  if (!found.ok) return found;
  const headers = new Headers(found.headers);
  for (const [name, value] of Object.entries(ISOLATION)) headers.set(name, value);
  return new Response(found.body, { status: found.status, statusText: found.statusText, headers });
}
