/** The page's entry: it names the custom elements; each brings itself to life where the HTML has it. */

import { at } from "./addresses.js";
import { listen } from "./shortcuts.js";

import "./composer.js";
import "./sidebar.js";
import "./transcript.js";
import "./session.js";

// A form that was sent before this script ran has asked for pages that need none.
document.cookie = `tailrace_plain=; Path=${at("") || "/"}; Max-Age=0; SameSite=Lax`;

listen();
