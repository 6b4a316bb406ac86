/** Keeps a scrolled box at its bottom while the reader is there, and leaves it alone otherwise. */

const AWAY = 3; // px up: the reader wants to stay
const NEAR = 60; // px from the bottom: the reader is back

export class Pin {
  #box;
  #lowest = 0;
  #pinned = true;
  #onChange;

  /** `onChange(isPinned)` is called when the reader leaves the bottom or comes back. */
  constructor(box, onChange, signal) {
    this.#box = box;
    this.#onChange = onChange;
    box.addEventListener("scroll", () => this.#look(), { passive: true, signal });
  }

  get isPinned() {
    return this.#pinned;
  }

  /** Go to the bottom, if the reader is there; call it after each growth. */
  follow() {
    if (!this.#pinned) return;
    this.#box.scrollTop = this.#box.scrollHeight;
    this.#lowest = this.#box.scrollTop;
  }

  /** Go to the bottom and stay there. */
  jump() {
    this.#set(true);
    this.follow();
  }

  #look() {
    const { scrollTop, scrollHeight, clientHeight } = this.#box;
    const below = scrollHeight - clientHeight - scrollTop;
    if (this.#pinned && scrollTop < this.#lowest - AWAY && below > AWAY) {
      this.#set(false);
    } else if (!this.#pinned && scrollTop > this.#lowest && below < NEAR) {
      this.#set(true);
    }
    this.#lowest = this.#pinned ? Math.max(this.#lowest, scrollTop) : scrollTop;
    if (below <= AWAY) this.#lowest = scrollTop; // the box got smaller, or the window larger
  }

  #set(pinned) {
    if (pinned === this.#pinned) return;
    this.#pinned = pinned;
    this.#onChange(pinned);
  }
}
