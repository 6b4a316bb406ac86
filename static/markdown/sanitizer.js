/** Second line of defence: `setHTML` always drops scripts; this drops what loads, takes input or covers the page. */

const SVG = "http://www.w3.org/2000/svg";

/** What `setHTML` is told, in browsers that have it. */
export const sanitizer = globalThis.Sanitizer && new Sanitizer({
  removeElements: [
    "img", "picture", "video", "audio", "source", "track", "form", "button", "select", "textarea", "style", "link", "meta",
    "base", "template", "slot", "dialog", { name: "svg", namespace: SVG },
  ],
  removeAttributes: ["style", "id", "name"],
  comments: false,
});
