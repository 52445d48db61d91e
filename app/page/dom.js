// @ts-check
// Small help to build elements; text is always set as text, never as markup.

/** @param {string} id */
export function byId(id) {
  return /** @type {HTMLElement} */ (document.getElementById(id));
}

/**
 * Create an element with attributes and children.
 * @param {string} tag
 * @param {Record<string, string | boolean | ((event: any) => void)>} attributes  functions are listeners
 * @param {(Node | string)[]} children
 */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

/**
 * Set an element's text if it differs, so that nothing is announced or laid out twice.
 * @param {Element} target
 * @param {string} text
 */
export function setText(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

/**
 * Show a note, or hide it if there is nothing to say.
 * @param {HTMLElement} target
 * @param {string} text
 */
export function setNote(target, text) {
  setText(target, text);
  target.hidden = text === "";
}

/**
 * Mark the pressed one of a group of buttons.
 * @param {HTMLElement} group
 * @param {string} value
 */
export function press(group, value) {
  for (const button of group.querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button.value === value));
  }
}
