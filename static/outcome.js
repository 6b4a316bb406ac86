/** What the line under an answer says, the same as `templates/partials/message.html`. */

import { hasText } from "./answer.js";
import { number, said, t, tn } from "./words.js";

/** Whether an answer broke off, so that it can be continued. */
export function isBroken(message) {
  const { status, outcome, finishReason } = message;
  return status === "ended" && hasText(message) && (outcome !== "complete" || finishReason === "length");
}

/** What ended an answer, where it is not what everybody expects. The words are those of `app/web/labels.py`. */
export function labelOf(message) {
  const { status, stopping, outcome, finishReason, upstreamClosed } = message;
  if (status !== "ended") return hasText(message) && (stopping || status === "thinking") ? doing(message) : "";
  if (outcome === "stopped" && !upstreamClosed) return t("Stopped. The model server hasn't confirmed.");
  const reason = outcome === "complete" ? finishReason : outcome;
  return said(`is:${reason}`, said("is:other").replace("%(reason)s", reason));
}

/** What the model does while there is nothing new to read. */
export function doing({ stopping }) {
  return stopping ? t("Stopping…") : t("Thinking…");
}

/** Halves are rounded up, here as in the template. */
export function figures({ tokens, durationMs }) {
  const rate = Math.floor((tokens * 1000 + durationMs / 2) / durationMs);
  const tenths = Math.floor((durationMs + 50) / 100);
  return [
    tn("%(num)s token", "%(num)s tokens", tokens),
    tn("%(num)s token/s", "%(num)s tokens/s", rate),
    t("%(seconds)s s", { seconds: number(tenths / 10, 1) }),
  ].join(" · ");
}

// What a browser knows of numbers it loads at their first use: rather in an idle moment than at the end of an answer.
(globalThis.requestIdleCallback ?? setTimeout)(() => figures({ tokens: 1, durationMs: 100 }));
