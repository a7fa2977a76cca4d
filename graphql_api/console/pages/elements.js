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

/**
 * The same for what somebody may be using meanwhile: the focus stays on what is alike afterwards, and details stay open.
 * Returns false where the focus was inside and nothing is like what had it.
 */
export function fillAnew(node, ...children) {
  const focused = node.contains(document.activeElement) && document.activeElement;
  const likeFocused = focused && focused !== node && likeIn(node, focused);
  const likeOpen = [...node.querySelectorAll("details[open]")].map((open) => likeIn(node, open));
  fill(node, ...children);
  for (const like of likeOpen) like()?.setAttribute("open", "");
  if (!focused) return true;
  const found = likeFocused ? likeFocused() : node;
  found?.focus({ preventScroll: true });
  return Boolean(found);
}

/** What finds it again once the node was drawn anew: of the same kind, with the same name, the same one of those. */
function likeIn(node, wanted) {
  const textOf = (one) => one.getAttribute("aria-label") ?? (one.querySelector("summary") ?? one).textContent;
  const nameOf = (one) => `${textOf(one)} ${one.name ?? ""} ${one.href ?? ""}`;
  const name = nameOf(wanted);
  const alike = () => [...node.querySelectorAll(wanted.localName)].filter((one) => nameOf(one) === name);
  const at = alike().indexOf(wanted);
  return () => alike()[at];
}

/** Tell those who cannot see the page what has just happened. What lies behind an open dialog is not read out. */
export function announce(text) {
  const place = [...document.querySelectorAll("dialog[open] > .said-here"), document.getElementById("said")][0];
  // The same text once more would be no change, and would not be read out.
  place.textContent = place.textContent === text ? `${text}\u00a0` : text;
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
