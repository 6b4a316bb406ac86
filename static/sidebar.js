/** The list of sessions, as far as it changes without a reload. */

/** Put a session that has just begun at the head of the list. */
export function addSession(sessionId, title) {
  const list = document.getElementById("sessions");
  if (list.querySelector(`a[data-session-id="${CSS.escape(sessionId)}"]`)) return;
  const item = document.getElementById("session-link").content.cloneNode(true);
  const link = item.querySelector("a");
  link.href = `/sessions/${sessionId}`;
  link.dataset.sessionId = sessionId;
  link.textContent = title;
  list.prepend(item);
}
