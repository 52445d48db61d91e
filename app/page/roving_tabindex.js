// @ts-check
// Keys for a grid of cells: one of them takes the Tab key (a roving tabindex), arrows move among
// them, and Enter or Space opens one.

/**
 * @param {HTMLElement} container
 * @param {HTMLElement[]} cells  in the order of time
 * @param {Record<string, number>} steps  how far each key moves
 * @param {number} [start]  the cell that takes the Tab key first
 */
export function setRovingTabindex(container, cells, steps, start = cells.length - 1) {
  cells.forEach((cell, index) => {
    cell.tabIndex = index === start ? 0 : -1;
  });
  container.onkeydown = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const index = cells.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    const to = target(event.key, index, cells.length, steps);
    if (index < 0 || to === null) return;
    event.preventDefault();
    focus(cells, to);
  };
}

/**
 * Open a cell on a click, on Enter and on Space.
 * @param {HTMLElement} cell
 * @param {() => void} open
 */
export function onOpen(cell, open) {
  cell.addEventListener("click", open);
  cell.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault(); // Space would scroll the page
    open();
  });
}

/**
 * @param {string} key
 * @param {number} index
 * @param {number} length
 * @param {Record<string, number>} steps
 */
function target(key, index, length, steps) {
  if (key === "Home") return 0;
  if (key === "End") return length - 1;
  if (!Object.hasOwn(steps, key)) return null;
  return Math.min(Math.max(index + steps[key], 0), length - 1);
}

/** @param {HTMLElement[]} cells @param {number} index */
function focus(cells, index) {
  for (const cell of cells) cell.tabIndex = -1;
  cells[index].tabIndex = 0;
  cells[index].focus();
}
