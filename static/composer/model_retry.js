/**
 * Keeps the model list current: reloads it when the select gets the focus or the page becomes visible. While there is
 * no model, shows the cause and retries with exponential backoff.
 */

import { isAbort } from "../net/api.js";
import { groupOf, optionOf } from "./model_options.js";
import { loadModels } from "../net/sessions.js";
import { t } from "../state/i18n.js";
import { RULES } from "../state/page_data.js";

const PAUSE = 5_000; // ms between two automatic refreshes
const AGAIN = 2_000; // ms to a second load: the server answers from its cache and asks the backends meanwhile
const BACKOFF = { first: 2_000, most: 60_000 }; // ms

export class ModelRetry {
  #picker;
  #notice;
  #signal;
  #timer = 0;
  #attempts = 0;
  #refreshed = -Infinity; // `performance.now()`
  #again = 0;

  /** `notice` is shown while there is no model; it holds the cause and a retry button. */
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

  /** Load the models; an error is shown. */
  async look() {
    try {
      this.#show(await loadModels(this.#signal));
    } catch (error) {
      if (!isAbort(error)) this.#explain(error.message);
    }
    this.#tend();
  }

  /** Update the list, at most once every `PAUSE`; errors are not shown. */
  refresh() {
    const now = performance.now();
    if (this.#picker.isEmpty || now - this.#refreshed < PAUSE) return;
    this.#refreshed = now;
    this.#update();
    this.#again = setTimeout(() => this.#update(), AGAIN);
  }

  async #update() {
    try {
      const found = await loadModels(this.#signal, { limit: RULES.models + 1 });
      this.#picker.isLong = found.total > RULES.models; // the finder asks the server anyway
      if (found.total <= RULES.models) this.#show(found);
    } catch {
      // The old list stays; sending a prompt reports what is wrong.
    }
    this.#tend();
  }

  #tend() {
    clearTimeout(this.#timer);
    if (document.hidden || !this.#picker.isEmpty) return;
    const wait = Math.min(BACKOFF.most, BACKOFF.first * 2 ** this.#attempts++);
    this.#timer = setTimeout(() => this.look(), wait * (0.75 + Math.random() / 2));
  }

  #show({ models, unreachable, default: preferred, origins = {} }) {
    const { model: chosen } = this.#picker;
    const offered = models.filter(({ id }, place) => place < RULES.models || id === preferred || id === chosen);
    const groups = new Map();
    const put = (backend, option) => groups.set(backend, [...(groups.get(backend) ?? []), option]);
    for (const model of offered) put(model.backend, optionOf(model));
    if (chosen && !offered.some(({ id }) => id === chosen)) put(chosen.split("/")[0], this.#keep(chosen));
    for (const { backend, message } of unreachable) put(backend, unavailable(message));
    const none = models.length === 0 ? [new Option(t("No model"), "")] : [];
    const children = [...Array.from(groups, ([backend, options]) => groupOf(backend, options, origins[backend])), ...none];
    if (differ(this.#picker.options, [...groups.values()].flat().concat(none))) this.#picker.show(children, chosen || preferred);
    this.#picker.isLong = models.length > RULES.models;
    this.#explain(unreachable[0]?.message ?? t("No models installed yet."));
    this.#notice.hidden = models.length > 0;
    if (models.length > 0) this.#attempts = 0;
  }

  /** The chosen model stays chosen, disabled, while it is unavailable. */
  #keep(chosen) {
    const { text } = this.#picker.options.find(({ value }) => value === chosen);
    return Object.assign(new Option(text, chosen), { disabled: true });
  }

  /** Show why there is no model: the first cause, since the server lists explicitly configured backends first. */
  #explain(cause) {
    this.#notice.querySelector('[data-part="reason"]').textContent = cause;
  }
}

function unavailable(reason) {
  return Object.assign(new Option(t("Unavailable: %(reason)s", { reason }), ""), { disabled: true });
}

/** Whether the options differ. An open menu is not rebuilt without need. */
function differ(shown, offered) {
  const said = (options) => JSON.stringify(options.map(({ value, text, disabled, dataset }) => [value, text, disabled, dataset.vision]));
  return said(shown) !== said(offered);
}
