// Breakdowns of a month's cost: what each part cost and how large it is beside the whole.

import { element } from "/console/elements.js";
import { count, day, usd } from "/console/formats.js";
import { table } from "/console/parts.js";

/** What people call the value of a dimension; `without`: what is said where the usage named none. */
export function named({ name, value }, without) {
  return name ?? value ?? without;
}

/** What names a row by provider and model, or by provider and operation: the model, or the provider where there is none. */
export function ofProvider({ keys: [provider, { value }] }) {
  const maker = provider.value ?? "Unknown";
  return value === null ? maker : [value, element("small", {}, ` ${maker}`)];
}

/**
 * The table of a breakdown. `of`: what its rows are, `cell`: what names one; `total`: the cost of the whole; `top`: how many
 * groups were asked for; `columns`: more figures, after the cost.
 */
export function breakdownTable(caption, { of, cell, rows, total, top, columns = [], empty }) {
  const names = { title: of, main: true, cell };
  const share = { title: "Share", cell: ({ totals }) => shareOf(totals.costUsd, total) };
  const calls = { title: "Calls", number: true, cell: ({ totals }) => count(totals.calls) };
  const cost = { title: "Cost", number: true, cell: ({ totals }) => usd(totals.costUsd) };
  return [
    table({ caption, columns: [names, share, calls, cost, ...columns], rows, empty }),
    rows.length === top && element("p", { class: "faint" }, `The ${count(top)} that cost most.`),
  ];
}

/** A length, beside the amounts that say it exactly. */
function shareOf(cost, total) {
  const filled = element("span", {});
  filled.style.width = `${(100 * Number(cost)) / (Number(total) || 1)}%`;
  return element("div", { class: "share", "aria-hidden": "true" }, filled);
}

/** The rows of a chart by days: every day of `days`, also those without usage. */
export function daily({ rows }, days) {
  const costs = new Map(rows.map(({ keys: [{ value }], totals }) => [value, totals.costUsd]));
  return days.map((one) => ({ label: day(one, { short: true }), usd: costs.get(one) ?? "0" }));
}
