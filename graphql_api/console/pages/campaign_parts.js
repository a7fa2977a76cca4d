// What the list of campaigns and the page of one have in common: names, whether it may spend, its caps, and what a customer
// has cost to win.

import { announce, element } from "/console/elements.js";
import { count, money, percent, usd } from "/console/formats.js";
import { form } from "/console/forms.js";
import { change, within } from "/console/graphql.js";
import { action, bar, opener, status } from "/console/parts.js";
import { mayChange } from "/console/session.js";

/** What is asked of a campaign in both places. */
export const CAMPAIGN = `campaign name client { id name } status pauseReason budgets { period cap spent usedPercent }
  expenseCount expenseTotals { amount currency } autoTrackedUsd autoTrackedLlmUsd unpriced
  customersWon cac { amount currency } cacStatus`;

const turning = (operation) => `mutation Turn($input: ScopeInput!) {
  ${operation}(input: $input) { __typename ... on Refusal { code message } }
}`;
const REASONS = {
  budget_exceeded: "Its budget is used up.",
  metered_empty: "The prepaid balance was used up.",
  manual_pause: "Paused by hand.",
  deactivated: "Taken out of use.",
};

/** Somebody's own text, in whichever direction it is written. */
export function theirs(text) {
  return element("bdi", {}, text);
}

/** The address of a campaign's page. Ids are the customer's own: anything may stand in them. */
export function campaignAddress(campaign, { from, to } = {}) {
  const days = new URLSearchParams([...(from ? [["from", from]] : []), ...(to ? [["to", to]] : [])]);
  return within(`/campaigns/${encodeURIComponent(campaign)}${days.size ? `?${days}` : ""}`);
}

/** Whether it may spend, why not, and the way out. `here`: on its own page, where its cap is raised beside it. */
export function standing({ campaign, name, status: state, pauseReason }, { viewer, refresh }, { here = false } = {}) {
  const turn = (operation, text) => async (idempotencyKey) => {
    await change(turning(operation), { idempotencyKey, scope: "CAMPAIGN", scopeId: campaign });
    announce(text);
    await refresh();
  };
  const resume = () => action("Resume", turn("resumeScope", "The campaign may spend again."));
  const wayOut = () => {
    if (state === "ACTIVE") return pausing(campaign, name, turning("pauseScope"), refresh);
    if (pauseReason === "budget_exceeded")
      return here
        ? "Raise the cap, and it may spend again."
        : element("a", { href: `${campaignAddress(campaign)}#budget` }, "Raise the cap");
    if (pauseReason === "metered_empty")
      return [element("a", { href: within("/#top-up") }, "Top up"), ", then ", resume()];
    return resume();
  };
  const reason = pauseReason && (REASONS[pauseReason] ?? theirs(pauseReason));
  return [
    status(state),
    reason && element("div", { class: "reason" }, reason),
    mayChange(viewer) && element("div", { class: "way-out" }, wayOut()),
  ];
}

function pausing(campaign, name, document, refresh) {
  return opener(
    "Pause",
    "Pause the campaign",
    (close) =>
      form({
        fields: [
          { name: "reason", label: "Why", maxlength: 200, help: "Whoever is refused is told. It may stay empty." },
        ],
        submit: "Pause",
        send: ({ reason }, idempotencyKey) =>
          change(document, { idempotencyKey, scope: "CAMPAIGN", scopeId: campaign, reason }),
        done: async () => {
          close();
          announce("The campaign is paused.");
          await refresh();
        },
      }),
    { class: "plain", "aria-label": `Pause ${name ?? campaign}` },
  );
}

/** What was spent of each cap. */
export function spentOfCaps({ campaign, name, budgets }) {
  const capped = budgets.filter(({ cap }) => cap !== null);
  if (!capped.length) return element("span", { class: "faint" }, "No cap");
  return capped.map(({ period, cap, spent, usedPercent }) => {
    const over = period === "TOTAL" ? "in all" : "this month";
    return element(
      "div",
      { class: "capped" },
      `${usd(spent)} of ${usd(cap)} `,
      element("small", {}, `${over}, ${percent(usedPercent)}`),
      bar(usedPercent, `${name ?? campaign}: spent ${over}, of the cap`),
    );
  });
}

/** What was entered: a sum for each currency. Nothing is converted, so nothing is added up across them. */
export function entered({ expenseTotals }) {
  return expenseTotals.map(({ amount, currency }) => element("div", {}, money(amount, currency)));
}

/** Why nobody can say what a customer has cost to win; null where it can be said. */
export function withoutCac({ cacStatus, expenseTotals }) {
  if (cacStatus === "NO_EXPENSES") return "No expenses were entered.";
  if (cacStatus === "NO_CUSTOMERS") return "No customers were won.";
  if (cacStatus !== "MIXED_CURRENCIES") return null;
  const currencies = expenseTotals.map(({ currency }) => currency).join(", ");
  return `Expenses in several currencies (${currencies}): nothing is converted.`;
}

/** How many calls are in no sum yet. */
export function stillUnpriced({ unpriced }) {
  return unpriced !== "0" && element("div", { class: "faint" }, `${count(unpriced)} not priced yet, in no sum`);
}
