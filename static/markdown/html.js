/** The one door for HTML and for scripts: the trusted-types policy `blocks`, and the browser's own sanitizer where it has one. */

const SVG = "http://www.w3.org/2000/svg";
const WORKER = new URL("../worker.js", import.meta.url).href;

const policy = globalThis.trustedTypes?.createPolicy("blocks", {
  createHTML: (html) => html, // the server has sanitized it
  createScriptURL: (url) => {
    if (url !== WORKER) throw new TypeError(`not a script of this page: ${url}`);
    return url;
  },
});

/** A second opinion: besides scripts, which `setHTML` always drops, nothing that loads, asks or paints over the page. */
const sanitizer = globalThis.Sanitizer && new Sanitizer({
  removeElements: [
    "img", "picture", "video", "audio", "source", "track", "form", "button", "select", "textarea", "style", "link", "meta",
    "base", "template", "slot", "dialog", { name: "svg", namespace: SVG },
  ],
  removeAttributes: ["style", "id", "name"],
  comments: false,
});

/** Make `html`, a block as the server rendered it, the content of `element`. */
export function setHTML(element, html) {
  if (element.setHTML) element.setHTML(html, { sanitizer });
  else element.innerHTML = policy ? policy.createHTML(html) : html;
}

/** The address of the shared worker, as a script's address that the page's policy lets through. */
export function workerURL() {
  return policy ? policy.createScriptURL(WORKER) : WORKER;
}
