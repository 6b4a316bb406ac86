/** The line under an answer, worded as in `templates/partials/message.html`. */

import { hasText } from "./answer.js";
import { number, said, t, tn } from "./i18n.js";
import { RULES } from "./page_data.js";

const SHOW_ELAPSED_AFTER = 3; // seconds

/** Whether an answer is incomplete and can be continued. */
export function isBroken(message) {
  const { status, outcome, finishReason } = message;
  return status === "ended" && hasText(message) && (outcome !== "complete" || finishReason === "length");
}

/** Why an answer ended, unless it simply completed. The words are those of `app/web/i18n/labels.py`. */
export function labelOf(message) {
  const { status, stopping, note, outcome, finishReason, upstreamClosed } = message;
  if (status !== "ended") return hasText(message) && (stopping || note || status === "thinking") ? doing(message) : "";
  if (outcome === "stopped" && !upstreamClosed) return t("Stopped. The model server hasn't confirmed.");
  const reason = outcome === "complete" ? finishReason : outcome;
  return said(`is:${reason}`, said("is:other").replace("%(reason)s", reason));
}

/** What the model is doing while no text comes: its own note or the place in line, else "Thinking…". */
export function doing({ stopping, note }) {
  return stopping ? t("Stopping…") : note ? t(note.replace(/^\d+/, "%(n)s"), { n: parseInt(note) }) : t("Thinking…");
}

/** Elapsed time in whole seconds; empty before the third. */
export function elapsed(ms) {
  const seconds = Math.floor(ms / 1000);
  return seconds >= SHOW_ELAPSED_AFTER ? t("%(seconds)s s", { seconds }) : "";
}

/** How long the model thought, in whole seconds, at least one; `null` if unknown. */
export function thoughtFor(ms) {
  if (ms === null) return t("Reasoning");
  const seconds = Math.max(1, Math.floor((ms + 500) / 1000));
  return seconds < 60
    ? t("Thought for %(seconds)s s", { seconds })
    : t("Thought for %(minutes)s min %(seconds)s s", { minutes: Math.floor(seconds / 60), seconds: seconds % 60 });
}

/** Tokens, rate and duration. Halves are rounded up. */
export function figures({ count, rate, durationMs }) {
  const tenths = Math.floor((durationMs + 50) / 100);
  return [
    tn("%(num)s token", "%(num)s tokens", count),
    ...(rate ? [t("%(rate)s tokens/s", { rate: rate >= RULES.whole_rate ? number(Math.floor(rate + 0.5)) : number(rate, 1) })] : []),
    t("%(seconds)s s", { seconds: number(tenths / 10, 1) }),
  ].join(" · ");
}

// The browser loads its number formatting data on first use: do that when idle, not at the end of an answer.
(globalThis.requestIdleCallback ?? setTimeout)(() => figures({ count: 1, rate: 1, durationMs: 100 }));
