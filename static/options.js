/** The panel with the system prompt and the parameters of a session. */

export class OptionsPanel {
  #panel;

  /** `onChange()` is called when the reader has changed something. */
  constructor(panel, onChange, signal) {
    this.#panel = panel;
    panel.addEventListener("change", () => { if (this.isValid) onChange(); }, { signal });
    panel.addEventListener("keydown", (event) => this.#onKey(event), { signal });
    panel.querySelector('[data-part="forget"]').addEventListener("click", () => {
      for (const field of this.#fields) field.value = "";
      onChange();
    }, { signal });
  }

  get isValid() {
    return this.#fields.every((field) => field.checkValidity());
  }

  /** What is set: numbers where they are asked for; an empty field is left out. */
  get value() {
    const set = this.#fields.filter((field) => field.value.trim() !== "");
    return Object.fromEntries(set.map((field) => [field.name, field.type === "number" ? field.valueAsNumber : field.value]));
  }

  /** Show what does not fit. */
  report() {
    this.#panel.showPopover();
    this.#fields.find((field) => !field.reportValidity());
  }

  /** Enter in a field of one line would send the form around the panel. */
  #onKey(event) {
    if (event.key !== "Enter" || event.target.type !== "number") return;
    event.preventDefault();
    this.#panel.hidePopover();
  }

  get #fields() {
    return Array.from(this.#panel.querySelectorAll('textarea, input[type="number"]'));
  }
}
