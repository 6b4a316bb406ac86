/** Another name for a session, typed where the old one stood. */

/** Put a field in the place of `link`. Resolves to what was typed, or to `""`; then the link stands there again. */
export function askName(link, label) {
  const field = Object.assign(document.createElement("input"), { className: "rename", value: link.textContent, maxLength: 200 });
  field.setAttribute("aria-label", label);
  const answer = new Promise((resolve) => {
    field.addEventListener("blur", () => resolve(field.value.trim()));
    field.addEventListener("keydown", (event) => {
      if (event.isComposing || (event.key !== "Enter" && event.key !== "Escape")) return;
      event.preventDefault(); // Escape must not close what the list is in, nor stop an answer
      resolve(event.key === "Enter" ? field.value.trim() : "");
    });
  });
  link.replaceWith(field);
  field.focus();
  field.select();
  return answer.then((name) => {
    const hadFocus = document.activeElement === field;
    field.replaceWith(link);
    if (hadFocus) link.focus();
    return name;
  });
}
