/** `<tailrace-sidebar>`: the list of sessions. Its actions are loaded on first use. */

import { late } from "../net/late.js";
import { onTold, tellTabs } from "../state/storage.js";

const PAUSE = 200; // ms without input before a search

/** Put a session at the head of the list; `title` is that of a new one. */
export async function showFirst(sessionId, title) {
  // A page that is left loads no module; the list of the next one has the session.
  const loaded = await import("./session_entries.js").catch(() => null);
  loaded?.putFirst(document.querySelector("tailrace-sidebar"), sessionId, title);
}

class Sidebar extends HTMLElement {
  #listeners = null;
  #timer = 0;

  connectedCallback() {
    this.#listeners = new AbortController();
    const { signal } = this.#listeners;
    this.part("search").addEventListener("input", () => this.#findAfter(PAUSE), { signal });
    this.part("search").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#findAfter(0);
    }, { signal });
    this.addEventListener("click", (event) => this.#onClick(event), { signal });
    window.addEventListener("resize", () => this.#onResize(), { signal });
    // Without a connection the list stays as it is; the next change refreshes it.
    onTold(() => import("./session_entries.js").then(({ refresh }) => refresh(this), () => {}), signal);
    document.addEventListener("submit", ({ target }) => { // an undo or an import: done once the next page loads
      if (target.method === "post") window.addEventListener("pagehide", tellTabs, { once: true });
    }, { signal });
    const preferences = document.getElementById("preferences");
    const prefer = async (name, ...given) => (await late(() => import("../preferences.js")))[name]?.(...given);
    preferences.querySelector('[data-part="save"]').hidden = true; // choices take effect at once
    preferences.addEventListener("change", ({ target }) => prefer("choose", target.form, target), { signal });
    preferences.addEventListener("submit", (event) => {
      event.preventDefault();
      prefer("send", event.target);
    }, { signal });
    const showCurrent = () => this.list.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
    showCurrent();
    this.addEventListener("toggle", showCurrent, { signal, capture: true }); // on a narrow screen the list opens
    // Without the module, which a page that is left does not load, the notice stays and its form works.
    if (!this.part("toast").hidden) import("./toast.js").then(({ tendToast }) => tendToast(), () => {});
  }

  disconnectedCallback() {
    this.#listeners.abort();
    clearTimeout(this.#timer);
  }

  get list() {
    return this.querySelector("#sessions");
  }

  /** The search text. */
  get query() {
    return this.part("search").elements.q.value.trim();
  }

  part(name) {
    return this.querySelector(`[data-part="${name}"]`);
  }

  #findAfter(pause) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(async () => (await this.#entries()).find?.(this), pause);
  }

  /** Next to the chat the list is no popover: left open, it would take the first Esc from the answer. */
  #onResize() {
    const open = this.querySelector("#sidebar:popover-open");
    if (open && !open.querySelector(".only-narrow").checkVisibility()) open.hidePopover();
  }

  async #onClick(event) {
    const link = event.target.closest("a.more, a.further");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    if (link.matches(".more")) (await late(() => import("./session_menu.js"))).openMenu?.(this, link);
    else (await this.#entries()).goOn?.(this);
  }

  #entries() {
    return late(() => import("./session_entries.js"));
  }
}

customElements.define("tailrace-sidebar", Sidebar);
