// Account: what was spent for one account: ever, and in a month by model, by operation, by feature, by day and call by call.

import { breakdownTable, daily, ofProvider } from "/console/breakdowns.js";
import { callLog, callsIn, callsPage } from "/console/calls.js";
import { chart } from "/console/charts.js";
import { element } from "/console/elements.js";
import { count, month, usd, words } from "/console/formats.js";
import { dayIn, daysOf, monthAfter, monthChooser } from "/console/months.js";
import { card, empty, figures } from "/console/parts.js";

const TOP = 20;
const by = (alias, dimensions) => `${alias}: usageBreakdown(filter: $month, groupBy: [${dimensions}], top: ${TOP}) {
  rows { keys { value } totals { costUsd calls } }
}`;
const ACCOUNT = `query Account($account: String!, $key: String, $month: UsageFilter!, $calls: UsageFilter!, $after: String) {
  tenant { timeZone }
  present: spendAgainstCap { month }
  shown: spendAgainstCap(month: $key) { month }
  accountCosts(account: $account) { account name autoTrackedUsd autoTrackedLlmUsd unpriced }
  byDay: usageBreakdown(filter: $month, groupBy: [DAY], top: 1, comparePrevious: true) {
    rows { keys { value } totals { costUsd } }
    total { costUsd calls }
    previous { costUsd }
    asOf
  }
  ${by("byModel", "PROVIDER, MODEL")}
  ${by("byOperation", "PROVIDER, OPERATION")}
  ${by("byFeature", "FEATURE")}
  ${callsPage({ account: false })}
}`;

export function load({ ask, query, parameters }) {
  const { account } = parameters;
  const key = query.get("month");
  const only = { account: [account] };
  return ask(ACCOUNT, { account, key, month: { month: key, ...only }, calls: callsIn(query, only) });
}

export const title = ({ accountCosts }) => accountCosts.name ?? accountCosts.account;

export function draw(data, context) {
  const { tenant, present, shown, accountCosts, byDay } = data;
  const { account, name, autoTrackedUsd, autoTrackedLlmUsd, unpriced } = accountCosts;
  const { total, previous } = byDay;
  const more = { account: [account] };
  const used = total.calls !== "0";
  return [
    element(
      "div",
      { class: "above" },
      monthChooser(shown.month, present.month, context),
      element("p", { class: "faint" }, `Months and days of ${tenant.timeZone}`),
      name !== null && element("p", { class: "faint" }, `Account ${account}`),
    ),
    card(
      "What it has cost",
      {},
      element(
        "div",
        { class: "large" },
        figures(
          [month(shown.month), usd(total.costUsd), `${month(monthAfter(shown.month, -1))}: ${usd(previous.costUsd)}`],
          ["Calls of the month", count(total.calls)],
          ["All time", usd(autoTrackedUsd), `language models: ${usd(autoTrackedLlmUsd)}`],
          unpriced !== "0" && ["Without a price", count(unpriced), "their cost is in no figure yet"],
        ),
      ),
    ),
    used ? breakdowns(data) : card("Where it went", {}, empty(`Nothing was recorded for it in ${month(shown.month)}.`)),
    used && callLog(data.usageEvents, { context, month: shown.month, more }).node,
  ];
}

function breakdowns({ tenant, shown, byDay, byModel, byOperation, byFeature }) {
  const days = daysOf(shown.month, dayIn(byDay.asOf, tenant.timeZone));
  const total = byDay.total.costUsd;
  const one = (title, of, { rows }, cell = ofProvider) =>
    card(title, {}, breakdownTable(title, { of, cell, rows, total, top: TOP }));
  const rows = daily(byDay, days);
  return element(
    "div",
    { class: "cards" },
    card(
      "Spend by day",
      { wide: true },
      chart(`Spend by day, ${month(shown.month)}`, { kind: "line", rows, of: "Day" }),
    ),
    one("By model", "Model", byModel),
    one("By operation", "Operation", byOperation),
    one("By feature", "Feature", byFeature, feature),
  );
}

function feature({ keys: [{ value }] }) {
  return value === null ? "Without a feature" : words(value);
}
