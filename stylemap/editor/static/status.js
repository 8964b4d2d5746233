// What the header says about the connection.

import { $, tell } from "./dom.js";

const PATIENCE_MS = 1000;
const BANNERS = {
  waiting: "No connection to the server. Go on painting: everything is kept, and applied when it is back.",
  away: "The engine does not answer. Go on painting: everything is kept, and rendered when it is back.",
  ended: "This edit was opened in another window. Reload to go on here.",
};

export function bindStatus(link) {
  let timer;
  const words = { live: "Live", waiting: "Reconnecting…", away: "Engine away", ended: "Open in another window" };
  const state = (name) => {
    $("#status").dataset.state = name;
    $("#status-text").textContent = words[name];
  };
  const banner = $("#banner");
  link.addEventListener("state", ({ detail }) => {
    state(detail);
    clearTimeout(timer);
    if (detail === "live") banner.hidden = true;
    // A session that goes on at once is no news.
    else if (banner.hidden) timer = setTimeout(() => warn(detail), PATIENCE_MS);
  });
  const warn = (name) => {
    banner.textContent = BANNERS[name];
    banner.hidden = false;
  };
  state("waiting");
  setInterval(() => {
    const latency = link.latency;
    tell($("#latency"), latency === null ? "–" : `${Math.round(latency)} ms`);
    const rate = link.frameRate;
    tell($("#rate"), rate ? `${rate} fps` : "idle");
    tell($("#render"), link.renderMs ? `${link.renderMs.toFixed(0)} ms` : "–");
  }, 500);
}
