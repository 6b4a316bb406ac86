/** Copies to the clipboard: an answer as Markdown and HTML, or a code block as text. Also works on plain HTTP. */

import { toast } from "../sidebar/toast.js";
import { t } from "../state/i18n.js";

const SAID_FOR = 1500; // ms for which a button shows "Copied"

/** Copy the code block that contains the button. */
export function copyListing(button) {
  return copy(button, (button.parentElement.querySelector("code") ?? button.parentElement).textContent);
}

/** Copy an answer. `source` is its Markdown, or a promise of it; the HTML is taken from `article`. */
export function copyAnswer(button, source, article) {
  const shown = article.querySelector("[data-part='content']").cloneNode(true);
  for (const extra of shown.querySelectorAll(".copy-code")) extra.remove();
  return copy(button, source, shown.innerHTML);
}

/** Copy `text`, a string or a promise, along with `html`, and show the result on `button`. */
async function copy(button, text, html = "") {
  try {
    await (navigator.clipboard?.write ? write(text, html) : writeByEvent(await text, html));
  } catch {
    toast(t("Couldn't copy. Select the text and copy it with the keyboard.")); // denied by the browser or the user
    return;
  }
  if (!button.classList.contains("done")) say(button);
}

/** Show "Copied" on a button for a moment, and announce it to screen readers. */
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
    if (status.textContent === copied) status.textContent = ""; // so the next copy is announced, too
  }, SAID_FOR);
}

/** Pass the promise on unresolved: Safari requires the call during the user's click. */
function write(text, html) {
  const plain = Promise.resolve(text).then((value) => new Blob([value], { type: "text/plain" }));
  const rich = html ? { "text/html": new Blob([html], { type: "text/html" }) } : {};
  return navigator.clipboard.write([new ClipboardItem({ "text/plain": plain, ...rich })]);
}

/** Without a secure context, only the `copy` event gives access to the clipboard. */
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
