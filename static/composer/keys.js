/** Keys that send, in the message box and in a prompt's editor. */

const COMPOSING = 229; // key code during input method composition; Safari sets `isComposing` too late

/** Whether a key event means send: Enter without Shift (not on touch screens), or Ctrl/⌘+Enter anywhere. */
export function meansSend(event) {
  if (event.key !== "Enter" || isComposing(event)) return false;
  return event.ctrlKey || event.metaKey || (!event.shiftKey && !isTouch());
}

/** Whether a key event belongs to an input method, which composes text. */
export function isComposing(event) {
  return event.isComposing || event.keyCode === COMPOSING;
}

/** Whether touch is the only input: Enter then inserts a newline, and focus opens the on-screen keyboard. */
export function isTouch() {
  return matchMedia("(hover: none) and (pointer: coarse)").matches;
}
