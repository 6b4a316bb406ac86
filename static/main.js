/** The page's entry: it names the custom elements; each brings itself to life where the HTML has it. */

import "./composer.js";
import "./transcript.js";
import "./session.js";
