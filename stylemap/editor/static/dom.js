// Small helpers for the page.

import { ICONS } from "./icons.js";

export const $ = (selector, root = document) => root.querySelector(selector);
export const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

/** An element with properties (class, dataset, aria-… and on… among them) and children. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "dataset") Object.assign(element.dataset, value);
    else if (name === "colour") element.style.setProperty("--colour", value);
    else if (name in element && name !== "list") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("icon");
  for (const d of ICONS[name].split("|")) {
    const path = document.createElementNS(svg.namespaceURI, "path");
    path.setAttribute("d", d);
    svg.append(path);
  }
  return svg;
}

/** <span data-icon="name"> becomes the icon. */
export function placeIcons(root = document) {
  for (const place of $$("[data-icon]", root)) place.replaceWith(icon(place.dataset.icon));
}

/** A button that is an icon; the label is its tooltip too. */
export function iconButton(name, label, onclick, properties = {}) {
  return h("button", { type: "button", class: "icon-button", "aria-label": label, title: label, onclick, ...properties }, icon(name));
}

/**
 * A range input: moving() while it is dragged, done() when it is let go; the track is filled to the thumb.
 * @param {HTMLInputElement} input
 * @param {(value: number) => void} moving
 * @param {(value: number) => void} [done]
 */
export function bindRange(input, moving, done = () => {}) {
  const fill = () => {
    const low = Number(input.min), high = Number(input.max);
    input.style.setProperty("--fill", `${(100 * (Number(input.value) - low)) / (high - low)}%`);
  };
  input.addEventListener("input", () => {
    fill();
    moving(Number(input.value));
  });
  input.addEventListener("change", () => done(Number(input.value)));
  fill();
  return (value) => {
    if (Number(input.value) === value) return;
    input.value = value;
    fill();
  };
}

export function toast(text, kind = "info") {
  const place = $("#toasts");
  const note = h("div", { class: `toast ${kind}` }, text);
  place.append(note);
  while (place.children.length > 3) place.firstChild.remove();
  setTimeout(() => note.remove(), 5000);
}

/** Write a text where it differs: the same one again would be laid out anew. */
export function tell(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

/** Hide or show where that changes something: an attribute is looked at anew even where it is set to what it was. */
export function hide(place, hidden) {
  if (place.hidden !== hidden) place.hidden = hidden;
}

let working = 0;

/**
 * Work that takes a while: the page says so as long as it goes on, and tells what failed.
 * @param {() => unknown} work
 * @param {string} [about] what a failure's message begins with
 */
export async function attempt(work, about = "") {
  working += 1;
  document.body.dataset.working = "";
  try {
    await work();
  } catch (error) {
    toast(`${about}${error.message}`, "error");
  } finally {
    working -= 1;
    if (!working) delete document.body.dataset.working;
  }
}

export function save(blob, name) {
  const link = h("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
