// Campaign: what it has cost, tracked and entered side by side, what a customer has cost to win, and whether it may spend.

import {
  CAMPAIGN,
  entered,
  spentOfCaps,
  standing,
  stillUnpriced,
  theirs,
  withoutCac,
} from "/console/campaign_parts.js";
import { capping, deactivating, naming } from "/console/campaign_settings.js";
import { announce, element } from "/console/elements.js";
import { addingExpense, deletedExpenses, EXPENSES, expenseList } from "/console/expenses.js";
import { DAYS, dayOf, daysOf, filters } from "/console/filters.js";
import { count, money, percent, usd } from "/console/formats.js";
import { form } from "/console/forms.js";
import { change } from "/console/graphql.js";
import { card, figures, table } from "/console/parts.js";
import { mayChange } from "/console/session.js";

const ROWS = "rows { keys { value name } totals { costUsd calls } }";
const COSTS = `query Campaign($campaign: String!, $from: Date, $to: Date, $usage: UsageFilter!, $other: UsageFilter!) {
  campaignCosts(campaign: $campaign, from: $from, to: $to) { ${CAMPAIGN} budgets { thresholds } models(top: 10) { provider model costUsd calls } }
  other: usageBreakdown(filter: $other, groupBy: [PROVIDER, OPERATION], top: 10) { ${ROWS} }
  byAgent: usageBreakdown(filter: $usage, groupBy: [AGENT_ROLE], top: 10) { ${ROWS} }
  expenses(campaign: $campaign, from: $from, to: $to, first: 20) { ${EXPENSES} }
}`;
const WON = `mutation RecordCustomersWon($input: RecordCustomersWonInput!) {
  recordCustomersWon(input: $input) { __typename ... on Refusal { code message } }
}`;
const MOST_YEARS = 10;

export function load({ ask, parameters: { campaign }, query }) {
  const days = daysOf(query);
  const usage = { campaign: [campaign], ...usageDays(days) };
  return ask(COSTS, { campaign, ...days, usage, other: { ...usage, kind: ["TOOL", "API", "DATA_QUERY"] } });
}

/** Sums over usage need both ends. Nothing is recorded ahead of its time, and it is a day later elsewhere. */
function usageDays({ from, to }) {
  const soon = dayOf(new Date(Date.now() + 2 * 86_400_000));
  const lastDay = to ?? (from > soon ? from : soon);
  return { firstDay: from ?? `${lastDay.slice(0, 4) - MOST_YEARS + 1}-01-01`, lastDay };
}

export const title = ({ campaignCosts: { name, campaign } }) => theirs(name ?? campaign);

export function draw({ campaignCosts: costs, other, byAgent, expenses }, context) {
  const may = mayChange(context.viewer);
  return [
    about(costs, may, context),
    filters(context, DAYS),
    element("div", { class: "cards" }, acquisition(costs, may, context), budget(costs, may, context)),
    element("div", { class: "cards" }, spent(costs, expenses, may, context), tracked(costs, other.rows, byAgent.rows)),
  ];
}

function about({ campaign, name, client }, may, context) {
  return element(
    "p",
    { class: "faint about" },
    name && [theirs(campaign), " "],
    client && ["for ", theirs(client.name ?? client.id), client.name && [" (", theirs(client.id), ")"], " "],
    may && naming({ campaign, name, client }, context),
  );
}

