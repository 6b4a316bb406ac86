/** The page's entry: it names the custom elements; each brings itself to life where the HTML has it. */

import { listen } from "./shortcuts.js";

import "./composer.js";
import "./sidebar.js";
import "./transcript.js";
import "./session.js";

listen();
