/** Models as children of a select. */

/** An optgroup for one backend: its models, or why it has none. `origin` is the server that prompts go to, if any. */
export function groupOf(backend, options, origin) {
  const group = Object.assign(document.createElement("optgroup"), { label: origin ? `${backend} (${origin})` : backend });
  group.dataset.backend = backend;
  group.append(...options);
  return group;
}

/** An option for one model of `/api/models`. */
export function optionOf({ id, name, vision }) {
  const option = new Option(name, id);
  if (vision === false) option.dataset.vision = "no";
  return option;
}
