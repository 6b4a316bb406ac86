/** The choice of a model. */

export class ModelMenu {
  #select;
  #panel; // where models are found by name, if there are too many for the select
  #finding = null;
  #notice;
  #lookout = null;
  #signal;

  constructor(select, panel, notice, signal) {
    this.#select = select;
    this.#panel = panel;
    this.#notice = notice;
    this.#signal = signal;
    panel.addEventListener("beforetoggle", () => this.#finder, { signal });
    panel.addEventListener("keydown", (event) => { if (event.key === "Enter" && event.target.type === "search") event.preventDefault(); }, { signal });
    for (const type of ["pointerdown", "focus"]) select.addEventListener(type, () => this.#refresh(), { signal });
    document.addEventListener("visibilitychange", () => { if (!document.hidden) this.#refresh(); }, { signal });
    if (this.isEmpty) this.#look(() => {});
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

  /** The options that are offered. */
  get options() {
    return Array.from(this.#select.options);
  }

  /** Whether there are more models than the select has. */
  set isLong(isLong) {
    this.#opener.hidden = !isLong;
  }

  /** Offer other models: `groups` are the children of the select. A preferred one is taken even if it cannot be used now. */
  show(groups, preferred) {
    this.#select.replaceChildren(...groups);
    const option = this.options.find((each) => each.value && each.value === preferred);
    if (option) option.selected = true;
    else if (this.isEmpty) this.#select.selectedIndex = this.#select.options.length - 1; // that there is none
    else this.prefer(preferred);
  }

  /** Look for models, if there is none; resolves to whether there is still none. */
  async missing() {
    if (this.isEmpty) await this.#look((lookout) => lookout.look());
    return this.isEmpty;
  }

  /** Other models may be reachable by now. */
  #refresh() {
    this.#look((lookout) => lookout.refresh());
  }

  /** Without a connection the menu stays as it is, and the next look tries again. */
  async #look(how) {
    this.#lookout ??= import("./model_retry.js").then(
      ({ ModelRetry }) => new ModelRetry(this, this.#notice, this.#signal),
      () => null,
    );
    const lookout = await this.#lookout;
    if (lookout) await how(lookout);
    else this.#lookout = null;
  }

  get #finder() {
    this.#finding ??= import("./model_finder.js").then(({ ModelFinder }) => new ModelFinder(this.#select, this.#panel, this.#signal));
    return this.#finding;
  }

  get #opener() {
    return this.#select.form.querySelector('[data-part="find"]');
  }

  get #usable() {
    return this.options.filter((each) => each.value && !each.disabled);
  }
}
