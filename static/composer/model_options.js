/** Models as children of a select. */

/** An optgroup for one backend: its models, or why it has none. */
export function groupOf(backend, options) {
  const group = Object.assign(document.createElement("optgroup"), { label: backend });
  group.append(...options);
  return group;
}

/** An option for one model of `/api/models`. */
export function optionOf({ id, name, vision }) {
  const option = new Option(name, id);
  if (vision === false) option.dataset.vision = "no";
  return option;
}
