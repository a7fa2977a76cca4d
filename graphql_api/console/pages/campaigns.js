// Campaigns: what each has cost, beside it what was tracked, and whether it may spend on.

import {
  CAMPAIGN,
  campaignAddress,
  entered,
  spentOfCaps,
  standing,
  stillUnpriced,
  theirs,
  withoutCac,
} from "/console/campaign_parts.js";
import { element } from "/console/elements.js";
import { importing } from "/console/expense_import.js";
import { addingExpense } from "/console/expenses.js";
import { DAYS, daysOf, filters } from "/console/filters.js";
import { count, money, usd } from "/console/formats.js";
import { ask } from "/console/graphql.js";
import { card, pagedTable } from "/console/parts.js";
import { mayChange } from "/console/session.js";

const CAMPAIGNS = `query Campaigns($from: Date, $to: Date, $after: String) {
  campaignCostsList(from: $from, to: $to, first: 20, after: $after) {
    edges { node { ${CAMPAIGN} } }
    pageInfo { hasNextPage endCursor }
  }
}`;

export const load = ({ ask: asking, query }) => asking(CAMPAIGNS, daysOf(query));

export function draw({ campaignCostsList: campaigns }, context) {
  const { query, viewer, refresh } = context;
  const days = daysOf(query);
  const more = async (after) => (await ask(CAMPAIGNS, { ...days, after })).campaignCostsList;
  return [
    filters(context, DAYS),
    card(
      days.from || days.to ? "Costs of these days" : "Costs of all days",
      { actions: mayChange(viewer) ? [importing(refresh)] : [] },
      pagedTable({
        caption: "Campaigns",
        stacked: true,
        columns: columns(days, context),
        connection: campaigns,
        more,
        empty: "There is no campaign yet: one appears with its first call, or with the first expense of a file.",
      }),
      element(
        "p",
        { class: "faint" },
        "Expenses are what people entered, in their own currencies. What calls have cost is tracked in US dollars and stands " +
          "beside them: it is in no other figure. Caps are on tracked dollars and count their own period, whatever days are shown.",
      ),
    ),
  ];
}

const columns = (days, context) => [
  {
    title: "Campaign",
    main: true,
    cell: ({ campaign, name, client }) => [
      element("a", { href: campaignAddress(campaign, days) }, theirs(name ?? campaign)),
      name && element("div", { class: "faint" }, theirs(campaign)),
      client && element("div", { class: "faint", title: client.id }, "for ", theirs(client.name ?? client.id)),
    ],
  },
  { title: "Status", cell: (costs) => standing(costs, context) },
  { title: "Spend against cap", cell: spentOfCaps },
  {
    title: "Expenses",
    number: true,
    cell: (costs) => [
      costs.expenseCount === "0" ? element("div", { class: "faint" }, "none") : entered(costs),
      costs.expenseCount !== "0" && element("div", { class: "faint" }, `${count(costs.expenseCount)} entered`),
      mayChange(context.viewer) && quickAdd(costs, context),
    ],
  },
  {
    title: "Tracked",
    number: true,
    cell: (costs) => [
      usd(costs.autoTrackedUsd),
      element("div", { class: "faint" }, `${usd(costs.autoTrackedLlmUsd)} models`),
      stillUnpriced(costs),
    ],
  },
  { title: "Customers", number: true, cell: ({ customersWon }) => count(customersWon) },
  {
    title: "CAC",
    number: true,
    cell: (costs) => {
      const without = withoutCac(costs);
      if (without) return element("span", { class: "why" }, without);
      return element("strong", {}, money(costs.cac.amount, costs.cac.currency));
    },
  },
];

/** A button that opens a row below its own in which an expense is entered. */
function quickAdd({ campaign, name, expenseTotals }, { refresh }) {
  const label = `Add an expense of ${name ?? campaign}`;
  const button = element(
    "button",
    { type: "button", class: "plain", "aria-label": label, "aria-expanded": "false" },
    "Add",
  );
  let row = null;
  const close = () => {
    row.remove();
    row = null;
    button.setAttribute("aria-expanded", "false");
    button.focus();
  };
  button.addEventListener("click", () => {
    if (row) return close();
    const own = button.closest("tr");
    const adding = addingExpense(campaign, expenseTotals[0]?.currency, refresh);
    row = element("tr", { class: "adding" }, element("td", { colspan: own.cells.length }, adding));
    row.addEventListener("keydown", ({ key }) => key === "Escape" && close());
    own.after(row);
    button.setAttribute("aria-expanded", "true");
    adding.elements.kind.focus();
  });
  return element("div", {}, button);
}
