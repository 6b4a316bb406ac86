/** The choice of a model. */

export class Picker {
  #select;
  #panel; // where models are found by name, if there are too many for the select
  #finding = null;
  #lookout = null; // only where there is no model
  #signal;

  constructor(select, panel, notice, signal) {
    this.#select = select;
    this.#panel = panel;
    this.#signal = signal;
    panel.addEventListener("beforetoggle", () => this.#finder, { signal });
    panel.addEventListener("keydown", (event) => { if (event.key === "Enter" && event.target.type === "search") event.preventDefault(); }, { signal });
    if (this.isEmpty) this.#lookout = import("./models.js").then(({ Lookout }) => new Lookout(this, notice, signal));
  }

  get model() {
    return this.#select.value;
  }

  get isEmpty() {
    return this.#usable.length === 0;
  }

  /** Whether the model is known to be blind. */
  get isBlind() {
    return this.#select.selectedOptions[0]?.dataset.vision === "no";
  }

  /** Take a model, if it is there: in the select, or among those that are too many for it. */
  prefer(model) {
    const option = this.#usable.find((each) => each.value === model);
    if (option) option.selected = true;
    else if (model && this.#opener && !this.#opener.hidden) this.#finder.then((finder) => finder.prefer(model));
  }

  /** Offer other models: `groups` are the children of the select; there are more if `isLong`. */
  show(groups, preferred, isLong) {
    this.#select.replaceChildren(...groups);
    this.#opener.hidden = !isLong;
    if (this.isEmpty) this.#select.selectedIndex = this.#select.options.length - 1; // that there is none
    else this.prefer(preferred);
  }

  /** Look for models, if there is none; resolves to whether there is still none. */
  async missing() {
    if (this.isEmpty) await (await this.#lookout).look();
    return this.isEmpty;
  }

  get #finder() {
    this.#finding ??= import("./finder.js").then(({ Finder }) => new Finder(this.#select, this.#panel, this.#signal));
    return this.#finding;
  }

  get #opener() {
    return this.#select.form.querySelector('[data-part="find"]');
  }

  get #usable() {
    return Array.from(this.#select.options).filter((each) => each.value && !each.disabled);
  }
}
