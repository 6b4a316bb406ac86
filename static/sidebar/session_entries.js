/** The entries of the session list: search, paging, and rendering of the server's data. */

import { at } from "../net/addresses.js";
import { isAbort } from "../net/api.js";
import { loadSessions } from "../net/sessions.js";
import { toast } from "./toast.js";
import { RULES } from "../state/page_data.js";
import { retitlePage } from "../state/page_title.js";
import { tellTabs } from "../state/storage.js";

let search = new AbortController(); // a new search aborts the previous one

/** Show the sessions that match the search field. */
export async function find(sidebar) {
  search.abort();
  search = new AbortController();
  const page = await load(sidebar, null, search.signal);
  if (page) show(sidebar, page, (entries) => sidebar.list.replaceChildren(...entries));
}

/** Reload as many entries as are shown. Entries that stay keep their element, which may have the focus. */
export async function refresh(sidebar) {
  search.abort();
  search = new AbortController();
  const before = Array.from(sidebar.list.children);
  const { part, most } = RULES.sessions;
  const limit = Math.min(most, Math.max(part, before.length));
  const page = await loadSessions(sidebar.query, null, search.signal, limit).catch((error) => {
    if (error.status === 401) toast(error.message); // signed out elsewhere; otherwise the old list stays
    return null;
  });
  if (!page) return;
  const known = new Set(page.sessions.map((session) => session.session_id));
  for (const item of before) {
    if (!known.has(item.dataset.sessionId) && !item.querySelector(".rename")) item.remove(); // that one is being renamed
  }
  // As the list is now: the page may have added a session of its own meanwhile.
  const shown = new Map(Array.from(sidebar.list.children, (item) => [item.dataset.sessionId, item]));
  show(sidebar, page, (entries) => entries.forEach((entry, index) => {
    const item = shown.get(entry.dataset.sessionId) ?? entry;
    retitle(item, entry.querySelector(".session").textContent);
    move(sidebar.list, item, sidebar.list.children[index] ?? null);
  }));
  if (document.querySelector("[data-gone]") && sidebar.list.querySelector("[aria-current]")) location.reload();
}

/** Set an entry's title, and the page's if the entry is of the session shown. */
export function retitle(item, title) {
  const link = item.querySelector(".session");
  if (!link || link.textContent === title) return; // it is being renamed, or unchanged
  name(item, title);
  if (link.hasAttribute("aria-current")) retitlePage(title);
}

/** Put a session at the head of the list: a new one with this title, or one that is listed, unless it was searched for. */
export function putFirst(sidebar, sessionId, title) {
  const { list } = sidebar;
  const item = list.querySelector(`[data-session-id="${CSS.escape(sessionId)}"]`);
  if (title !== undefined) {
    item?.remove(); // stale: deleted elsewhere
    list.prepend(entryOf({ session_id: sessionId, title }, true));
    tend(sidebar);
    tellTabs();
  } else if (item && sidebar.query === "") {
    move(list, item, list.firstElementChild);
  }
}

/** Move an entry to a place in the list, and the focus with it; not while it is renamed: to lose the focus ends that. */
function move(list, item, place) {
  if (place === item || item.querySelector(".rename")) return;
  const focused = item.contains(document.activeElement) ? document.activeElement : null;
  list.insertBefore(item, place);
  focused?.focus();
}

/** Append the next page of the list. */
export async function goOn(sidebar) {
  const after = new URL(sidebar.part("further").href).searchParams.get("after");
  const page = await load(sidebar, after, search.signal);
  if (!page) return;
  const count = sidebar.list.children.length;
  show(sidebar, page, (entries) => sidebar.list.append(...entries));
  sidebar.list.children[count]?.querySelector("a").focus();
}

/** The list item of a session, from the template. */
export function entryOf({ session_id: sessionId, title }, isCurrent) {
  const item = blank().cloneNode(true);
  const [link, more] = item.querySelectorAll("a");
  item.dataset.sessionId = sessionId;
  link.href = at(`/sessions/${sessionId}`);
  if (title) name(item, title); // else the template's
  if (isCurrent) link.setAttribute("aria-current", "page");
  more.href = at(`/sessions/${sessionId}/manage`);
  return item;
}

/** The list item of a session without a title. */
function blank() {
  return document.getElementById("session-entry").content.querySelector("li");
}

/** Set an entry's title, also in the name of its button. */
function name(item, title) {
  const [link, more] = item.querySelectorAll("a");
  const [untitled, { ariaLabel }] = blank().querySelectorAll("a");
  more.ariaLabel = ariaLabel.replace(untitled.textContent, () => title);
  link.textContent = title;
}

/** Show or hide the entry of a current session that is not listed, and the notice for an empty list. */
export function tend(sidebar) {
  const current = sidebar.part("elsewhere").querySelector("li")?.dataset.sessionId;
  const isListed = sidebar.list.querySelector(`[data-session-id="${CSS.escape(current ?? "")}"]`) !== null;
  sidebar.part("elsewhere").hidden = !current || isListed || sidebar.query !== "";
  const isEmpty = sidebar.list.children.length === 0;
  sidebar.part("unmatched").hidden = !isEmpty || sidebar.query === "";
  sidebar.part("none").hidden = !isEmpty || sidebar.query !== "";
}

async function load(sidebar, after, signal) {
  try {
    return await loadSessions(sidebar.query, after, signal);
  } catch (error) {
    if (!isAbort(error)) toast(error.message);
    return null;
  }
}

function show(sidebar, { sessions, next }, put) {
  const current = document.querySelector("tailrace-session").dataset.sessionId;
  put(sessions.map((session) => entryOf(session, session.session_id === current)));
  const further = sidebar.part("further");
  further.hidden = next === null;
  further.href = `?${new URLSearchParams({ q: sidebar.query, after: next ?? "" })}`;
  tend(sidebar);
}
