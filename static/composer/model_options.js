/** Models as the children of a select. */

/** The models of one backend, or why there is none. */
export function groupOf(backend, options) {
  const group = Object.assign(document.createElement("optgroup"), { label: backend });
  group.append(...options);
  return group;
}

/** One model of `/api/models`. */
export function optionOf({ id, name, vision }) {
  const option = new Option(name, id);
  if (vision === false) option.dataset.vision = "no";
  return option;
}
