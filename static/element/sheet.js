/** The style sheet of `<tailrace-chat>`, made once for all of them. It needs no `style-src`: no element carries it. */

import CSS_TEXT from "./style.css" with { type: "text" };

const REM = /(?<!@media[^{]*)(?<![\w-])(\d*\.?\d+)rem\b/g;

let made = null;

/** Sizes follow `--tailrace-font-size`: the `rem` of a page may be anything. */
export function sheet() {
  if (made) return made;
  made = new CSSStyleSheet();
  made.replaceSync(CSS_TEXT.replace(REM, "calc($1 * var(--tailrace-font-size, 1rem))"));
  return made;
}
