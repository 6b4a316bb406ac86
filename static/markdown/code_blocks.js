/** Controls in an answer: code blocks get a copy button, wide content scrolls by keyboard. */

import { t } from "../state/i18n.js";

/** Add copy buttons to the code blocks in an element, and make code and tables focusable for keyboard scrolling. */
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

