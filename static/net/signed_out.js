/** Leads a reader who is signed out to the login page. Loaded with the first 401; the browser's storage has the draft. */

import { at } from "./addresses.js";
import { t } from "../state/i18n.js";

const LINK = "signed-out";

/** Show a link to the login page, which leads back here, below the composer's error. */
export function leadToLogin() {
  if (document.getElementById(LINK)) return;
  const link = document.createElement("a");
  link.id = LINK;
  link.className = "button";
  link.href = at(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
  link.textContent = t("Sign in");
  document.querySelector('tailrace-composer [data-part="error"]')?.after(link);
}
