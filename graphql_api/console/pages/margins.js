// Margins, for operators: what work brought in, what it cost, what is left, and the proof that all of it was metered.

import { element } from "/console/elements.js";
import { count, moment, month as monthText, percent, usd, words } from "/console/formats.js";
import { ask } from "/console/graphql.js";
import { card, figures, pagedTable, table, tag } from "/console/parts.js";
import { receiptButton } from "/console/receipt.js";

const rowsBy = (key) => `rows {
  keys { ${key} }
  sums { revenueUsd costUsd marginUsd marginPercent leastPercent flag unpriced }
}`;
const MOST = 100;
const CALLS = "events calls costUsd unpriced";
const UNMETERED = `edges { node { id tenant reason occurredAt provider model operation feature costUsd } }
  pageInfo { hasNextPage endCursor }`;
const MARGINS = `query Margins($span: MarginFilter!, $period: PeriodFilter!) {
  byFeature: margins(filter: $span, groupBy: [FEATURE], top: ${MOST}) {
    targetPercent asOf total { revenueUsd creditRevenueUsd meteredRevenueUsd costUsd marginUsd marginPercent leastRevenueUsd flag events unpriced }
    ${rowsBy("value")}
  }
  byProvider: margins(filter: $span, groupBy: [PROVIDER], top: ${MOST}) { ${rowsBy("value")} }
  byTenant: margins(filter: $span, groupBy: [TENANT], top: ${MOST}) { ${rowsBy("value name")} }
  metering(filter: $period) { total { ${CALLS} } metered { ${CALLS} } unmetered { ${CALLS} } free { ${CALLS} } }
  unmetered(filter: $period, first: 20) { ${UNMETERED} }
}`;
const MORE = `query Unmetered($period: PeriodFilter!, $after: String) {
  unmetered(filter: $period, first: 20, after: $after) { ${UNMETERED} }
}`;

export const load = ({ ask, query }) => {
  const span = spanOf(shownMonth(query));
  return ask(MARGINS, { span, period: span });
};

export function draw({ byFeature, byProvider, byTenant, metering, unmetered }, context) {
  const { query } = context;
  const tenant = query.get("tenant");
  const shown = shownMonth(query);
  const feature = ({ keys: [{ value }] }) => (value === null ? "No feature" : words(value));
  const provider = ({ keys: [{ value }] }) => value ?? "No provider";
  const whose = ({ keys: [{ value, name }] }) =>
    element("a", { href: `/operator/tenants/${encodeURIComponent(value)}` }, name);
  return [
    months(shown, tenant),
    whole(byFeature, shown, tenant),
    breakdown("By feature", "Feature", feature, byFeature.rows),
    breakdown("By provider", "Provider", provider, byProvider.rows),
    breakdown("By tenant", "Tenant", whose, byTenant.rows),
    proof(metering),
    notMetered(unmetered, spanOf(shown)),
  ];
}

/** The month of the address, such as "2026-11"; the present one if it names none. */
function shownMonth(query) {
  const named = query.get("month");
  return /^\d{4}-(0[1-9]|1[0-2])$/.test(named ?? "") ? named : new Date().toISOString().slice(0, 7);
}

function spanOf(month) {
  return { from: `${month}-01T00:00:00Z`, to: `${moved(month, 1)}-01T00:00:00Z` };
}

function moved(month, by) {
  const [year, number] = month.split("-").map(Number);
  return new Date(Date.UTC(year, number - 1 + by, 1)).toISOString().slice(0, 7);
}

function months(shown, tenant) {
  const to = (month, label) => {
    const query = new URLSearchParams({ month, ...(tenant ? { tenant } : {}) });
    return element("a", { href: `/operator/margins?${query}` }, label);
  };
  const next = moved(shown, 1);
  return element(
    "nav",
    { class: "toolbar", "aria-label": "Months" },
    to(moved(shown, -1), `← ${monthText(moved(shown, -1))}`),
    element("strong", {}, monthText(shown), element("small", {}, " UTC")),
    next <= new Date().toISOString().slice(0, 7) && to(next, `${monthText(next)} →`),
    tenant &&
      element("span", {}, `${tenant} alone: `, element("a", { href: `/operator/margins?month=${shown}` }, "show all")),
  );
}

