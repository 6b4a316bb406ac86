/** Keyboard shortcuts of the whole page. The help panel lists them. */

import { at } from "./net/addresses.js";

const SINGLE = {
  "?": () => toggle("help"),
  "/": () => focus("prompt"),
};
const WITH_CTRL = {
  k: () => search(),
  "/": () => toggle("help"),
};
const WITH_ALT = {
  ArrowUp: () => go(-1),
  ArrowDown: () => go(1),
};

/** Listen for the page's lifetime. */
export function listen(target = document) {
  target.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing) return;
    const action = actionOf(event);
    if (!action) return;
    event.preventDefault();
    action();
  });
}

function actionOf(event) {
  const isCtrl = event.ctrlKey || event.metaKey;
  if (isCtrl && event.shiftKey) return event.key.toLowerCase() === "o" ? () => location.assign(at("/")) : null;
  if (isCtrl) return event.altKey ? null : WITH_CTRL[event.key.toLowerCase()];
  if (event.altKey) return isWriting(event.target) ? null : WITH_ALT[event.key];
  if (document.documentElement.dataset.singleKeys === "off" || isTyping(event.target)) return null;
  return SINGLE[event.key];
}

function isTyping(target) {
  return target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName);
}

/** Whether Alt+arrow has a meaning in the target, or leaving would lose its text. The message box keeps its draft. */
function isWriting(target) {
  return isTyping(target) && (target.id !== "prompt" || (isMac() && target.value !== "")); // Alt+arrow moves the caret
}

function isMac() {
  return navigator.platform.startsWith("Mac");
}

function toggle(id) {
  document.getElementById(id).togglePopover();
}

function search() {
  const sidebar = document.getElementById("sidebar");
  if (getComputedStyle(sidebar).display === "none") sidebar.showPopover();
  focus("search");
}

/** Focus a field of the page; an open panel would cover it. */
function focus(id) {
  document.querySelector(".panel:popover-open")?.hidePopover();
  document.getElementById(id).focus();
}

/** Open the next (`1`) or previous (`-1`) session in the list. */
function go(step) {
  const sessions = Array.from(document.querySelectorAll(".sessions .session"));
  const current = sessions.findIndex((each) => each.hasAttribute("aria-current"));
  sessions[current + step]?.click();
}
