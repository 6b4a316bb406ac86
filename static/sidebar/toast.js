/** A sentence at the edge of the page, for a while, with something to take it back. */

const DURATION = 10_000; // ms

let timer = 0;

/** Show `sentence`. `undo()` is called if the reader asks for it; without it there is only the sentence. */
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

/** The toast that came with the page goes after a while, too. */
export function tendToast() {
  const box = document.querySelector('[data-part="toast"]');
  if (!box.hidden) show(box);
}

/** Over everything, also over an open list of sessions. */
function show(box) {
  box.hidden = false;
  box.popover = "manual";
  box.hidePopover();
  box.showPopover();
  clearTimeout(timer);
  timer = setTimeout(() => hide(box), DURATION);
}

function hide(box) {
  clearTimeout(timer);
  if (box.contains(document.activeElement)) document.activeElement.blur();
  box.hidden = true;
}
