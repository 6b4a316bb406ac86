/** `<tailrace-sidebar>`: the list of sessions. Its actions are loaded on first use. */

import { onTold, tellTabs } from "../state/storage.js";

const PAUSE = 200; // ms without input before a search

/** Put a new session at the head of the list. */
export async function addSession(sessionId, title) {
  const sidebar = document.querySelector("tailrace-sidebar");
  // A page that is left loads no module; the list of the next one has the session.
  const loaded = await import("./session_entries.js").catch(() => null);
  if (!loaded) return;
  const { entryOf, tend } = loaded;
  sidebar.list.querySelector(`[data-session-id="${CSS.escape(sessionId)}"]`)?.remove(); // stale: deleted elsewhere
  sidebar.list.prepend(entryOf({ session_id: sessionId, title }, true));
  tend(sidebar);
  tellTabs();
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
    // Without a connection the list stays as it is; the next change refreshes it.
    onTold(() => import("./session_entries.js").then(({ refresh }) => refresh(this), () => {}), signal);
    document.addEventListener("submit", ({ target }) => { // an undo or an import: done once the next page loads
      if (target.method === "post") window.addEventListener("pagehide", tellTabs, { once: true });
    }, { signal });
    const preferences = document.getElementById("preferences");
    const late = async (name, ...given) => (await import("../preferences.js"))[name](...given);
    preferences.querySelector('[data-part="save"]').hidden = true; // choices take effect at once
    preferences.addEventListener("change", ({ target }) => late("choose", target.form, target), { signal });
    preferences.addEventListener("submit", (event) => {
      event.preventDefault();
      late("send", event.target);
    }, { signal });
    this.list.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
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
    this.#timer = setTimeout(async () => (await import("./session_entries.js")).find(this), pause);
  }

  async #onClick(event) {
    const link = event.target.closest("a.more, a.further");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    if (link.matches(".more")) (await import("./session_menu.js")).openMenu(this, link);
    else (await import("./session_entries.js")).goOn(this);
  }
}

customElements.define("tailrace-sidebar", Sidebar);
