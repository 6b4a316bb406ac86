/** `‹ 2/3 ›`: the versions of a message. The links work without JavaScript; the transcript handles their clicks. */

export class BranchView {
  #box;

  /** `box` is the `<nav>` of the message. */
  constructor(box) {
    this.#box = box;
  }

  show({ id, siblings }) {
    const place = siblings.indexOf(id);
    this.#box.hidden = siblings.length < 2 || place < 0;
    if (this.#box.hidden) return;
    const [before, after] = this.#box.querySelectorAll("a");
    point(before, siblings[place - 1]);
    point(after, siblings[place + 1]);
    this.#box.querySelector("span").textContent = `${place + 1}/${siblings.length}`;
  }
}

/** Set a link's target; without one it is not a link. */
function point(link, id) {
  if (id) link.setAttribute("href", `?branch=${id}`);
  else link.removeAttribute("href");
}
