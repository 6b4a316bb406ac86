/** Shows the settings that a session has, saves them as they are changed, and says in their panel if that fails. */

import { isAbort, request, snapshotURL } from "../net/api.js";
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

/** Show the settings that the server has, unless those shown are changed meanwhile. */
export async function showKept(options, sessionId, signal) {
  const before = options.value;
  const last = Array.from(document.querySelectorAll("[data-message-id]")).at(-1); // no others are asked for
  const url = snapshotURL(sessionId, { from: last?.dataset.messageId });
  const session = await request(url, { signal }).catch(() => null);
  if (session && options.are(before)) options.value = session.options;
}
