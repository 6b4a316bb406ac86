/** Switches to another version of a message, and keeps the focus and the position of the button. */

/**
 * `link` was pressed and leads to the message `id`. `show()` resolves once that is shown. Then the new message's link
 * in the same direction, or at the end of the row the other link, gets the focus and is scrolled to the old link's
 * height.
 */
export async function turn(link, id, show, pin) {
  const isLater = link.matches(":last-child");
  const { top } = link.getBoundingClientRect();
  await show();
  const links = document.querySelectorAll(`.message[data-message-id="${CSS.escape(id)}"] [data-part="branches"] a`);
  const [same, other] = isLater ? [links[1], links[0]] : links;
  const shown = same?.hasAttribute("href") ? same : other;
  if (!shown) return; // the version is gone; the page shows that
  shown.focus({ preventScroll: true });
  pin.shift(shown.getBoundingClientRect().top - top);
}
