/**
 * What the browser keeps for its reader: what was typed and not sent, the model chosen last, the reasoning that was
 * unfolded, and the place in a conversation; and when its tabs last changed the list of sessions. Storage can be switched
 * off, so nothing depends on it.
 */

const PREFIX = "tailrace.";
const CHANGED = "changed";

/** The draft of a session; of one that has no prompt yet, the draft of this tab. */
export function loadDraft(sessionId) {
  return read(sessionId === null ? "sessionStorage" : "localStorage", draftKey(sessionId)) ?? "";
}

export function saveDraft(sessionId, text) {
  write(sessionId === null ? "sessionStorage" : "localStorage", draftKey(sessionId), text);
}

export function loadModel() {
  return read("localStorage", "model");
}

export function saveModel(model) {
  write("localStorage", "model", model);
}

/** Whether the reasoning of an answer was unfolded in this tab. */
export function loadUnfolded(messageId) {
  return read("sessionStorage", `unfolded.${messageId}`) !== null;
}

export function saveUnfolded(messageId, isUnfolded) {
  write("sessionStorage", `unfolded.${messageId}`, isUnfolded ? "1" : "");
}

/** Where the reader of a page was when this tab left it, in px from the top; `null` is the end. */
export function loadPlace(path) {
  const top = read("sessionStorage", `place.${path}`);
  return top === null ? null : Number(top);
}

export function savePlace(path, top) {
  write("sessionStorage", `place.${path}`, top === null ? "" : String(top));
}

/** Let the browser's other tabs know that the list of sessions is another one now. */
export function tellTabs() {
  write("localStorage", CHANGED, String(Date.now()));
}

/** The server says so. */
export function listChanged() {
  window.dispatchEvent(new Event(CHANGED));
}

/** Call `hear()` when another tab or the server has told. Unlike a channel, this keeps no page out of the back/forward cache. */
export function onTold(hear, signal) {
  window.addEventListener(CHANGED, hear, { signal });
  window.addEventListener("storage", ({ key }) => { if (key === PREFIX + CHANGED) hear(); }, { signal });
}

function draftKey(sessionId) {
  return `draft.${sessionId ?? "new"}`;
}

function read(area, name) {
  try {
    return window[area].getItem(PREFIX + name);
  } catch {
    return null; // refused by a privacy setting: as if nothing had been kept
  }
}

function write(area, name, value) {
  try {
    if (value) window[area].setItem(PREFIX + name, value);
    else window[area].removeItem(PREFIX + name);
  } catch {
    // refused or full: it lives as long as the page does
  }
}
