/** The only sink for HTML and script URLs: the trusted-types policy `blocks`, and the browser's sanitizer if any. */

import { sanitizer } from "./sanitizer.js";

const WORKER = new URL("../worker.js", import.meta.url).href;

const policy = globalThis.trustedTypes?.createPolicy("blocks", {
  createHTML: (html) => html, // sanitized by the server
  createScriptURL: (url) => {
    if (url !== WORKER) throw new TypeError(`not a script of this page: ${url}`);
    return url;
  },
});

/** Set the content of `element` to `html`, a block rendered by the server. */
export function setHTML(element, html) {
  if (element.setHTML) element.setHTML(html, { sanitizer });
  else element.innerHTML = policy ? policy.createHTML(html) : html;
}

/** The URL of the shared worker, as a `TrustedScriptURL` where the browser has them. */
export function workerURL() {
  return policy ? policy.createScriptURL(WORKER) : WORKER;
}
