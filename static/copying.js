/** Copying to the clipboard, an answer as Markdown and as HTML, or a listing as text. Works on plain HTTP, too. */

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
