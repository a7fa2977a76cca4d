// Elements: how every module of the console makes what it shows. Texts are set as texts, never as markup.

/**
 * An element. Attributes whose value is null, undefined or false are left out, true stands without a value, functions
 * are listeners by their names (`onclick`), and `class` takes an array too. Children are nodes, texts, or arrays of them;
 * null and false are left out.
 */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") made.addEventListener(key.slice(2), value);
    else if (key === "class") made.className = [value].flat().filter(Boolean).join(" ");
    else made.setAttribute(key, value === true ? "" : String(value));
  }
  made.append(...shown(children));
  return made;
}

/** Put these children in place of what a node holds. */
export function fill(node, ...children) {
  node.replaceChildren(...shown(children));
  return node;
}

/** Tell those who cannot see the page what has just happened. */
export function announce(text) {
  document.getElementById("said").textContent = text;
}

let lastId = 0;

/** An id of an element that another one names. */
export function uniqueId(name) {
  return `${name}-${++lastId}`;
}

function shown(children) {
  return children
    .flat(Number.POSITIVE_INFINITY)
    .filter((child) => child !== null && child !== undefined && child !== false);
}
