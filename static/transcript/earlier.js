/** The messages that a long chat's page came without: they are loaded when the reader scrolls up, searches or prints. */

import { at } from "../net/addresses.js";
import { isAbort, loadSession, sessionOf, snapshotURL } from "../net/api.js";

const AHEAD = 1200; // px above what is seen

export class Earlier {
  #box; // that scrolls
  #line; // stands where messages are missing
  #sessionId;
  #hooks;
  #signal;
  #seen; // looks whether the reader comes near the line
  #loading = Promise.resolve();

  /**
   * Hooks: `getState()`, of the reducer; `getBranch()`; `add(session)`, the action `earlier` of the reducer, shown at
   * once; and `complain(sentence)`.
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

  /** Messages were added, or the page shows another branch. */
  update() {
    const isMissing = this.#first !== null;
    this.#line.hidden = !isMissing;
    this.#seen.disconnect();
    if (isMissing) this.#seen.observe(this.#line); // tells once where the line is now
  }

  /** The first message that is shown, if it is not the first of the branch. */
  get #first() {
    const { before, messages } = this.#hooks.getState();
    return before === null ? null : messages[0].id;
  }

  #onClick(event) {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return; // meant for another tab
    event.preventDefault();
    this.#load({ all: 1 });
  }

  /** A search of the page, or its print, finds everything by the time that somebody has typed. */
  #onKey({ key, ctrlKey, metaKey }) {
    if (key === "F3" || ((ctrlKey || metaKey) && ["f", "g", "p"].includes(key.toLowerCase()))) this.#load({ all: 1 });
  }

  /** Load the part before the first message, or all before it: one after the other. */
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
      if (!isAbort(error)) this.#hooks.complain(error.message); // the line stays, to be pressed
    }
  }

  /** What is printed is what is there when this returns, so the request has to be one that waits. */
  #loadNow() {
    const first = this.#first;
    if (first === null) return;
    const request = new XMLHttpRequest();
    const query = { branch: this.#hooks.getBranch(), before: first, all: 1 };
    request.open("GET", at(snapshotURL(this.#sessionId, query)), false);
    try {
      request.send();
    } catch {
      return; // no connection: what is there is printed
    }
    if (request.status === 200) this.#add(first, sessionOf(JSON.parse(request.responseText)));
  }

  /** Show what came, without moving what the reader looks at; the address then says where the page begins. */
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
