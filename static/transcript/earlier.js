/** Loads the earlier messages of a long chat when the reader scrolls up, searches or prints. */

import { at } from "../net/addresses.js";
import { isAbort, loadSession, snapshotURL } from "../net/api.js";
import { sessionOf } from "../state/snapshot.js";

const AHEAD = 1200; // px above the visible part

export class Earlier {
  #box; // the scroll box
  #line; // the "Show earlier messages" line, where messages are missing
  #sessionId;
  #hooks;
  #signal;
  #seen; // IntersectionObserver: whether the line is near the visible part
  #loading = Promise.resolve();

  /**
   * Hooks: `getState()`, the reducer's state; `getBranch()`; `add(session)`, which dispatches the reducer's action
   * `earlier` and shows the result at once; and `complain(sentence)`.
   */
  constructor(transcript, sessionId, hooks, signal) {
    this.#box = transcript.querySelector("[data-part=scroll]");
    this.#line = transcript.querySelector("[data-part=earlier]");
    this.#sessionId = sessionId;
    this.#hooks = hooks;
    this.#signal = signal;
    this.#seen = new IntersectionObserver(([entry]) => {
      if (entry.isIntersecting) this.#load();
    }, { root: this.#box, rootMargin: `${AHEAD}px 0px 0px` });
    signal.addEventListener("abort", () => this.#seen.disconnect());
    this.#line.addEventListener("click", (event) => this.#onClick(event), { signal });
    document.addEventListener("keydown", (event) => this.#onKey(event), { signal });
    window.addEventListener("beforeprint", () => this.#loadNow(), { signal });
  }

  /** Call this after messages were added or the branch has changed. */
  update() {
    const isMissing = this.#first !== null;
    this.#line.hidden = !isMissing;
    this.#seen.disconnect();
    if (isMissing) this.#seen.observe(this.#line); // reports the current position once
  }

  /** The id of the first message shown, `null` if it is the first of the branch. */
  get #first() {
    const { before, messages } = this.#hooks.getState();
    return before === null ? null : messages[0].id;
  }

  #onClick(event) {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return; // opens another tab or window
    event.preventDefault();
    const [first, hadFocus] = [this.#first, this.#line.contains(document.activeElement)];
    this.#load({ all: 1 });
    if (hadFocus) this.#loading.then(() => this.#keepFocus(first));
  }

  /** The focus goes from the line, once it is gone, to the message that was below it. */
  #keepFocus(first) {
    const message = this.#box.querySelector(`[data-message-id="${CSS.escape(first)}"]`);
    if (!this.#line.hidden || !message) return;
    message.tabIndex = -1;
    message.focus({ preventScroll: true });
  }

  /** Load everything when a find or print shortcut is pressed: it arrives while the reader types. */
  #onKey({ key, ctrlKey, metaKey }) {
    if (key === "F3" || ((ctrlKey || metaKey) && ["f", "g", "p"].includes(key.toLowerCase()))) this.#load({ all: 1 });
  }

  /** Load the part before the first message, or all of it. Loads run one at a time. */
  #load(more = {}) {
    this.#loading = this.#loading.then(() => this.#fetch(more));
  }

  async #fetch(more) {
    const first = this.#first;
    if (first === null) return;
    const query = { branch: this.#hooks.getBranch(), before: first, ...more };
    try {
      this.#add(first, await loadSession(this.#sessionId, query, this.#signal));
    } catch (error) {
      if (!isAbort(error)) this.#hooks.complain(error.message); // the line stays, to retry
    }
  }

  /** The browser prints what is there when `beforeprint` returns, so the request is synchronous. */
  #loadNow() {
    const first = this.#first;
    if (first === null) return;
    const request = new XMLHttpRequest();
    const query = { branch: this.#hooks.getBranch(), before: first, all: 1 };
    request.open("GET", at(snapshotURL(this.#sessionId, query)), false);
    try {
      request.send();
    } catch {
      return; // no connection: print what is there
    }
    if (request.status === 200) this.#add(first, sessionOf(JSON.parse(request.responseText)));
  }

  /** Add messages without moving the visible text, and put the first one's id into the URL. */
  #add(first, { messages, before }) {
    const below = this.#box.scrollHeight - this.#box.scrollTop;
    this.#hooks.add({ first, messages, before });
    this.#box.scrollTop = this.#box.scrollHeight - below;
    const address = new URL(location);
    address.searchParams.set("from", this.#hooks.getState().messages[0].id);
    history.replaceState(history.state, "", address);
    this.update();
  }
}
