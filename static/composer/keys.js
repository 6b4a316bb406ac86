/** Keys that send what is written, in the message box and in an editor alike. */

const COMPOSING = 229; // the key code of a key that an input method takes; Safari's `isComposing` comes too late

/** Whether a key asks to send: Enter, but not with Shift or on a touch screen; with Ctrl or ⌘ everywhere. */
export function meansSend(event) {
  if (event.key !== "Enter" || event.isComposing || event.keyCode === COMPOSING) return false;
  return event.ctrlKey || event.metaKey || (!event.shiftKey && !isTouch());
}

/** Whether fingers are all that there is: Enter is a new line then, and a focus brings up a keyboard. */
export function isTouch() {
  return matchMedia("(hover: none) and (pointer: coarse)").matches;
}
