/** The choice of a model. */

export class Picker {
  #select;
  #lookout = null; // only where there is no model

  constructor(select, notice, signal) {
    this.#select = select;
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

  /** Take a model, if it is there. */
  prefer(model) {
    const option = this.#usable.find((each) => each.value === model);
    if (option) option.selected = true;
  }

  /** Offer other models: `groups` are the children of the select. */
  show(groups, preferred) {
    this.#select.replaceChildren(...groups);
    if (this.isEmpty) this.#select.selectedIndex = this.#select.options.length - 1; // that there is none
    else this.prefer(preferred);
  }

  /** Look for models, if there is none; resolves to whether there is still none. */
  async missing() {
    if (this.isEmpty) await (await this.#lookout).look();
    return this.isEmpty;
  }

  get #usable() {
    return Array.from(this.#select.options).filter((each) => each.value && !each.disabled);
  }
}
