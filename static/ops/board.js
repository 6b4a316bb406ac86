/** The operations page: shows what the server sends once a second. It imports nothing, so no chat is loaded for it. */

const AGAIN = 3000; // ms until a refused event stream is opened again

const board = document.getElementById("board");
const live = document.getElementById("live");
const pause = document.getElementById("pause");
// The policy's name is the one that the Content-Security-Policy allows. The HTML is rendered by the server.
const policy = globalThis.trustedTypes?.createPolicy("blocks", { createHTML: (html) => html });

let source = null;
let timer = 0;
let isPaused = false;

function open() {
  close();
  if (isPaused || document.hidden) return;
  source = new EventSource(board.dataset.events);
  source.addEventListener("open", () => say("live"));
  source.addEventListener("board", (event) => show(JSON.parse(event.data).html));
  source.addEventListener("error", () => {
    say("away");
    if (source?.readyState === EventSource.CLOSED) timer = setTimeout(open, AGAIN);
  });
}

function close() {
  clearTimeout(timer);
  source?.close();
  source = null;
}

function say(state) {
  const text = live.dataset[state];
  if (live.textContent !== text) live.textContent = text;
}

function show(html) {
  const page = new DOMParser().parseFromString(policy ? policy.createHTML(html) : html, "text/html");
  patch(board, page.body);
}

/** Make the children of `old` those of `fresh`. Elements that stay keep focus, selection and place. */
function patch(old, fresh) {
  const wanted = [...fresh.childNodes];
  wanted.forEach((node, index) => {
    const there = old.childNodes[index];
    if (!there) old.append(node);
    else if (isSame(there, node)) update(there, node);
    else old.insertBefore(node, there);
  });
  while (old.childNodes.length > wanted.length) old.lastChild.remove();
}

function isSame(there, node) {
  return there.nodeName === node.nodeName && (there.id ?? "") === (node.id ?? "");
}

function update(there, node) {
  if (there.nodeType !== Node.ELEMENT_NODE) {
    if (there.data !== node.data) there.data = node.data;
    return;
  }
  for (const { name } of [...there.attributes]) if (!node.hasAttribute(name)) there.removeAttribute(name);
  for (const { name, value } of node.attributes) if (there.getAttribute(name) !== value) there.setAttribute(name, value);
  patch(there, node);
}

pause.addEventListener("click", () => {
  isPaused = !isPaused;
  pause.textContent = isPaused ? pause.dataset.resume : pause.dataset.pause;
  if (isPaused) say("paused");
  open();
});
document.addEventListener("visibilitychange", open);
addEventListener("pagehide", close);
addEventListener("pageshow", (event) => event.persisted && open());

pause.hidden = false;
open();
