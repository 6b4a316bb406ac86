/** Copying to the clipboard, an answer as Markdown and as HTML, or a listing as text. Works on plain HTTP, too. */

import { toast } from "../sidebar/toast.js";
import { t } from "../state/i18n.js";

const SAID_FOR = 1500; // ms in which a button says that it has copied

/** Copy the listing that a button stands in. */
export function copyListing(button) {
  return copy(button, (button.parentElement.querySelector("code") ?? button.parentElement).textContent);
}

/** Copy an answer. `source` is, or promises, its Markdown; its HTML is what `article` shows. */
export function copyAnswer(button, source, article) {
  const shown = article.querySelector("[data-part='content']").cloneNode(true);
  for (const extra of shown.querySelectorAll(".copy-code")) extra.remove();
  return copy(button, source, shown.innerHTML);
}

/** Put `text`, or what it promises, on the clipboard, beside `html`. Let `button` say so. */
async function copy(button, text, html = "") {
  try {
    await (navigator.clipboard?.write ? write(text, html) : writeByEvent(await text, html));
  } catch {
    toast(t("Couldn't copy. Select the text and copy it with the keyboard.")); // the browser or its user said no
    return;
  }
  if (!button.classList.contains("done")) say(button);
}

/** Let a button say for a moment that it has copied, and a screen reader, too. */
function say(button) {
  const status = document.querySelector("[data-part=status]");
  const name = button.ariaLabel;
  const words = button.textContent;
  const copied = t("Copied");
  button.classList.add("done");
  if (name) button.ariaLabel = copied;
  else button.textContent = copied;
  status.textContent = copied;
  setTimeout(() => {
    button.classList.remove("done");
    button.ariaLabel = name;
    button.textContent = words;
    if (status.textContent === copied) status.textContent = ""; // so that it is said again the next time
  }, SAID_FOR);
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
