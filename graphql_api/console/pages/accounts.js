// Accounts: what was spent for each of the customer's accounts in a month.

import { breakdownTable, named } from "/console/breakdowns.js";
import { element } from "/console/elements.js";
import { month, usd } from "/console/formats.js";
import { within } from "/console/graphql.js";
import { monthAfter, monthChooser } from "/console/months.js";
import { card, empty, figures } from "/console/parts.js";

const TOP = 100;
const ACCOUNTS = `query Accounts($key: String, $month: UsageFilter!) {
  tenant { timeZone }
  present: spendAgainstCap { month }
  shown: spendAgainstCap(month: $key) { month }
  byAccount: usageBreakdown(filter: $month, groupBy: [ACCOUNT], top: ${TOP}, comparePrevious: true) {
    rows { keys { value name } totals { costUsd calls } previous { costUsd } }
    total { costUsd }
    previous { costUsd }
  }
}`;

export function load({ ask, query }) {
  const key = query.get("month");
  return ask(ACCOUNTS, { key, month: { month: key } });
}

export function draw({ tenant, present, shown, byAccount }, context) {
  const before = month(monthAfter(shown.month, -1));
  const { rows, total, previous } = byAccount;
  const nothing = `Nothing was recorded in ${month(shown.month)}. Calls that name an account in their attribution show here.`;
  return [
    element(
      "div",
      { class: "above" },
      monthChooser(shown.month, present.month, context),
      element("p", { class: "faint" }, `Months of ${tenant.timeZone}`),
    ),
    card(
      `Spent in ${month(shown.month)}`,
      {},
      element(
        "div",
        { class: "large" },
        figures(["All calls, with an account or without", usd(total.costUsd), `${before}: ${usd(previous.costUsd)}`]),
      ),
      rows.length
        ? breakdownTable("Accounts", {
            of: "Account",
            cell: account,
            columns: [previously(before)],
            rows,
            total: total.costUsd,
            top: TOP,
          })
        : empty(nothing),
    ),
  ];
}

function previously(before) {
  return { title: before, number: true, cell: ({ previous }) => usd(previous.costUsd) };
}

function account({ keys: [key] }) {
  if (key.value === null) return "Without an account";
  const link = element("a", { href: within(`/accounts/${encodeURIComponent(key.value)}`) }, named(key));
  return [link, key.name && element("small", {}, ` ${key.value}`)];
}
