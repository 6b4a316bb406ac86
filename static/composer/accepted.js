/** Takes a prompt that was accepted out of the box in which it was typed. */

const composing = new WeakSet(); // boxes in which an input method composes text

/** Note when an input method composes text in a box. */
export function watchComposition(box, signal) {
  box.addEventListener("compositionstart", () => composing.add(box), { signal });
  box.addEventListener("compositionend", () => composing.delete(box), { signal });
}

/**
 * Remove a text from the start of a box, keep what was typed behind it, and call `done()`. What is composed there comes
 * first: a change of the text would end the composition, and double what is composed.
 */
export function takeOut(box, text, done, signal) {
  const remove = () => {
    const { value } = box;
    if (text && value.trim().startsWith(text)) {
      const typed = value.trimStart().slice(text.length).trimStart();
      box.setRangeText("", 0, value.length - typed.length); // keeps the caret in place
    }
    done();
  };
  if (composing.has(box)) box.addEventListener("compositionend", remove, { once: true, signal });
  else remove();
}
