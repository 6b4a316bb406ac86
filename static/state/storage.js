/**
 * Browser storage: drafts, the last model, which reasoning is unfolded, scroll positions, and when a tab last changed
 * the list of sessions. Storage can be disabled, so nothing depends on it.
 */

const PREFIX = "tailrace.";
const CHANGED = "changed";

/** This tab's draft of a session, else the last one of any tab; with `null`, of this tab's new session. */
export function loadDraft(sessionId) {
  const key = draftKey(sessionId);
  return read("sessionStorage", key) ?? (sessionId === null ? null : read("localStorage", key)) ?? "";
}

export function saveDraft(sessionId, text) {
  const key = draftKey(sessionId);
  const mine = read("sessionStorage", key);
  write("sessionStorage", key, text);
  if (sessionId === null) return;
  if (text || mine === read("localStorage", key)) write("localStorage", key, text); // else another tab's is there
}

/** The settings of this tab's new session, `null` without. */
export function loadSettings() {
  return JSON.parse(read("sessionStorage", "settings"));
}

export function saveSettings(settings) {
  write("sessionStorage", "settings", settings && JSON.stringify(settings));
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

/** The scroll position at which this tab left a page, in px from the top; `null` is the bottom. */
export function loadPlace(path) {
  const top = read("sessionStorage", `place.${path}`);
  return top === null ? null : Number(top);
}

export function savePlace(path, top) {
  write("sessionStorage", `place.${path}`, top === null ? "" : String(top));
}

/** Tell the browser's other tabs that the list of sessions has changed. */
export function tellTabs() {
  write("localStorage", CHANGED, String(Date.now()));
}

/** The server reported a changed list: tell this tab. */
export function listChanged() {
  window.dispatchEvent(new Event(CHANGED));
}

/** Call `hear()` when the list changes. Unlike a BroadcastChannel, this does not block the back/forward cache. */
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
    return null; // blocked by a privacy setting: treat as not stored
  }
}

function write(area, name, value) {
  try {
    if (value) window[area].setItem(PREFIX + name, value);
    else window[area].removeItem(PREFIX + name);
  } catch {
    // blocked or full: the value is lost with the page
  }
}
