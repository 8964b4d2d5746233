// What the header says about the connection.

import { $ } from "./dom.js";

export function bindStatus(link) {
  const words = { live: "Live", waiting: "Reconnecting…", ended: "Open in another window" };
  const state = (name) => {
    $("#status").dataset.state = name;
    $("#status-text").textContent = words[name];
  };
  link.addEventListener("state", (event) => state(event.detail));
  state("waiting");
  setInterval(() => {
    const latency = link.latency;
    $("#latency").textContent = latency === null ? "–" : `${Math.round(latency)} ms`;
    const rate = link.frameRate;
    $("#rate").textContent = rate ? `${rate} fps` : "idle";
    $("#render").textContent = link.renderMs ? `${link.renderMs.toFixed(0)} ms` : "–";
  }, 500);
}
