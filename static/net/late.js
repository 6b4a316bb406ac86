/** Loads parts of the page on their first use. */

import { t } from "../state/i18n.js";

/**
 * What `load()` imports; nothing of it if it did not come: the page says so, and the next use tries again. Firefox
 * keeps a module that failed until the page is loaded again, so there it is said each time.
 */
export async function late(load) {
  try {
    return await load();
  } catch {
    document.dispatchEvent(new Event("unreachable"));
    return {};
  }
}

/** What to say of a server that cannot be reached. */
export function unreachable() {
  return t("Can't reach the server. Check your connection and try again.");
}
