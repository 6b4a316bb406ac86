/** Keeps a scroll box at the bottom while the reader is there. */

const AWAY = 3; // px scrolled up, after which following stops
const PAUSE = 500; // ms; scrolls further apart are separate movements
const NEAR = 60; // px from the bottom, within which following resumes

export class Autoscroll {
  #box;
  #lowest = 0;
  #up = 0; // px scrolled up in this movement, even if growing text scrolled it back
  #upAt = 0; // time of that scroll, `performance.now()`
  #pinned = true;
  #onChange;

  /** `onChange(isPinned)` is called when the reader leaves the bottom or returns to it. */
  constructor(box, onChange, signal) {
    this.#box = box;
    this.#onChange = onChange;
    box.addEventListener("scroll", () => this.#look(), { passive: true, signal });
  }

  /** Scroll to the bottom if pinned; call it whenever the content has grown. */
  follow() {
    if (!this.#pinned) return;
    this.#box.scrollTop = this.#box.scrollHeight;
    this.#lowest = this.#box.scrollTop;
  }

  /** Scroll to the bottom and stay there. */
  jump() {
    this.#set(true);
    this.follow();
  }

  /** The scroll position, in px from the top; `null` is the bottom. */
  get place() {
    return this.#pinned ? null : this.#box.scrollTop;
  }

  /** Scroll to a `place`. */
  restore(top) {
    if (top === null) return this.jump();
    this.#set(false);
    this.#box.scrollTop = top;
    this.#lowest = this.#box.scrollTop;
  }

  /** Scroll by `px`, to compensate for content above that grew or shrank. */
  shift(px) {
    this.restore(this.#box.scrollTop + px);
    const { scrollTop, scrollHeight, clientHeight } = this.#box;
    if (scrollHeight - clientHeight - scrollTop <= AWAY) this.jump();
  }

  #look() {
    const { scrollTop, scrollHeight, clientHeight, parentElement } = this.#box;
    const below = scrollHeight - clientHeight - scrollTop;
    const without = below - (parentElement.clientHeight - clientHeight); // less the "jump" button's row below the box
    if (this.#pinned && below >= 1 && this.#rise(this.#lowest - scrollTop) > AWAY) {
      this.#set(false);
    } else if (!this.#pinned && scrollTop > this.#lowest && without < NEAR) {
      this.#set(true);
    }
    this.#lowest = this.#pinned ? Math.max(this.#lowest, scrollTop) : scrollTop;
    if (below <= AWAY) this.#lowest = scrollTop; // the content shrank, or the window grew
  }

  /** Add to the px scrolled up in one movement; returns the sum. */
  #rise(px) {
    if (px <= 0) return 0;
    const now = performance.now();
    this.#up = px + (now - this.#upAt < PAUSE ? this.#up : 0);
    this.#upAt = now;
    return this.#up;
  }

  #set(pinned) {
    this.#up = 0;
    if (pinned === this.#pinned) return;
    this.#pinned = pinned;
    this.#onChange(pinned);
  }
}
