/** What of an answer can be used: listings have a button that copies them, and what is wide is scrolled. */

import { t } from "../state/i18n.js";

/** Give each listing in an element its copy button, and let the keyboard scroll what may be too wide. */
export function dress(element) {
  for (const box of element.querySelectorAll("pre > code, table")) box.tabIndex = 0;
  for (const listing of element.querySelectorAll("pre")) {
    if (listing.querySelector(":scope > .copy-code")) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy-code";
    button.ariaLabel = t("Copy code");
    listing.append(button);
  }
}

