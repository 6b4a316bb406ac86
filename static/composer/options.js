/** The panel with the system prompt and the parameters of a session. */

import { RULES } from "../state/page_data.js";

export class OptionsPanel {
  #panel;

  /** `onChange()` is called after a change, if all fields are valid. */
  constructor(panel, onChange, signal) {
    this.#panel = panel;
    panel.addEventListener("change", ({ target }) => {
      this.#check(target);
      if (this.isValid) onChange();
    }, { signal });
    panel.addEventListener("keydown", (event) => this.#onKey(event), { signal });
    panel.querySelector('[data-part="done"]').addEventListener("click", (event) => {
      if (!this.isValid) event.preventDefault(); // the panel shows what is invalid
      this.#checkAll();
    }, { signal });
    panel.querySelector('[data-part="forget"]').addEventListener("click", () => {
      for (const field of this.#fields) field.value = "";
      this.#checkAll();
      onChange();
    }, { signal });
  }

  get isValid() {
    return this.#fields.every(fits);
  }

  /** The options set: number fields as numbers, `stop` as a list of lines; empty fields are left out. */
  get value() {
    const set = this.#fields.filter((field) => field.value.trim() !== "");
    return Object.fromEntries(set.map((field) => [field.name, valueOf(field)]));
  }

  set value(options) {
    for (const field of this.#fields) field.value = [options[field.name] ?? ""].flat().join("\n");
  }

  /** Whether these options are those in the panel. */
  are(options) {
    return JSON.stringify(options) === JSON.stringify(this.value);
  }

  /** Open the panel and mark the invalid fields. */
  report() {
    this.#panel.showPopover();
    this.#checkAll();
  }

  #checkAll() {
    for (const field of this.#fields) this.#check(field);
    this.#fields.find((field) => !fits(field))?.focus();
  }

  #check(field) {
    const wrong = document.getElementById(`${field.name}-wrong`);
    if (!wrong) return;
    wrong.hidden = fits(field);
    field.ariaInvalid = !wrong.hidden;
  }

  /** Enter in a single-line field would submit the surrounding form. */
  #onKey(event) {
    if (event.key !== "Enter" || event.target.type !== "number") return;
    event.preventDefault();
    this.#check(event.target);
    if (this.isValid) this.#panel.hidePopover();
  }

  get #fields() {
    return Array.from(this.#panel.querySelectorAll('textarea, input[type="number"]'));
  }
}

function fits(field) {
  return field.checkValidity() && (field.name !== "stop" || linesOf(field).length <= RULES.stops);
}

function valueOf(field) {
  if (field.type === "number") return field.valueAsNumber;
  return field.name === "stop" ? linesOf(field) : field.value;
}

function linesOf(field) {
  return field.value.split("\n").filter(Boolean);
}