function acquisition(costs, may, { refresh }) {
  const { campaign, cac, customersWon } = costs;
  const without = withoutCac(costs);
  const recording = () =>
    form({
      inline: true,
      submit: "Record customers",
      fields: [
        { name: "count", label: "Customers won", required: true, size: 6, pattern: "-?[0-9]+", inputmode: "numeric" },
        { name: "on", label: "On", type: "date", value: dayOf(new Date()), required: true },
      ],
      send: ({ count: won, on }, idempotencyKey) => change(WON, { idempotencyKey, campaign, count: Number(won), on }),
      done: async () => {
        announce("The customers are recorded.");
        await refresh();
      },
    });
  return card(
    "Cost of acquisition (CAC)",
    {},
    element(
      "p",
      { class: "balance" },
      element("strong", {}, without ? "–" : money(cac.amount, cac.currency)),
      " ",
      without ?? "for each customer",
    ),
    figures(
      ["Customers won", count(customersWon)],
      ["Expenses entered", costs.expenseCount === "0" ? "none" : entered(costs)],
    ),
    element(
      "p",
      { class: "faint" },
      "What people entered, divided by the customers won, rounded up. What calls have cost is tracked in US dollars and " +
        "reported beside it: it is never added in, and no currency is converted.",
    ),
    may && recording(),
    may && element("p", { class: "faint" }, "A number below zero takes back what was recorded of that day."),
  );
}

function budget(costs, may, context) {
  const told = new Set(costs.budgets.flatMap(({ thresholds }) => [...thresholds]));
  const made = card(
    "Budget",
    { actions: may ? [capping(costs, context)] : [] },
    standing(costs, context, { here: true }),
    element("h3", {}, "Spent of the cap"),
    spentOfCaps(costs),
    told.size > 0 && element("p", {}, `People are told at ${[...told].map(percent).join(", ")}.`),
    element(
      "p",
      { class: "faint" },
      "Of what calls have cost, in US dollars; it counts its own period, whatever days are shown.",
    ),
    may && costs.status !== "INACTIVE" && deactivating(costs, context),
  );
  made.id = "budget";
  return made;
}

function spent(costs, expenses, may, context) {
  const { campaign, expenseCount, expenseTotals } = costs;
  return card(
    "Expenses that people entered",
    { actions: [deletedExpenses(campaign)] },
    expenseCount !== "0" &&
      figures(...expenseTotals.map(({ amount, currency }) => [currency, money(amount, currency)]), [
        "Entries",
        count(expenseCount),
      ]),
    may && addingExpense(campaign, expenseTotals[0]?.currency, context.refresh),
    expenseList({ campaign, expenses, days: daysOf(context.query) }, may, context),
  );
}

function tracked(costs, others, agents) {
  const { models, autoTrackedLlmUsd, autoTrackedUsd } = costs;
  return card(
    "Tracked by itself, in US dollars",
    {},
    element("p", { class: "balance" }, element("strong", {}, usd(autoTrackedLlmUsd)), " for language models"),
    figures(["All calls", usd(autoTrackedUsd)]),
    stillUnpriced(costs),
    element("h3", {}, "Models that cost most"),
    table({ caption: "Models by cost", columns: MODELS, rows: models, empty: "No model was called." }),
    element("h3", {}, "Other calls that cost most"),
    table({
      caption: "Other calls by cost",
      columns: OTHERS,
      rows: others,
      empty: "No tool and no other service was called.",
    }),
    element("h3", {}, "Agents that cost most"),
    table({ caption: "Agents by cost", columns: AGENTS, rows: agents, empty: "No agent worked on it." }),
  );
}

const MODELS = [
  {
    title: "Model",
    main: true,
    cell: ({ provider, model }) => [theirs(model), element("div", { class: "faint" }, theirs(provider))],
  },
  { title: "Calls", number: true, cell: ({ calls }) => count(calls) },
  { title: "Cost", number: true, cell: ({ costUsd }) => usd(costUsd) },
];
const groups = (title, label) => [
  { title, main: true, cell: ({ keys }) => label(...keys) },
  { title: "Calls", number: true, cell: ({ totals }) => count(totals.calls) },
  { title: "Cost", number: true, cell: ({ totals }) => usd(totals.costUsd) },
];
const named = ({ value, name }) => theirs(name ?? value ?? "none named");
const OTHERS = groups("Call", (provider, operation) => [
  named(provider),
  operation.value && element("div", { class: "faint" }, named(operation)),
]);
const AGENTS = groups("Agent", (role) => [
  named(role),
  role.name && element("div", { class: "faint" }, theirs(role.value)),
]);
