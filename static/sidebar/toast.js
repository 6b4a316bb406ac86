/** A short notice at the edge of the page, with an optional undo. */

const DURATION = 10_000; // ms, and again as long as somebody is about to use it
const MOST = 40_000; // ms in all: the server keeps a deleted chat for 60 s, and its answer takes some of them

let timer = 0;

/** Show `sentence`, with an Undo button that calls `undo()` if that is given. */
export function toast(sentence, undo = null) {
  const box = document.querySelector('[data-part="toast"]');
  const form = box.querySelector("form");
  box.querySelector('[data-part="toast-text"]').textContent = sentence;
  form.hidden = undo === null;
  form.onsubmit = (event) => {
    event.preventDefault();
    hide(box);
    undo();
  };
  show(box);
}

/** Show a toast that the server rendered, and hide it after `DURATION`. */
export function tendToast() {
  const box = document.querySelector('[data-part="toast"]');
  if (!box.hidden) show(box);
}

/** Re-showing the popover puts it on top, also of an open sidebar. */
function show(box) {
  box.hidden = false;
  box.popover = "manual";
  box.hidePopover();
  box.showPopover();
  wait(box, Date.now() + MOST);
}

function wait(box, end) {
  clearTimeout(timer);
  const isUsed = () => box.matches(":hover, :focus-within") && Date.now() < end;
  timer = setTimeout(() => (isUsed() ? wait(box, end) : hide(box)), DURATION);
}

function hide(box) {
  clearTimeout(timer);
  if (box.contains(document.activeElement)) document.activeElement.blur();
  box.hidden = true;
  box.hidePopover();
}
