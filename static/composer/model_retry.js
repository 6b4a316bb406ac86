/**
 * Which models there are: looked up again when somebody chooses one or comes back, and while no model answers ever less
 * often, with the cause.
 */

import { isAbort } from "../net/api.js";
import { groupOf, optionOf } from "./model_options.js";
import { loadModels } from "../net/sessions.js";
import { t } from "../state/i18n.js";

const MANY = 60; // models in a select; more are found by their names
const PAUSE = 5_000; // ms between two looks that nobody asked for
const AGAIN = 2_000; // ms: the server answers with what it knew, and asks the backends meanwhile
const BACKOFF = { first: 2_000, most: 60_000 }; // ms

export class ModelRetry {
  #picker;
  #notice;
  #signal;
  #timer = 0;
  #attempts = 0;
  #refreshed = -Infinity; // in the time of `performance.now()`
  #again = 0;

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
    signal.addEventListener("abort", () => {
      clearTimeout(this.#timer);
      clearTimeout(this.#again);
    });
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

  /** Bring what is offered up to date, without a word if that fails. */
  refresh() {
    const now = performance.now();
    if (this.#picker.isEmpty || now - this.#refreshed < PAUSE) return;
    this.#refreshed = now;
    this.#update();
    this.#again = setTimeout(() => this.#update(), AGAIN);
  }

  async #update() {
    try {
      const found = await loadModels(this.#signal, { limit: MANY + 1 });
      this.#picker.isLong = found.total > MANY; // then the others are found by their names, which asks the server anyway
      if (found.total <= MANY) this.#show(found);
    } catch {
      // What was there stays; whoever sends a prompt hears what is wrong.
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
    const { model: chosen } = this.#picker;
    const offered = models.filter(({ id }, place) => place < MANY || id === preferred || id === chosen);
    const groups = new Map();
    const put = (backend, option) => groups.set(backend, [...(groups.get(backend) ?? []), option]);
    for (const model of offered) put(model.backend, optionOf(model));
    if (chosen && !offered.some(({ id }) => id === chosen)) put(chosen.split("/")[0], this.#keep(chosen));
    for (const { backend, message } of unreachable) put(backend, unavailable(message));
    const none = models.length === 0 ? [new Option(t("No model"), "")] : [];
    const children = [...Array.from(groups, ([backend, options]) => groupOf(backend, options)), ...none];
    if (differ(this.#picker.options, [...groups.values()].flat().concat(none))) this.#picker.show(children, chosen || preferred);
    this.#picker.isLong = models.length > MANY;
    this.#explain(unreachable[0]?.message ?? t("No models installed yet."));
    this.#notice.hidden = models.length > 0;
    if (models.length > 0) this.#attempts = 0;
  }

  /** What was chosen stays chosen, though it cannot be used now. */
  #keep(chosen) {
    const { text } = this.#picker.options.find(({ value }) => value === chosen);
    return Object.assign(new Option(text, chosen), { disabled: true });
  }

  /** Say why there is no model: the first cause, which is that of what was configured on purpose. */
  #explain(cause) {
    this.#notice.querySelector('[data-part="reason"]').textContent = cause;
  }
}

function unavailable(reason) {
  return Object.assign(new Option(t("Unavailable: %(reason)s", { reason }), ""), { disabled: true });
}

/** Whether other options are offered than those that are shown. A menu that is open is not touched without need. */
function differ(shown, offered) {
  const said = (options) => JSON.stringify(options.map(({ value, text, disabled, dataset }) => [value, text, disabled, dataset.vision]));
  return said(shown) !== said(offered);
}