function whole({ total, targetPercent, asOf }, shown, tenant) {
  return card(
    `${tenant ?? "All tenants"}, ${monthText(shown)}`,
    { actions: [flag(total)] },
    element(
      "p",
      { class: "balance" },
      element("strong", {}, usd(total.marginUsd)),
      " gross margin, ",
      total.marginPercent === null ? "nothing came in" : percent(total.marginPercent),
      ` (target ${percent(targetPercent)})`,
    ),
    figures(
      ["Revenue, USD", usd(total.revenueUsd), `at least ${usd(total.leastRevenueUsd)} is asked for`],
      ["of it in credits", usd(total.creditRevenueUsd), "at their value"],
      ["of it prepaid", usd(total.meteredRevenueUsd)],
      ["Cost, USD", usd(total.costUsd), "on our keys"],
      ["Events", count(total.events), total.unpriced === "0" ? null : `${count(total.unpriced)} without a price yet`],
    ),
    element("p", { class: "faint" }, `Exact as of ${moment(asOf)}.`),
  );
}

const FLAGS = { NEGATIVE: "Cost more than it brought in", BELOW_TARGET: "Under target" };

function flag(sums) {
  return sums.flag && tag(FLAGS[sums.flag], "full");
}

function breakdown(title, of, name, rows) {
  const columns = [
    { title: of, main: true, cell: name },
    { title: "Revenue, USD", number: true, cell: ({ sums }) => usd(sums.revenueUsd) },
    {
      title: "Cost, USD",
      number: true,
      cell: ({ sums }) => [
        usd(sums.costUsd),
        sums.unpriced !== "0" &&
          element("div", {}, element("small", {}, `${count(sums.unpriced)} without a price yet`)),
      ],
    },
    { title: "Margin, USD", number: true, cell: ({ sums }) => usd(sums.marginUsd) },
    {
      title: "Margin",
      number: true,
      cell: ({ sums }) => element("strong", { class: sums.flag && "bad" }, percent(sums.marginPercent)),
    },
    { title: "Target", number: true, cell: ({ sums }) => percent(sums.leastPercent) },
    { title: "What is wrong", cell: ({ sums }) => flag(sums) },
  ];
  return card(
    title,
    {},
    table({ caption: title, columns, rows, empty: "No work was recorded in this month." }),
    rows.length === MOST && element("p", { class: "faint" }, `There may be more than these ${MOST}.`),
  );
}

function proof({ total, metered, unmetered, free }) {
  const rows = [
    { name: "To be paid, all", ...total },
    { name: "Metered", ...metered },
    { name: "Not metered", ...unmetered },
    { name: "Free on the rate card, beside them", ...free },
  ];
  const columns = [
    { title: "Calls on our keys", main: true, cell: ({ name }) => name },
    { title: "Calls", number: true, cell: ({ calls }) => count(calls) },
    { title: "Events", number: true, cell: ({ events }) => count(events) },
    { title: "Cost, USD", number: true, cell: ({ costUsd }) => usd(costUsd) },
    { title: "Events without a price yet", number: true, cell: ({ unpriced }) => count(unpriced) },
  ];
  const whether =
    unmetered.events === "0" ? tag("All metered", "fine") : tag(`${count(unmetered.calls)} not metered`, "full");
  return card(
    "Was every paid call metered?",
    { actions: [whether] },
    table({ caption: "Metering of calls on our keys", columns, rows }),
  );
}

const REASONS = {
  GIVEN_UP: "Its reservation was given up",
  SETTLED_FOR_NOTHING: "Settled for nothing",
  UNPRICED: "No price yet: publish it, then re-rate",
  NO_FEATURE: "It names no feature",
  NO_RATE: "No rate, or no wallet of the tenant, for single calls of its feature",
};

function notMetered(connection, period) {
  const columns = [
    { title: "When", cell: ({ occurredAt }) => moment(occurredAt) },
    {
      title: "Call",
      main: true,
      cell: ({ id, tenant, provider, model, operation }) =>
        receiptButton(id, [provider, model ?? operation].filter(Boolean).join(" ") || "No provider", { tenant }),
    },
    {
      title: "Tenant",
      cell: ({ tenant }) => element("a", { href: `/operator/tenants/${encodeURIComponent(tenant)}` }, tenant),
    },
    { title: "Feature", cell: ({ feature }) => (feature ? words(feature) : "–") },
    { title: "Why", cell: ({ reason }) => REASONS[reason] ?? words(reason) },
    { title: "Cost, USD", number: true, cell: ({ costUsd }) => (costUsd === null ? "Not known yet" : usd(costUsd)) },
  ];
  const more = async (after) => (await ask(MORE, { period, after })).unmetered;
  const empty = "None: somebody was charged for every call that has to be paid.";
  return card(
    "Calls that nobody was charged for",
    {},
    pagedTable({ caption: "Calls that nobody was charged for", stacked: true, columns, connection, more, empty }),
  );
}
