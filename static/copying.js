/** Copying to the clipboard, an answer as Markdown and as HTML, or a listing as text. Works on plain HTTP, too. */

import { t } from "./words.js";

const SAID_FOR = 1500; // ms in which a button says that it has copied

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

/** The text of the listing that a copy button belongs to. */
export function listingOf(button) {
  return button.parentElement.querySelector("code")?.textContent ?? button.parentElement.textContent;
}

/** An element's HTML, without the buttons that the page has put into it. */
export function htmlOf(element) {
  const copy = element.cloneNode(true);
  for (const button of copy.querySelectorAll(".copy-code")) button.remove();
  return copy.innerHTML;
}

/** Put `text`, or what it promises, on the clipboard, beside `html`. Let `button` say so. */
export async function copy(button, text, html = "") {
  await (navigator.clipboard?.write ? write(text, html) : writeByEvent(await text, html));
  button.classList.add("done");
  setTimeout(() => button.classList.remove("done"), SAID_FOR);
}

/** The promise goes in as it is: Safari wants the call while it still knows of the click. */
function write(text, html) {
  const plain = Promise.resolve(text).then((value) => new Blob([value], { type: "text/plain" }));
  const rich = html ? { "text/html": new Blob([html], { type: "text/html" }) } : {};
  return navigator.clipboard.write([new ClipboardItem({ "text/plain": plain, ...rich })]);
}

/** Without a secure connection there is no clipboard but the one of the `copy` event. */
function writeByEvent(text, html) {
  const fill = (event) => {
    event.preventDefault();
    event.clipboardData.setData("text/plain", text);
    if (html) event.clipboardData.setData("text/html", html);
  };
  document.addEventListener("copy", fill, { once: true });
  document.execCommand("copy");
  document.removeEventListener("copy", fill);
}
