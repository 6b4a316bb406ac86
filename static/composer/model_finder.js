/** Finds models by name when there are too many for a select: filters on each keystroke. */

import { isAbort } from "../net/api.js";
import { groupOf, optionOf } from "./model_options.js";
import { loadModels } from "../net/sessions.js";
import { number, t, tn } from "../state/i18n.js";

const SHOWN = 50; // models
const STEPS = { ArrowDown: 1, ArrowUp: -1 };

export class ModelFinder {
  #select;
  #panel;
  #signal;
  #asking = null;
  #active = -1; // index of the match that Enter chooses
  #matches = [];
  #origins = {}; // of the servers that prompts go to, by backend

  /** `panel` is a popover with a field and a list of matches; it is open or about to open. */
  constructor(select, panel, signal) {
    this.#select = select;
    this.#panel = panel;
    this.#signal = signal;
    const { field } = this;
    field.setAttribute("role", "combobox");
    field.setAttribute("aria-controls", this.#list.id);
    field.setAttribute("aria-expanded", "true");
    field.setAttribute("aria-autocomplete", "list");
    this.#part("seek").hidden = true; // filtering needs no button
    this.#list.hidden = false;
    panel.addEventListener("toggle", ({ newState }) => { if (newState === "open") this.#open(); }, { signal });
    field.addEventListener("input", () => this.#filter(), { signal });
    field.addEventListener("keydown", (event) => this.#onKey(event), { signal });
    this.#list.addEventListener("click", ({ target }) => this.#take(this.#rows.indexOf(target.closest("li"))), { signal });
    if (panel.matches(":popover-open")) this.#open();
  }

  get field() {
    return this.#panel.querySelector("input");
  }

  /** Choose the model of this name, if it exists; adds it to the select if needed. */
  async prefer(model) {
    try {
      const { models, origins } = await loadModels(this.#signal, { q: model, limit: 1 });
      this.#origins = origins ?? {};
      if (models[0]?.id === model) this.#choose(models[0]);
    } catch {
      // Restoring the previous choice is optional.
    }
  }

  #open() {
    this.field.select();
    this.#filter();
  }

  async #filter() {
    this.#asking?.abort(); // only the last request counts
    this.#asking = new AbortController();
    try {
      const signal = AbortSignal.any([this.#signal, this.#asking.signal]);
      const { models, total, origins } = await loadModels(signal, { q: this.field.value, limit: SHOWN });
      this.#origins = origins ?? {};
      this.#show(models, total);
    } catch (error) {
      if (!isAbort(error)) this.#part("matched").textContent = error.message;
    }
  }

  #show(models, total) {
    this.#matches = models;
    this.#list.replaceChildren(...models.map((model, place) => rowOf(model, place)));
    this.#list.scrollTop = 0;
    this.#activate(models.length > 0 ? 0 : -1);
    this.#part("matched").textContent = total > models.length
      ? t("The first %(shown)s of %(total)s models", { shown: models.length, total: number(total) })
      : tn("%(num)s model", "%(num)s models", total);
  }

  #onKey(event) {
    if (event.isComposing) return;
    if (event.key === "Enter") this.#take(this.#active);
    if (event.key === "Escape") { // a search field would clear itself
      event.preventDefault();
      this.#panel.hidePopover();
    }
    if (!(event.key in STEPS) || this.#matches.length === 0) return;
    event.preventDefault();
    this.#activate((this.#active + STEPS[event.key] + this.#matches.length) % this.#matches.length);
  }

  #activate(place) {
    this.#active = place;
    for (const [each, row] of this.#rows.entries()) row.setAttribute("aria-selected", String(each === place));
    const row = this.#rows[place];
    this.field.setAttribute("aria-activedescendant", row?.id ?? "");
    row?.scrollIntoView({ block: "nearest" });
  }

  #take(place) {
    const model = this.#matches[place];
    if (!model) return;
    this.#choose(model);
    this.#panel.hidePopover();
    this.#select.dispatchEvent(new Event("change", { bubbles: true }));
    this.#select.focus();
  }

  #choose(model) {
    const options = Array.from(this.#select.options);
    const option = options.find((each) => each.value === model.id) ?? this.#add(model);
    option.selected = true;
  }

  #add(model) {
    const option = optionOf(model);
    const groups = Array.from(this.#select.querySelectorAll("optgroup"));
    const group = groups.find((each) => each.dataset.backend === model.backend);
    if (group) group.append(option);
    else this.#select.append(groupOf(model.backend, [option], this.#origins[model.backend]));
    return option;
  }

  get #list() {
    return this.#part("matches");
  }

  get #rows() {
    return Array.from(this.#list.children);
  }

  #part(name) {
    return this.#panel.querySelector(`[data-part="${name}"]`);
  }
}

function rowOf({ id }, place) {
  const row = document.createElement("li");
  row.className = "row";
  row.id = `match-${place}`;
  row.setAttribute("role", "option");
  row.textContent = id;
  return row;
}
