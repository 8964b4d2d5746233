// How the page reaches what edits: the server that it came from, or an engine in the browser itself, in a page
// that `stylemap export web` wrote.

const server = {
  fetch: (path, options) => fetch(path, options),

  imageUrl: (id, thumb) => `/api/images/${encodeURIComponent(id)}${thumb ? "?thumb=1" : ""}`,

  /** A WebSocket of a new session, or of one that goes on. */
  connect(session) {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    return new WebSocket(`${scheme}://${location.host}/socket${session ? `?session=${encodeURIComponent(session)}` : ""}`);
  },
};

const here = document.documentElement.dataset.engine === "browser";
export const transport = here ? (await import("./browser/transport.js")).transport : server;
