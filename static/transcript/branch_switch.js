/** Turning to another version of a message: the hand stays on the button, and the button where it is. */

/**
 * `link` was pressed, and leads to the message `id`. `show()` resolves once that is shown. The link of the same direction
 * has the focus then, or the other one at the end of the row, at the height at which it was.
 */
export async function turn(link, id, show, pin) {
  const isLater = link.matches(":last-child");
  const { top } = link.getBoundingClientRect();
  await show();
  const links = document.querySelectorAll(`.message[data-message-id="${CSS.escape(id)}"] [data-part="branches"] a`);
  const [same, other] = isLater ? [links[1], links[0]] : links;
  const shown = same?.hasAttribute("href") ? same : other;
  if (!shown) return; // the version is gone: the page says so
  shown.focus({ preventScroll: true });
  pin.shift(shown.getBoundingClientRect().top - top);
}
