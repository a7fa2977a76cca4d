// Forms: their fields, what is wrong beside them, and a choice of form.

import { element, fill, uniqueId } from "/console/elements.js";
import { newKey, Refusal } from "/console/graphql.js";
import { busy } from "/console/parts.js";

/** What a form's mutation selects of a refusal: what is wrong with a field then stands beside it. */
export const REFUSED = "... on Refusal { code message } ... on InvalidInput { fields { path message } }";

/**
 * A form. `fields`: `{ name, label, type, value, required, options: [[value, text]], suggestions: [[value, text]], help,
 * ...attributes }`; a field without a value sends null, and one that is false is left out. `send(values, key)` does it: `key` is
 * the idempotency key, the same for the same values until an answer is known. `done(result)`: afterwards. What is refused
 * stands in the form, which keeps its values; beside its field where the API names one that is called so here too.
 */
export function form({ fields, submit, send, done, inline = false }) {
  const problem = element("p", { class: "problem", role: "alert" });
  const button = element("button", { type: "submit" }, submit);
  const controls = fields.filter(Boolean).map(control);
  const made = element(
    "form",
    { class: ["form", inline && "inline"] },
    controls.map(({ node }) => node),
    button,
    problem,
  );
  let unanswered = { values: null, key: null };
  made.addEventListener("submit", (event) => {
    event.preventDefault();
    const values = Object.fromEntries(controls.map(({ name, value }) => [name, value()]));
    const written = JSON.stringify(values);
    if (unanswered.values !== written) unanswered = { values: written, key: newKey() };
    for (const { tell } of controls) tell("");
    busy(button, problem, async () => {
      let result;
      try {
        result = await send(values, unanswered.key);
      } catch (error) {
        throw besideFields(controls, error);
      }
      unanswered = { values: null, key: null };
      await done(result, values);
    });
  });
  return made;
}

/** The refusal that is left once what is wrong with a field stands beside it. */
function besideFields(controls, error) {
  const problems = error.refusal?.fields;
  if (!problems) return error;
  const others = problems.filter(({ path, message }) => {
    const found = controls.find(({ name }) => name === path.split(/[.[]/)[0]);
    found?.tell(message);
    return !found;
  });
  controls.find(({ input }) => input.matches("[aria-invalid]"))?.input.focus();
  if (others.length === problems.length) return error;
  return new Refusal({ message: others.map(({ path, message }) => `${path}: ${message}`).join("; ") });
}

function control({ name, label, help, options, suggestions, type = "text", value, ...attributes }) {
  const id = uniqueId(name);
  const helpId = help && uniqueId("help");
  const problemId = uniqueId("problem");
  const list = suggestions && uniqueId("list");
  const shared = { id, name, list, "aria-describedby": [helpId, problemId].filter(Boolean).join(" "), ...attributes };
  let input;
  if (options) {
    const chosen = options.map(([code, text]) => element("option", { value: code, selected: code === value }, text));
    input = element("select", shared, chosen);
  } else if (type === "checkbox") {
    input = element("input", { ...shared, type, checked: value });
  } else {
    input = element("input", { ...shared, type, value, autocomplete: attributes.autocomplete ?? "off" });
  }
  const read = () => (type === "checkbox" ? input.checked : input.value.trim() === "" ? null : input.value.trim());
  const texts = [element("label", { for: id }, label), help && element("small", { id: helpId }, help)];
  const known = suggestions?.map(([code, text]) => element("option", { value: code }, text));
  const problem = element("small", { id: problemId, class: "problem" });
  const tell = (message) => {
    problem.textContent = message;
    if (message) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
  };
  const parts = [
    type === "checkbox" ? [input, ...texts] : [texts[0], input, texts[1]],
    known && element("datalist", { id: list }, known),
    problem,
  ];
  const node = element("div", { class: ["field", type === "checkbox" && "check"] }, parts);
  return { name, input, value: read, tell, node };
}

/** A choice over the form that depends on it. `options`: [[value, text]]; `make(value)`: the form of a choice. */
export function choice(label, options, make) {
  const id = uniqueId("choice");
  const place = element("div", {}, make(options[0][0]));
  const chosen = options.map(([code, text]) => element("option", { value: code }, text));
  const select = element("select", { id, onchange: () => fill(place, make(select.value)) }, chosen);
  return element(
    "div",
    { class: "form" },
    element("div", { class: "field" }, element("label", { for: id }, label), select),
    place,
  );
}

/** Attributes of a field for an amount: a decimal with at most nine fractional digits, as the API takes it. */
export const DECIMAL = {
  inputmode: "decimal",
  pattern: "-?[0-9]+([.][0-9]{1,9})?",
  title: "A decimal such as 12 or 0.25",
};

/** The same for an amount that cannot be below zero. */
export const POSITIVE = { ...DECIMAL, pattern: "[0-9]+([.][0-9]{1,9})?" };
