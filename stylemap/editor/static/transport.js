// How the page reaches what edits: the server that it came from, or an engine in the browser itself, in a page
// that `stylemap export web` wrote.

import { VERSION } from "./protocol.js";

/** The model that this page is of, where its address names one. */
const model = new URLSearchParams(location.search).get("model");

/** An address of the interface, with that model. */
const named = (path) => {
  if (!model || path.includes("model=")) return path;
  return `${path}${path.includes("?") ? "&" : "?"}model=${encodeURIComponent(model)}`;
};

/** Whether server and browser are one machine, where pixels cost less than their files. */
const near = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);

const server = {
  near,

  fetch: (path, options) => fetch(named(path), options),

  imageUrl: (id, thumb) => named(`/api/images/${encodeURIComponent(id)}${thumb ? "?thumb=1" : ""}`),

  /** A WebSocket of a new session, or of one that goes on. */
  connect(session) {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const query = new URLSearchParams({ protocol: String(VERSION), ...(near ? { pixels: "1" } : {}), ...(session ? { session } : {}), ...(model ? { model } : {}) });
    return new WebSocket(`${scheme}://${location.host}/socket?${query}`);
  },
};

const here = document.documentElement.dataset.engine === "browser";
export const transport = here ? (await import("./browser/transport.js")).transport : server;
