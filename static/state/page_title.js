/** The page's title, in its window, its tab and its header. */

import { RULES } from "./page_data.js";

const UNSEEN = "● "; // in front of the title of a tab whose answer ended unseen
const SUFFIX = document.title.slice(document.title.lastIndexOf(" · "));

/** The title of a session that starts with a prompt, as the server derives it. */
export function titleOf(prompt) {
  const line = Array.from(prompt.trim().replace(/\s+/g, " "));
  const most = RULES.title.derived;
  return line.length > most ? `${line.slice(0, most - 1).join("").trimEnd()}…` : line.join("");
}

/** Set the title of the session that the page shows. */
export function retitlePage(title) {
  const isUnseen = document.title.startsWith(UNSEEN);
  document.querySelector('[data-part="title"]').textContent = title;
  document.title = title + SUFFIX;
  markUnseen(isUnseen);
}

/** Mark the tab as having an answer that ended unseen, or take the mark back. */
export function markUnseen(isUnseen) {
  const isMarked = document.title.startsWith(UNSEEN);
  if (isUnseen && !isMarked) document.title = UNSEEN + document.title;
  if (!isUnseen && isMarked) document.title = document.title.slice(UNSEEN.length);
}
