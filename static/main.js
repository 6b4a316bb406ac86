/** The page's entry point: imports the custom elements, which upgrade the server's HTML. */

import { listen } from "./shortcuts.js";

import "./composer/composer.js";
import "./sidebar/sidebar.js";
import "./transcript/transcript.js";
import "./session.js";

// With an access token, reload a page restored from the back/forward cache: the user may have signed out.
if (document.querySelector('form[action$="/logout"]')) {
  window.addEventListener("pagehide", ({ persisted }) => { document.body.hidden = persisted; });
  window.addEventListener("pageshow", ({ persisted }) => { if (persisted) location.reload(); });
}

listen();
