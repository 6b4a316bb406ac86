/** HTTP requests for the list of sessions and models. */

import { request } from "./api.js";
import { RULES } from "../state/page_data.js";

/** One page of the list: `{sessions, next}`. */
export function loadSessions(query, after, signal, limit = RULES.sessions.part) {
  const asked = { limit, ...(query ? { q: query } : {}), ...(after ? { after } : {}) };
  return request(`/api/sessions?${new URLSearchParams(asked)}`, { signal });
}

/** Change `title` or `options` of a session. Resolves to the session. */
export function patchSession(sessionId, changes, signal) {
  return request(`/api/sessions/${sessionId}`, {
    method: "PATCH",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(changes),
    signal,
  });
}

export function deleteSession(sessionId, signal) {
  return request(`/api/sessions/${sessionId}`, { method: "DELETE", signal });
}

/** Undo a deletion. A 404 means that it is too late. */
export function restoreSession(sessionId, signal) {
  return request(`/api/sessions/${sessionId}/restore`, { method: "POST", signal });
}

/** The available models: `{models, unreachable, default, total}`. `asked` may have `q` (words in the name), `limit`. */
export function loadModels(signal, asked = null) {
  return request(`/api/models${asked ? `?${new URLSearchParams(asked)}` : ""}`, { signal });
}
