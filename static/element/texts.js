/** What `<tailrace-chat>` says, in English and German. A page may replace each sentence: `TailraceChat.TEXTS` has the names. */

import { hasText } from "../state/answer.js";

const ENGLISH = {
  chat: "Chat",
  welcome: "What would you like to know?",
  message: "Message",
  placeholder: "Message Tailrace…",
  send: "Send",
  stop: "Stop",
  stopping: "Stopping…",
  retry: "Retry",
  copy: "Copy code",
  copied: "Copied",
  you: "You",
  answer: "Answer",
  thinking: "Thinking…",
  line: "Number %(n)s in line",
  reasoning: "Reasoning",
  image: "Attached image",
  earlier: "Show earlier messages",
  latest: "Jump to latest",
  loading: "Loading…",
  reconnecting: "Reconnecting…",
  generating: "Generating",
  complete: "Answer complete",
  failed: "The answer failed.",
  gone: "This chat is gone. Your next message starts a new one.",
  unreachable: "Can't reach the server. Check your connection and try again.",
  foreign: "Can't reach the chat at %(server)s. Either it is down, or it doesn't allow pages of %(origin)s.",
  unknown: "The server returned an error (%(status)s). Try again in a moment.",
  session: "This page names a chat that can't exist.",
  unconfirmed: "Stopped. The model server hasn't confirmed.",
  "is:stopped": "Stopped",
  "is:superseded": "Replaced by a newer message",
  "is:abandoned": "Stopped: no one was viewing",
  "is:interrupted": "Interrupted",
  "is:length": "Reached the token limit",
  "is:content_filter": "Cut off by the provider's content filter",
  "is:refusal": "The model refused",
  "is:empty": "Empty answer",
  "is:other": "Finish reason: %(reason)s",
};

const GERMAN = {
  chat: "Chat",
  welcome: "Was möchten Sie wissen?",
  message: "Nachricht",
  placeholder: "Nachricht an Tailrace …",
  send: "Senden",
  stop: "Stoppen",
  stopping: "Wird gestoppt …",
  retry: "Erneut versuchen",
  copy: "Code kopieren",
  copied: "Kopiert",
  you: "Sie",
  answer: "Antwort",
  thinking: "Denkt nach …",
  line: "Platz %(n)s in der Warteschlange",
  reasoning: "Überlegungen",
  image: "Angehängtes Bild",
  earlier: "Frühere Nachrichten anzeigen",
  latest: "Zum Neuesten springen",
  loading: "Wird geladen …",
  reconnecting: "Verbindung wird wiederhergestellt …",
  generating: "Antwort wird geschrieben",
  complete: "Antwort vollständig",
  failed: "Die Antwort ist fehlgeschlagen.",
  gone: "Diesen Chat gibt es nicht mehr. Ihre nächste Nachricht beginnt einen neuen.",
  unreachable: "Der Server ist nicht erreichbar. Prüfen Sie Ihre Verbindung und versuchen Sie es noch einmal.",
  foreign: "Der Chat unter %(server)s ist nicht erreichbar. Entweder läuft er nicht, oder er erlaubt keine Seiten von %(origin)s.",
  unknown: "Der Server hat einen Fehler gemeldet (%(status)s). Versuchen Sie es gleich noch einmal.",
  session: "Diese Seite nennt einen Chat, den es nicht geben kann.",
  unconfirmed: "Gestoppt. Der Modellserver hat es noch nicht bestätigt.",
  "is:stopped": "Gestoppt",
  "is:superseded": "Durch eine neuere Nachricht ersetzt",
  "is:abandoned": "Gestoppt: niemand hat zugesehen",
  "is:interrupted": "Unterbrochen",
  "is:length": "Token-Limit erreicht",
  "is:content_filter": "Vom Inhaltsfilter des Anbieters abgebrochen",
  "is:refusal": "Das Modell hat abgelehnt",
  "is:empty": "Leere Antwort",
  "is:other": "Grund des Endes: %(reason)s",
};

/** By language; the first is for all others. */
export const TEXTS = { en: ENGLISH, de: GERMAN };

/** The texts for a language tag such as "de-AT", with those of the page; `language` is what they are written in. */
export class Texts {
  #texts;

  constructor(tag, own = {}) {
    const code = tag.split("-")[0].toLowerCase();
    this.language = code in TEXTS ? code : "en";
    this.#texts = { ...TEXTS[this.language], ...own };
  }

  /** The text of this name. `%(name)s` is replaced by a value. */
  say(name, values = {}) {
    return this.#texts[name].replace(/%\((\w+)\)s/g, (whole, key) => values[key] ?? whole);
  }

  /** What the model is doing while no text comes: its own note or the place in line, else "Thinking…". */
  doing({ stopping, note }) {
    if (stopping) return this.say("stopping");
    const [, n] = /^(\d+)\D+ in line$/.exec(note) ?? [];
    return n ? this.say("line", { n }) : note || this.say("thinking");
  }

  /** Why the model's answer failed. The model server's error is in English. */
  failure(error) {
    if (!error?.message) return this.say("failed");
    return this.language === "en" ? error.message : `${this.say("failed")} (${error.message})`;
  }

  /** Why an answer ended, unless it simply completed; a failed one shows its error instead. */
  label(message) {
    const { status, outcome, finishReason, upstreamClosed, stopping, note } = message;
    if (status !== "ended") return hasText(message) && (stopping || note || status === "thinking") ? this.doing(message) : "";
    if (outcome === "failed") return "";
    if (outcome === "stopped" && !upstreamClosed) return this.say("unconfirmed");
    const reason = outcome === "complete" ? finishReason : outcome;
    if (!reason || reason === "stop") return "";
    return this.say(`is:${reason}` in this.#texts ? `is:${reason}` : "is:other", { reason });
  }

  /** An error as a sentence: the server's own, which is in the reader's language, or one of these. */
  problem({ status, code, message }, server) {
    if (code === "unknown" || code === "session") return this.say(code, { status });
    if (code !== "unreachable") return message;
    const { origin } = new URL(server);
    return origin === location.origin ? this.say(code) : this.say("foreign", { server: origin, origin: location.origin });
  }
}
