/** Makes elements without HTML in strings, which a strict content security policy would turn down. */

/** Make an element with properties; `data` and `aria` are objects of their own. Children are elements or texts. */
export function make(name, { data = {}, ...properties } = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  Object.assign(element.dataset, data);
  element.append(...children);
  return element;
}

/** Set the text only if it differs: rewriting it would announce it again, and lose a selection. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
