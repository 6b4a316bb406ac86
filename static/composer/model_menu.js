/** The model select. Loads the finder and the refresher (`model_retry.js`) on first use. */

export class ModelMenu {
  #select;
  #panel; // the finder's, used when there are too many models for the select
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

  /** Whether the chosen model is known not to accept images. */
  get isBlind() {
    return this.#select.selectedOptions[0]?.dataset.vision === "no";
  }

  /** Choose a model if it exists: in the select, or else through the finder. */
  prefer(model) {
    const option = this.#usable.find((each) => each.value === model);
    if (option) option.selected = true;
    else if (model && this.#opener && !this.#opener.hidden) this.#finder.then((finder) => finder?.prefer(model));
  }

  /** All options, disabled ones included. */
  get options() {
    return Array.from(this.#select.options);
  }

  /** Whether there are more models than the select shows. */
  set isLong(isLong) {
    this.#opener.hidden = !isLong;
  }

  /** Replace the select's children with `groups`. `preferred` is chosen even if its option is disabled. */
  show(groups, preferred) {
    this.#select.replaceChildren(...groups);
    const option = this.options.find((each) => each.value && each.value === preferred);
    if (option) option.selected = true;
    else if (this.isEmpty) this.#select.selectedIndex = this.#select.options.length - 1; // "No model"
    else this.prefer(preferred);
  }

  /** Load the models if there are none; resolves to whether there are still none. */
  async missing() {
    if (this.isEmpty) await this.#look((lookout) => lookout.look());
    return this.isEmpty;
  }

  /** Update the list: other models may be reachable by now. */
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
    this.#finding ??= import("./model_finder.js").then(
      ({ ModelFinder }) => new ModelFinder(this.#select, this.#panel, this.#signal),
      () => { this.#finding = null; },
    );
    return this.#finding;
  }

  get #opener() {
    return this.#select.form.querySelector('[data-part="find"]');
  }

  get #usable() {
    return this.options.filter((each) => each.value && !each.disabled);
  }
}
