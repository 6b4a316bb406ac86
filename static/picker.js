/** The choice of a model. While there is none it keeps looking, ever less often, and says why there is none. */

import { isAbort } from "./api.js";
import { loadModels } from "./sessions.js";
import { t } from "./words.js";

const BACKOFF = { first: 2_000, most: 60_000 }; // ms

export class Picker {
  #select;
  #notice;
  #signal;
  #timer = 0;
  #attempts = 0;

  /** `notice` says that there is no model; it has a list of reasons and a button that looks again. */
  constructor(select, notice, signal) {
    this.#select = select;
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

  get model() {
    return this.#select.value;
  }

  get isEmpty() {
    return !Array.from(this.#select.options).some((each) => each.value && !each.disabled);
  }

  /** Whether the model is known to be blind. */
  get isBlind() {
    return this.#select.selectedOptions[0]?.dataset.vision === "no";
  }

  /** The reasons for which there is no model, in one line. */
  get reasons() {
    return Array.from(this.#reasons.children, (item) => item.textContent.trim()).join(" ");
  }

  /** Take a model, if it is there. */
  prefer(model) {
    const option = Array.from(this.#select.options).find((each) => each.value === model && !each.disabled);
    if (option) option.selected = true;
  }

  /** Ask which models there are. */
  async look() {
    try {
      this.#show(await loadModels(this.#signal));
    } catch (error) {
      if (!isAbort(error)) this.#explain([error.message]);
    }
    this.#tend();
  }

  #tend() {
    clearTimeout(this.#timer);
    if (document.hidden || !this.isEmpty) return;
    const wait = Math.min(BACKOFF.most, BACKOFF.first * 2 ** this.#attempts++);
    this.#timer = setTimeout(() => this.look(), wait * (0.75 + Math.random() / 2));
  }

  #show({ models, unreachable, default: preferred }) {
    const [chosen, backends] = [this.model, new Set(models.map((model) => model.backend))];
    const groups = Array.from(backends, (backend) => groupOf(backend, models.filter((each) => each.backend === backend).map(optionOf)));
    const silent = unreachable.map(({ backend, message }) => groupOf(backend, [unavailable(message)]));
    const none = models.length === 0 ? [new Option(t("No model"), "")] : [];
    this.#select.replaceChildren(...groups, ...silent, ...none);
    if (models.length === 0) this.#select.value = "";
    else for (const model of [preferred, chosen]) this.prefer(model);
    this.#explain(unreachable.map(({ backend, message }) => `${backend} ${message}`));
    this.#notice.hidden = models.length > 0;
    if (models.length > 0) this.#attempts = 0;
  }

  #explain(reasons) {
    const sentences = reasons.length > 0 ? reasons : [t("No backend has a model yet.")];
    this.#reasons.replaceChildren(...sentences.map((sentence) => {
      const item = document.createElement("li");
      item.textContent = sentence;
      return item;
    }));
  }

  get #reasons() {
    return this.#notice.querySelector('[data-part="reasons"]');
  }
}

function groupOf(backend, options) {
  const group = Object.assign(document.createElement("optgroup"), { label: backend });
  group.append(...options);
  return group;
}

function optionOf({ id, name, vision }) {
  const option = new Option(name, id);
  if (vision === false) option.dataset.vision = "no";
  return option;
}

function unavailable(reason) {
  return Object.assign(new Option(t("unavailable: %(reason)s", { reason }), ""), { disabled: true });
}
