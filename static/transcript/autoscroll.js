/** Keeps a scrolled box at its bottom while the reader is there, and leaves it alone otherwise. */

const AWAY = 3; // px up: the reader wants to stay
const PAUSE = 500; // ms: what is further apart is not one movement
const NEAR = 60; // px from the bottom: the reader is back

export class Autoscroll {
  #box;
  #lowest = 0;
  #up = 0; // px that the reader has gone up, however often the growing text took it back
  #upAt = 0; // ms, when that was
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

  /** Where the reader is, in px from the top; `null` is the bottom. */
  get place() {
    return this.#pinned ? null : this.#box.scrollTop;
  }

  /** Go to a place. */
  restore(top) {
    if (top === null) return this.jump();
    this.#set(false);
    this.#box.scrollTop = top;
    this.#lowest = this.#box.scrollTop;
  }

  /** Move what is shown up by so many px: something that grew or shrank above it must not move it. */
  shift(px) {
    this.restore(this.#box.scrollTop + px);
    const { scrollTop, scrollHeight, clientHeight } = this.#box;
    if (scrollHeight - clientHeight - scrollTop <= AWAY) this.jump();
  }

  #look() {
    const { scrollTop, scrollHeight, clientHeight, parentElement } = this.#box;
    const below = scrollHeight - clientHeight - scrollTop;
    const without = below - (parentElement.clientHeight - clientHeight); // the way back that stands below the box meanwhile
    if (this.#pinned && below >= 1 && this.#rise(this.#lowest - scrollTop) > AWAY) {
      this.#set(false);
    } else if (!this.#pinned && scrollTop > this.#lowest && without < NEAR) {
      this.#set(true);
    }
    this.#lowest = this.#pinned ? Math.max(this.#lowest, scrollTop) : scrollTop;
    if (below <= AWAY) this.#lowest = scrollTop; // the box got smaller, or the window larger
  }

  /** Add to what the reader has gone up in one movement. */
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
