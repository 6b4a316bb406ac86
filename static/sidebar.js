/** `<tailrace-sidebar>`: the list of sessions. It searches while one types, continues the list, and opens the menu. */

import { isAbort } from "./api.js";
import { SessionMenu } from "./menu.js";
import { loadSessions } from "./sessions.js";
import { tendToast, toast } from "./toast.js";
import { t } from "./words.js";

const PAUSE = 200; // ms without a key before a search

/** Put a session that has just begun at the head of the list. */
export function addSession(sessionId, title) {
  const list = document.getElementById("sessions");
  if (list.querySelector(`[data-session-id="${CSS.escape(sessionId)}"]`)) return;
  list.prepend(entryOf({ session_id: sessionId, title }, true));
  list.closest("tailrace-sidebar").tend();
}

class Sidebar extends HTMLElement {
  #listeners = null;
  #search = null; // aborts the search before
  #timer = 0;

  connectedCallback() {
    this.#listeners = new AbortController();
    const { signal } = this.#listeners;
    this.#part("search").addEventListener("input", () => this.#onInput(), { signal });
    this.#part("search").addEventListener("submit", (event) => this.#onSubmit(event), { signal });
    this.#part("further").addEventListener("click", (event) => this.#onFurther(event), { signal });
    new SessionMenu(this.querySelector("#session-menu"), this.#list, () => this.tend(), signal);
    tendToast();
  }

  disconnectedCallback() {
    this.#listeners.abort();
    clearTimeout(this.#timer);
  }

  /** Say so where nothing is listed. */
  tend() {
    const none = this.#part("none");
    none.hidden = this.#list.children.length > 0;
    none.textContent = this.#query ? t("Nothing found.") : t("Your conversations will be listed here.");
  }

  #onInput() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#find(), PAUSE);
  }

  #onSubmit(event) {
    event.preventDefault();
    clearTimeout(this.#timer);
    this.#find();
  }

  async #find() {
    this.#search?.abort();
    this.#search = new AbortController();
    const page = await this.#load(null, AbortSignal.any([this.#search.signal, this.#listeners.signal]));
    if (page) this.#show(page, (entries) => this.#list.replaceChildren(...entries));
  }

  async #onFurther(event) {
    if (event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const after = new URL(this.#part("further").href).searchParams.get("after");
    const page = await this.#load(after, this.#listeners.signal);
    if (!page) return;
    const count = this.#list.children.length;
    this.#show(page, (entries) => this.#list.append(...entries));
    this.#list.children[count]?.querySelector("a").focus();
  }

  async #load(after, signal) {
    try {
      return await loadSessions(this.#query, after, signal);
    } catch (error) {
      if (!isAbort(error)) toast(error.message);
      return null;
    }
  }

  #show({ sessions, next }, put) {
    const current = document.querySelector("tailrace-session").dataset.sessionId;
    put(sessions.map((session) => entryOf(session, session.session_id === current)));
    const further = this.#part("further");
    further.hidden = next === null;
    further.href = `?${new URLSearchParams({ q: this.#query, after: next ?? "" })}`;
    this.tend();
  }

  get #query() {
    return this.#part("search").elements.q.value.trim();
  }

  get #list() {
    return this.querySelector("#sessions");
  }

  #part(name) {
    return this.querySelector(`[data-part="${name}"]`);
  }
}

function entryOf({ session_id: sessionId, title }, isCurrent) {
  const entry = document.getElementById("session-entry").content.cloneNode(true);
  const item = entry.querySelector("li");
  const [link, more] = item.querySelectorAll("a");
  const name = title || t("Untitled");
  item.dataset.sessionId = sessionId;
  link.href = `/sessions/${sessionId}`;
  link.textContent = name;
  if (isCurrent) link.setAttribute("aria-current", "page");
  more.href = `/sessions/${sessionId}/manage`;
  more.setAttribute("aria-label", t("Manage “%(title)s”", { title: name }));
  return item;
}

customElements.define("tailrace-sidebar", Sidebar);
