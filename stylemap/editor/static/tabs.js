// Panels on narrow screens.

import { $$ } from "./dom.js";

/** On narrow screens one panel is shown at a time. */
export function bindTabs() {
  for (const tab of $$("#tabs button")) {
    tab.addEventListener("click", () => {
      document.body.dataset.tab = tab.value;
      for (const other of $$("#tabs button")) other.setAttribute("aria-pressed", String(other === tab));
      dispatchEvent(new CustomEvent("tab"));
    });
  }
}
