// Light, dark, or as the system says; remembered where the browser allows it.

import { $, icon } from "./dom.js";

const KEY = "stylemap-theme";
const system = matchMedia("(prefers-color-scheme: dark)");

function stored() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}

export function bindTheme() {
  const button = $("#theme");
  const apply = (theme) => {
    document.documentElement.dataset.theme = theme;
    button.replaceChildren(icon(theme === "dark" ? "sun" : "moon"));
    button.setAttribute("aria-label", theme === "dark" ? "Light colours" : "Dark colours");
    button.title = button.getAttribute("aria-label");
  };
  const wanted = () => stored() ?? (system.matches ? "dark" : "light");
  apply(wanted());
  system.addEventListener("change", () => apply(wanted()));
  button.addEventListener("click", () => {
    const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      // Without storage it holds for this visit.
    }
    apply(theme);
  });
}
