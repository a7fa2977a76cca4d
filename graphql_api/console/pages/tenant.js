// Tenant, for operators: what one tenant has, spends and decided lately, and what can be put right for it.

import { KEYS, apiKeys as keysCard } from "/console/api_keys.js";
import { BALANCE, balances } from "/console/balances.js";
import { element } from "/console/elements.js";
import { amount, count, moment, month, percent, usd, words } from "/console/formats.js";
import { bar, card, figures, status, table, when } from "/console/parts.js";
import { receiptButton } from "/console/receipt.js";
import { adjusting, decisions } from "/console/tenant_decisions.js";

const TOTALS = "totals { costUsd calls inputTokens outputTokens }";
const TENANT = `query Tenant {
  tenantUsage {
    tenant {
      slug name status region timeZone cycleStart cycleEnd agentsUsed seatsUsed
      plan { key name seats agents } nextPlan { key name }
    }
    wallets { id expired debt ${BALANCE} }
    recentEntries { id wallet type amount availableAfter note actor createdAt }
    models {
      from to
      total { costUsd calls inputTokens outputTokens }
      byModel { keys { value } ${TOTALS} }
      byAgentRole { keys { value name } ${TOTALS} }
    }
  }
  spendAgainstCap { month spent held cap usedPercent projectedUsd }
  apiKeys(first: 20) { ${KEYS} }
}`;
const NOT_LIVE = { follow: () => {} };

export const load = ({ ask, parameters }) => ask(TENANT, {}, { tenant: parameters.slug });

export const title = ({ tenantUsage }) => tenantUsage.tenant.name;

export function draw({ tenantUsage, spendAgainstCap, apiKeys }, context) {
  const { tenant, wallets, recentEntries, models } = tenantUsage;
  const { slug } = tenant;
  return [
    element("p", {}, element("a", { href: "/operator/tenants" }, "All tenants")),
    element("div", { class: "cards" }, about(tenant, context), spending(spendAgainstCap, slug)),
    element("div", { class: "toolbar" }, element("h2", {}, "Balances"), adjusting(slug, context)),
    balances(wallets, NOT_LIVE, () => {}),
    languageModels(models),
    ledger(slug, wallets, recentEntries),
    keysCard({ apiKeys }, context, { tenant: slug }),
  ];
}

function about(tenant, context) {
  const { slug, status: state, region, timeZone, cycleStart, cycleEnd, agentsUsed, seatsUsed, plan, nextPlan } = tenant;
  return card(
    "Account",
    { actions: [status(state)] },
    figures(
      ["Plan", plan.name, words(region)],
      ["Agents", `${agentsUsed} of ${plan.agents}`],
      ["Seats", `${seatsUsed} of ${plan.seats}`],
    ),
    nextPlan && element("p", {}, `From the next cycle on: ${nextPlan.name}.`),
    element(
      "p",
      { class: "faint" },
      `This cycle: ${moment(cycleStart)} to ${moment(cycleEnd)} (months of ${timeZone})`,
    ),
    element(
      "div",
      { class: "actions" },
      element("a", { class: "button", href: `/?tenant=${encodeURIComponent(slug)}` }, "Open their pages"),
      decisions(tenant, context),
    ),
  );
}

function spending({ month: of, spent, held, cap, usedPercent, projectedUsd }, slug) {
  const costs = `/costs?tenant=${encodeURIComponent(slug)}`;
  return card(
    `Spent in ${month(of)}`,
    { actions: [element("a", { href: costs }, "Their costs")] },
    element(
      "p",
      { class: "balance" },
      element("strong", {}, usd(spent)),
      cap === null ? " without a cap" : ` of ${usd(cap)}, ${percent(usedPercent)}`,
    ),
    cap !== null && bar(usedPercent, "Cap of the month used"),
    figures(
      ["Held for running calls", usd(held)],
      ["At the month's end", projectedUsd === null ? "–" : usd(projectedUsd), "if it goes on like this"],
    ),
  );
}

function languageModels({ from, to, total, byModel, byAgentRole }) {
  const span = `Language models, ${moment(from)} to ${moment(to)}`;
  const role = ({ keys: [{ value, name }] }) => name ?? (value === null ? "No agent role" : words(value));
  const model = ({ keys: [provider, { value }] }) => [
    value ?? "No model",
    " ",
    element("small", {}, provider.value ?? ""),
  ];
  return card(
    span,
    { wide: true },
    figures(
      ["Cost, USD", usd(total.costUsd), "30 days"],
      ["Calls", count(total.calls)],
      ["Tokens in", count(total.inputTokens)],
      ["Tokens out", count(total.outputTokens)],
    ),
    element(
      "div",
      { class: "cards even" },
      element("div", {}, element("h3", {}, "By model"), byTable("Model", model, byModel)),
      element("div", {}, element("h3", {}, "By agent role"), byTable("Agent role", role, byAgentRole)),
    ),
  );
}

function byTable(title, cell, rows) {
  const columns = [
    { title, main: true, cell },
    { title: "Cost, USD", number: true, cell: ({ totals }) => usd(totals.costUsd) },
    { title: "Calls", number: true, cell: ({ totals }) => count(totals.calls) },
    { title: "Tokens in", number: true, cell: ({ totals }) => count(totals.inputTokens) },
    { title: "Tokens out", number: true, cell: ({ totals }) => count(totals.outputTokens) },
  ];
  const empty = "No call of a language model was recorded in these days.";
  return table({ caption: `Language models by ${title.toLowerCase()}`, columns, rows, empty });
}

function ledger(slug, wallets, entries) {
  const wallet = (entry) => wallets.find(({ id }) => id === entry.wallet);
  const columns = [
    { title: "When", cell: ({ createdAt }) => when(createdAt) },
    { title: "What", main: true, cell: ({ id, type }) => receiptButton(id, words(type), { tenant: slug }) },
    { title: "Wallet", cell: (entry) => words(wallet(entry).key) },
    { title: "Amount", number: true, cell: (entry) => amount(entry.amount, wallet(entry).unit) },
    { title: "Available after", number: true, cell: (entry) => amount(entry.availableAfter, wallet(entry).unit) },
    { title: "By", cell: ({ actor }) => actor },
    { title: "Note", cell: ({ note }) => note ?? "" },
  ];
  const empty = "Nothing was booked yet.";
  return card(
    "Latest moves in all wallets",
    { wide: true },
    element(
      "div",
      { class: "stacked" },
      table({ caption: "Latest moves in all wallets", columns, rows: entries, empty }),
    ),
  );
}
