// The call log: every call of a month, newest first, narrowed by what the address names, each with its receipt.

import { element, fill } from "/console/elements.js";
import { count, usd, words } from "/console/formats.js";
import { form } from "/console/forms.js";
import { within } from "/console/graphql.js";
import { lastDayOf } from "/console/months.js";
import { action, card, pagedTable, tag, when } from "/console/parts.js";
import { receiptButton } from "/console/receipt.js";

/** A page of the log, for a document that has the variables $calls: UsageFilter! and $after: String. */
export const callsPage = ({ account = true } = {}) => `usageEvents(filter: $calls, first: 20, after: $after) {
  edges { node {
    id occurredAt kind provider model operation agentRole campaign ${account ? "account" : ""}
    inputTokens outputTokens cacheReadTokens costUsd unpriced success
  } }
  pageInfo { hasNextPage endCursor }
}`;
/** What `callLog` is told of, for a subscription. */
export const NEWEST_CALLS = `calls { edges { node { occurredAt kind model agentRole campaign } } }`;
const NAMED = ["agentRole", "campaign", "model", "kind"];
const FILTERS = [...NAMED, "from", "to"];
const KINDS = { LLM: "LLM", TOOL: "Tool", API: "API", DATA_QUERY: "Data query" };

/** The UsageFilter of the log that the address names. `more`: what it is narrowed by besides. */
export function callsIn(query, more = {}) {
  const named = NAMED.filter((name) => query.get(name)).map((name) => [name, [query.get(name)]]);
  return { ...spanIn(query), ...more, ...Object.fromEntries(named) };
}

function spanIn(query) {
  const [from, to] = [query.get("from"), query.get("to")];
  if (!from && !to) return { month: query.get("month") };
  return { firstDay: from || `${to.slice(0, 7)}-01`, lastDay: to || lastDayOf(from) };
}

/**
 * The card of the log. `more`: as of callsIn. `choices`: what its filters choose from, `{ agentRole: [[value, text]], campaign,
 * model }`. Returns it as `node`, and `heard`, to be told of the newest calls and of the moment since when the log goes: it
 * offers to show those that are new.
 */
export function callLog(connection, { context, month, more = {}, choices = {} }) {
  const { ask, query } = context;
  const place = element("div", {});
  let newest = null;
  const show = (page) => {
    newest = page.edges[0]?.node.occurredAt ?? null;
    fresh.hidden = true;
    fill(place, tableOf(page, { query, load, more, choices }));
  };
  const document = `query CallLog($calls: UsageFilter!, $after: String) { ${callsPage({ account: !more.account })} }`;
  const load = async (after = null, asked = query) =>
    (await ask(document, { calls: callsIn(asked, more), after })).usageEvents;
  const fresh = action("", async () => show(await load()));
  const heard = ({ edges }, since) => {
    const matches = (call) => NAMED.every((name) => !query.get(name) || query.get(name) === call[name]);
    const isNew = ({ occurredAt }) => new Date(occurredAt) > new Date(newest ?? since);
    const number = edges.filter(({ node }) => isNew(node) && matches(node)).length;
    fresh.hidden = number === 0 || Boolean(query.get("from") || query.get("to"));
    fresh.firstChild.textContent = number === 1 ? "One new call: show it" : `${count(number)} new calls: show them`;
  };
  show(connection);
  const narrowing = filters({ query, month, choices, load, show });
  return { node: card("Calls", { wide: true, actions: fresh }, narrowing, place), heard };
}

function filters({ query, month, choices, load, show }) {
  const any = (texts) => [["", "All"], ...texts];
  const chosen = (name, label) => choices[name] && { name, label, options: any(choices[name]), value: query.get(name) };
  const bounds = { type: "date", min: `${month}-01`, max: lastDayOf(`${month}-01`) };
  const shown = (page, values) => {
    narrow(query, values);
    history.pushState(null, "", `${location.pathname}${query.size ? `?${query}` : ""}`);
    show(page);
  };
  return form({
    inline: true,
    submit: "Filter",
    fields: [
      chosen("agentRole", "Agent"),
      chosen("campaign", "Campaign"),
      chosen("model", "Model"),
      { name: "kind", label: "Kind", options: any(Object.entries(KINDS)), value: query.get("kind") },
      { name: "from", label: "From", value: query.get("from"), ...bounds },
      { name: "to", label: "To", value: query.get("to"), ...bounds },
    ].filter(Boolean),
    send: (values) => load(null, narrow(new URLSearchParams(query), values)),
    done: shown,
  });
}

function narrow(query, values) {
  for (const name of FILTERS) {
    if (values[name]) query.set(name, values[name]);
    else query.delete(name);
  }
  return query;
}

function tableOf(connection, { query, load, more, choices }) {
  const narrowed = FILTERS.some((name) => query.get(name));
  return pagedTable({
    caption: "Calls",
    columns: columnsOf(choices).filter(({ title }) => title !== "Account" || !more.account),
    connection,
    more: load,
    empty: narrowed ? "No call is like this: choose less above." : "No calls in this month.",
  });
}

/** `choices`: what people call agents and campaigns. */
function columnsOf({ agentRole, campaign }) {
  const [agents, campaigns] = [new Map(agentRole), new Map(campaign)];
  return [
    { title: "When", cell: ({ occurredAt }) => when(occurredAt) },
    { title: "Call", main: true, cell: called },
    { title: "Kind", cell: ({ kind }) => KINDS[kind] },
    { title: "Agent", cell: (call) => agents.get(call.agentRole) ?? call.agentRole },
    { title: "Campaign", cell: (call) => linked("/campaigns/", call.campaign, campaigns.get(call.campaign)) },
    { title: "Account", cell: ({ account }) => linked("/accounts/", account) },
    { title: "Tokens in", number: true, cell: tokensIn },
    { title: "Tokens out", number: true, cell: ({ outputTokens }) => tokens(outputTokens) },
    { title: "Cost", number: true, cell: cost },
  ];
}

function called({ id, provider, model, operation }) {
  const what = model ?? operation;
  return [receiptButton(id, what ?? provider ?? "Call"), what && provider && element("small", {}, ` ${provider}`)];
}

function linked(path, id, name = id) {
  return id === null ? null : element("a", { href: within(path + encodeURIComponent(id)) }, name);
}

function tokensIn({ inputTokens, cacheReadTokens }) {
  const cached = cacheReadTokens > 0 && element("small", {}, ` + ${count(cacheReadTokens)} cached`);
  return [tokens(inputTokens), cached];
}

function tokens(number) {
  return number > 0 && count(number);
}

function cost({ costUsd, unpriced, success }) {
  return [!success && tag(words("FAILED"), "full"), " ", unpriced ? tag("No price yet", "near") : usd(costUsd)];
}
