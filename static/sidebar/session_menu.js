/** The menu of a session in the list: rename in place, export, delete with an undo. */

import { at } from "../net/addresses.js";
import { isAbort } from "../net/api.js";
import { retitle, tend } from "./session_entries.js";
import { tellTabs } from "../state/storage.js";
import { askName } from "./rename.js";
import { deleteSession, patchSession, restoreSession } from "../net/sessions.js";
import { toast } from "./toast.js";
import { t } from "../state/i18n.js";

const FORMATS = ["markdown", "json"];

let menu = null; // created when first opened

/** Open the menu of the session that the button `more` belongs to. */
export function openMenu(sidebar, more) {
  menu ??= new SessionMenu(sidebar);
  menu.open(more);
}

class SessionMenu {
  #sidebar;
  #menu;
  #item = null; // the list item of the session the menu is for
  #signal = new AbortController().signal; // never aborted: actions run to completion

  constructor(sidebar) {
    this.#sidebar = sidebar;
    this.#menu = sidebar.querySelector("#session-menu");
    this.#menu.addEventListener("keydown", (event) => this.#onKey(event));
    this.#part("rename").addEventListener("click", () => {
      this.#menu.hidePopover();
      this.#rename(this.#item);
    });
    this.#part("delete").addEventListener("click", () => this.#delete());
    for (const format of FORMATS) this.#part(format).addEventListener("click", () => this.#menu.hidePopover());
  }

  open(more) {
    this.#item = more.closest("li");
    for (const format of FORMATS) this.#part(format).href = at(`/api/sessions/${this.#id}/export?format=${format}`);
    this.#menu.showPopover();
    this.#place(more.getBoundingClientRect());
    this.#part("rename").focus();
    this.#menu.addEventListener("toggle", ({ newState }) => { if (newState === "closed") this.#focus(more); }, { once: true });
  }

  /** Place the menu next to the button, inside the window. */
  #place({ left, bottom, top }) {
    const { style, offsetWidth, offsetHeight } = this.#menu;
    const isBelow = bottom + offsetHeight < innerHeight;
    style.left = `${Math.max(8, Math.min(left, innerWidth - offsetWidth - 8))}px`;
    style.top = `${isBelow ? bottom : Math.max(8, top - offsetHeight)}px`;
  }

  #onKey(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const rows = Array.from(this.#menu.children);
    rows.at((rows.indexOf(document.activeElement) + step) % rows.length).focus();
  }

  /** Return the focus to the button, unless it is elsewhere already. */
  #focus(more) {
    if (more.isConnected && (document.activeElement === document.body || this.#menu.contains(document.activeElement))) more.focus();
  }

  /** `typed` is a name that did not reach the server. */
  async #rename(item, typed) {
    const link = item.querySelector(".session");
    if (!link) return item.querySelector(".rename").focus(); // its name did not reach the server, see below
    const before = link.textContent;
    const title = await askName(link, t("Title"), typed);
    if (title === "" || title === before) return;
    link.textContent = title;
    try {
      const session = await patchSession(item.dataset.sessionId, { title }, this.#signal);
      link.textContent = before; // as in the rest of the page, so that `retitle` changes both
      retitle(item, session.title);
      tellTabs();
    } catch (error) {
      if (isAbort(error)) return;
      link.textContent = before;
      toast(error.message);
      if (error.isPassing && link.isConnected) this.#rename(item, title);
    }
  }

  async #delete() {
    const [item, sessionId, isOver] = [this.#item, this.#id, this.#list.matches(":popover-open")];
    this.#menu.hidePopover();
    try {
      await deleteSession(sessionId, this.#signal);
    } catch (error) {
      if (!isAbort(error)) toast(error.message);
      return;
    }
    tellTabs();
    if (item.querySelector("[aria-current]")) {
      location.assign(at(`/?deleted=${sessionId}`)); // the new page offers the undo
      return;
    }
    const place = item.nextElementSibling;
    item.remove();
    tend(this.#sidebar);
    toast(t("Chat deleted"), () => this.#restore({ item, place, sessionId, isOver }));
    const next = place ?? this.#sidebar.list.lastElementChild;
    (next?.querySelector("a") ?? this.#sidebar.querySelector('[data-part="undo"] button')).focus();
  }

  /** `isOver`: the list was open over the chat, and closed when Undo, which is outside of it, was pressed. */
  async #restore(gone) {
    const { item, place, sessionId, isOver } = gone;
    try {
      const restored = await restoreSession(sessionId, this.#signal);
      tellTabs();
      if (restored.session_id !== sessionId) return location.assign(at(`/sessions/${restored.session_id}`)); // new id
    } catch (error) {
      if (error.status === 404) toast(t("This chat can't be restored any more."));
      else if (!isAbort(error)) toast(error.message, () => this.#restore(gone)); // perhaps the network is back soon
      return;
    }
    this.#sidebar.list.querySelector(`[data-session-id="${CSS.escape(sessionId)}"]`)?.remove(); // listed by a refresh
    this.#sidebar.list.insertBefore(item, place?.parentNode === this.#sidebar.list ? place : null);
    if (isOver) this.#list.showPopover();
    item.querySelector("a").focus();
    tend(this.#sidebar);
  }

  /** The whole list, which is a popover on a narrow screen. */
  get #list() {
    return this.#sidebar.querySelector("#sidebar");
  }

  get #id() {
    return this.#item.dataset.sessionId;
  }

  #part(name) {
    return this.#menu.querySelector(`[data-part="${name}"]`);
  }
}
