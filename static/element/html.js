/** The only sink for HTML of `<tailrace-chat>`: the browser's sanitizer, or the trusted-types policy `tailrace`. */

import { sanitizer } from "../markdown/sanitizer.js";

let policy = null;

/** Set the content of `element` to `html`, a block that the server rendered and sanitized. */
export function setHTML(element, html) {
  if (element.setHTML) element.setHTML(html, { sanitizer });
  else element.innerHTML = trusted(html);
}

/** Made on first use: a page's policy need not name it for browsers that have `setHTML`. */
function trusted(html) {
  policy ??= globalThis.trustedTypes?.createPolicy("tailrace", { createHTML: (text) => text });
  return policy ? policy.createHTML(html) : html;
}
