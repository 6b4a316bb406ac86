/** Saves the settings of a session as they are changed, and says in their panel if that fails. */

import { isAbort } from "../net/api.js";
import { patchSession } from "../net/sessions.js";

/** Resolves to whether the server has them. */
export async function keepOptions(panel, sessionId, options, signal) {
  let sentence = "";
  try {
    await patchSession(sessionId, { options }, signal);
  } catch (error) {
    if (isAbort(error)) return false;
    sentence = error.message;
  }
  const complaint = panel.querySelector('[data-part="options-error"]');
  complaint.textContent = sentence;
  complaint.hidden = sentence === "";
  return sentence === "";
}
