/** The page's entry: it names the custom elements; each brings itself to life where the HTML has it. */

import { at } from "./net/addresses.js";
import { listen } from "./shortcuts.js";

import "./composer/composer.js";
import "./sidebar/sidebar.js";
import "./transcript/transcript.js";
import "./session.js";

// A form that was sent before this script ran has asked for pages that need none.
document.cookie = `tailrace_plain=; Path=${at("") || "/"}; Max-Age=0; SameSite=Lax`;

// Where one signs in, a page that comes back from the browser's memory is asked for again: somebody may have signed out.
if (document.querySelector('form[action$="/logout"]')) {
  window.addEventListener("pagehide", ({ persisted }) => { document.body.hidden = persisted; });
  window.addEventListener("pageshow", ({ persisted }) => { if (persisted) location.reload(); });
}

listen();
