// Filters: what a list is narrowed by stands in the address, so that it can be linked, reloaded and gone back to.

import { element } from "/console/elements.js";
import { form } from "/console/forms.js";
import { Failure } from "/console/graphql.js";

/** A form whose `fields` are the parameters of the address by their names, with a way back to everything. */
export function filters({ query, go }, fields) {
  const shown = fields.some(({ name }) => query.has(name));
  const address = (values) => {
    const next = new URLSearchParams(query);
    for (const { name } of fields) {
      if (values[name]) next.set(name, values[name]);
      else next.delete(name);
    }
    return `${location.pathname}${next.size ? `?${next}` : ""}`;
  };
  const made = form({
    inline: true,
    submit: "Show",
    fields: fields.map((field) => ({ ...field, value: query.get(field.name) })),
    send: async (values) => {
      if (values.from && values.to && values.from > values.to)
        throw new Failure("BAD_USER_INPUT", "The first day lies after the last.");
      return values;
    },
    done: (values) => go(address(values)),
  });
  return element("div", { class: "filters" }, made, shown && element("a", { href: address({}) }, "Show everything"));
}

/** The fields of a span of days, both included. */
export const DAYS = [
  { name: "from", label: "From day", type: "date" },
  { name: "to", label: "To day", type: "date" },
];

/** The days that the address names; null: from the beginning, to the end. */
export function daysOf(query) {
  return { from: query.get("from"), to: query.get("to") };
}

/** The day of a moment by the reader's clock, as the API writes it. */
export function dayOf(moment) {
  const parts = [moment.getFullYear(), moment.getMonth() + 1, moment.getDate()];
  return parts.map((part) => String(part).padStart(2, "0")).join("-");
}
