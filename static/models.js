/** What to do while no model answers: look again, ever less often, and say why there is none. */

import { isAbort } from "./api.js";
import { groupOf, optionOf } from "./model_options.js";
import { loadModels } from "./sessions.js";
import { t } from "./words.js";

const MANY = 60; // models in a select; more are found by their names
const BACKOFF = { first: 2_000, most: 60_000 }; // ms

export class Lookout {
  #picker;
  #notice;
  #signal;
  #timer = 0;
  #attempts = 0;

  /** `notice` says that there is no model; it has the cause and a button that looks again. */
  constructor(picker, notice, signal) {
    this.#picker = picker;
    this.#notice = notice;
    this.#signal = signal;
    notice.querySelector('[data-part="refresh"]').addEventListener("click", (event) => {
      event.preventDefault();
      this.look();
    }, { signal });
    document.addEventListener("visibilitychange", () => this.#tend(), { signal });
    signal.addEventListener("abort", () => clearTimeout(this.#timer));
    this.#tend();
  }

  /** Ask which models there are. */
  async look() {
    try {
      this.#show(await loadModels(this.#signal));
    } catch (error) {
      if (!isAbort(error)) this.#explain(error.message);
    }
    this.#tend();
  }

  #tend() {
    clearTimeout(this.#timer);
    if (document.hidden || !this.#picker.isEmpty) return;
    const wait = Math.min(BACKOFF.most, BACKOFF.first * 2 ** this.#attempts++);
    this.#timer = setTimeout(() => this.look(), wait * (0.75 + Math.random() / 2));
  }

  #show({ models, unreachable, default: preferred }) {
    const offered = models.filter(({ id }, place) => place < MANY || id === preferred);
    const backends = new Set(offered.map((model) => model.backend));
    const groups = Array.from(backends, (backend) => groupOf(backend, offered.filter((each) => each.backend === backend).map(optionOf)));
    const silent = unreachable.map(({ backend, message }) => groupOf(backend, [unavailable(message)]));
    const none = models.length === 0 ? [new Option(t("No model"), "")] : [];
    this.#picker.show([...groups, ...silent, ...none], preferred, models.length > MANY);
    this.#explain(unreachable[0]?.message ?? t("No models installed yet."));
    this.#notice.hidden = models.length > 0;
    if (models.length > 0) this.#attempts = 0;
  }

  /** Say why there is no model: the first cause, which is that of what was configured on purpose. */
  #explain(cause) {
    this.#notice.querySelector('[data-part="reason"]').textContent = cause;
  }
}

function unavailable(reason) {
  return Object.assign(new Option(t("Unavailable: %(reason)s", { reason }), ""), { disabled: true });
}
