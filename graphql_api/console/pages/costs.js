// Costs: what a month has cost against its cap, where it went, and call by call.

import { breakdownTable, daily, named, ofProvider } from "/console/breakdowns.js";
import { callLog, callsIn, callsPage, NEWEST_CALLS } from "/console/calls.js";
import { chart } from "/console/charts.js";
import { download } from "/console/downloads.js";
import { element, fill } from "/console/elements.js";
import { count, day, moment, month, percent, usd, words } from "/console/formats.js";
import { within } from "/console/graphql.js";
import { dayIn, daysOf, monthAfter, monthChooser } from "/console/months.js";
import { bar, card, empty, figures, status, table, tag } from "/console/parts.js";

const TOP = 20;
const MODELS = 8;
const MOST_AGENTS = 100;
const MOST_BUDGETS = 50;
const SPENDING = "month spent held cap usedPercent projectedUsd";
const ROWS = `rows { keys { value name } totals { costUsd calls } }`;
const by = (alias, dimension, top = TOP) =>
  `${alias}: usageBreakdown(filter: $month, groupBy: [${dimension}], top: ${top}) { ${ROWS} }`;
const COSTS = `query Costs($key: String, $month: UsageFilter!, $calls: UsageFilter!, $after: String) {
  tenant { timeZone }
  present: spendAgainstCap { month }
  spending: spendAgainstCap(month: $key) { ${SPENDING} }
  agentBudgets(month: $key, first: ${MOST_AGENTS}) { role name spent held cap usedPercent status pauseReason }
  byDay: usageBreakdown(filter: $month, groupBy: [DAY], top: 1, comparePrevious: true) {
    rows { keys { value } totals { costUsd } }
    total { costUsd calls inputTokens outputTokens cacheReadTokens failures unpriced }
    previous { costUsd }
    asOf
  }
  byModelAndDay: usageBreakdown(filter: $month, groupBy: [DAY, MODEL], top: ${MODELS}) {
    rows { keys { value } totals { costUsd } }
  }
  byModel: usageBreakdown(filter: $month, groupBy: [PROVIDER, MODEL], top: ${TOP}) {
    rows { keys { value } totals { costUsd calls inputTokens outputTokens } }
  }
  byAgent: usageBreakdown(filter: $month, groupBy: [AGENT_ROLE], top: ${TOP}) {
    rows { keys { value name } totals { costUsd } }
  }
  ${by("byClient", "CLIENT")}
  ${by("byProvider", "PROVIDER")}
  ${by("byProject", "PROJECT")}
  ${by("byResearch", "RESEARCH")}
  ${by("byCampaign", "CAMPAIGN", 100)}
  atTheirCap: budgets(atOrAbovePercent: 80, first: ${MOST_BUDGETS}) { scope scopeId name periodKey cap spent usedPercent paused pauseReason }
  ${callsPage()}
}`;

const LIVE = `subscription Spending { usageRecorded { spending { from ${SPENDING} } ${NEWEST_CALLS} } }`;

export function load({ ask, query }) {
  const key = query.get("month");
  return ask(COSTS, { key, month: { month: key }, calls: callsIn(query) });
}

export function draw(data, context) {
  const { tenant, present, spending, byDay } = data;
  const log = callLog(data.usageEvents, { context, month: spending.month, choices: choicesOf(data) });
  const standing = element("div", {}, against(spending, byDay, context));
  let turned = false;
  context.follow(LIVE, {}, ({ usageRecorded }) => {
    const { month: running } = usageRecorded.spending;
    if (running > spending.month && !context.query.has("month") && !turned) {
      turned = true;
      return context.refresh();
    }
    if (running !== spending.month) return;
    fill(standing, against(usageRecorded.spending, byDay, context));
    log.heard(usageRecorded.calls, usageRecorded.spending.from);
  });
  const used = byDay.total.calls !== "0";
  return [
    element(
      "div",
      { class: "above" },
      monthChooser(spending.month, present.month, context),
      faint(`Months and days of ${tenant.timeZone}`),
      used && focusFile(spending.month),
    ),
    card(`Spent in ${month(spending.month)}`, {}, standing, usage(byDay)),
    used ? charts(data, today(data)) : nothing(spending.month),
    budgets(data),
    used && breakdowns(data),
    used && log.node,
  ];
}

function focusFile(shown) {
  return download("Download (FOCUS CSV)", () => `/costs/focus.csv?month=${shown}`);
}

/** The month against its cap: the figure that matters, and where it leads. */
function against({ month: shown, spent, held, cap, usedPercent, projectedUsd }, { previous }, { viewer }) {
  const before = `${month(monthAfter(shown, -1))}: ${usd(previous.costUsd)}`;
  const end = cap === null ? "if it goes on as it began" : "if it goes on as it began: the mark";
  const projected = projectedUsd !== null && ["At the month's end", usd(projectedUsd), end];
  const named = ["Spent", usd(spent), before];
  const open = held !== "0" && ["Held", usd(held), "by work that is not done"];
  if (cap === null) {
    const settings = viewer.role !== "MEMBER" && caps("Set one");
    return element("div", { class: "large" }, figures(named, ["Cap", "None", settings], projected, open));
  }
  const share = projectedUsd !== null && (100 * Number(projectedUsd)) / Number(cap);
  const meter = bar(usedPercent, "Spent of the cap");
  if (projected) meter.append(mark(share));
  return [
    element(
      "div",
      { class: "large" },
      figures(named, ["Cap", usd(cap), `${percent(usedPercent)} spent`], projected, open),
    ),
    meter,
    share > 100 && element("p", {}, tag("At this pace the cap is reached before the month ends", "near")),
  ];
}

/** Where the projection lies on the bar. */
function mark(share) {
  const made = element("span", { class: "mark" });
  made.style.left = `${Math.min(100, share)}%`;
  return made;
}

function usage({ total, asOf }) {
  const { calls, inputTokens, outputTokens, cacheReadTokens, failures, unpriced } = total;
  return [
    figures(
      ["Calls", count(calls), failures !== "0" && `${count(failures)} failed`],
      ["Input tokens", count(inputTokens), cacheReadTokens !== "0" && `and ${count(cacheReadTokens)} cached`],
      ["Output tokens", count(outputTokens)],
      unpriced !== "0" && ["Without a price", count(unpriced), "their cost is in no figure yet"],
    ),
    faint(`Usage as of ${moment(asOf)}`),
  ];
}

function faint(text) {
  return element("p", { class: "faint" }, text);
}

function nothing(shown) {
  return card(
    "Where it went",
    {},
    empty(
      `Nothing was recorded in ${month(shown)}. Workers report calls with consume or recordUsage; they show here at once.`,
    ),
  );
}

function charts({ spending, byAgent, byDay, byModelAndDay, byClient }, days) {
  const groups = ({ rows }, without) =>
    rows.map(({ keys: [key], totals }) => ({ label: named(key, without), usd: totals.costUsd }));
  const agents = { rows: groups(byAgent, "Without an agent"), of: "Agent", total: byDay.total.costUsd };
  const clients = { rows: groups(byClient, "Without a client"), of: "Client" };
  const models = byModelAndDay.rows.map(({ keys: [{ value }, model], totals }) => ({
    label: day(value, { short: true }),
    part: named(model, NO_MODEL),
    usd: totals.costUsd,
  }));
  const labels = days.map((one) => day(one, { short: true }));
  const most = new Set(models.map(({ part }) => part)).size === MODELS && mostOf(MODELS);
  const mostGroups = ({ rows }) => rows.length === TOP && mostOf(TOP);
  const titled = (title, options, wide = false, note = null) =>
    card(title, { wide }, chart(`${title}, ${month(spending.month)}`, options), note);
  return element(
    "div",
    { class: "cards" },
    titled("Spend by day", { kind: "line", rows: daily(byDay, days), of: "Day" }, true),
    titled("Spend by agent", { kind: "donut", ...agents }, false, mostGroups(byAgent)),
    titled("Spend by client", { kind: "bars", ...clients }, false, mostGroups(byClient)),
    titled("Models by day", { kind: "stacked", rows: models, of: "Day", parts: "Model", labels }, true, most),
  );
}

function mostOf(number) {
  return faint(`The ${number} that cost most.`);
}

const NO_MODEL = "No model (tools, APIs)";

function today({ spending, byDay, tenant }) {
  return daysOf(spending.month, dayIn(byDay.asOf, tenant.timeZone));
}

function budgets({ agentBudgets, atTheirCap, spending, present }) {
  const near = table({
    caption: "Budgets at 80 % and above",
    columns: NEAR,
    rows: atTheirCap,
    empty: "No campaign and no agent is at 80 % of its cap.",
  });
  const all = table({
    caption: `Agents in ${month(spending.month)}`,
    columns: AGENTS,
    rows: agentBudgets,
    empty: "No agent has worked yet.",
  });
  const past = spending.month !== present.month;
  return element(
    "div",
    { class: "cards" },
    card(
      "Budgets at 80 % and above, now",
      { wide: true, actions: caps("All caps") },
      near,
      atTheirCap.length === MOST_BUDGETS && faint(`The ${MOST_BUDGETS} of which most is used: there may be more.`),
    ),
    card(
      "Agents and their budgets",
      { wide: true, actions: caps("All caps") },
      all,
      agentBudgets.length === MOST_AGENTS && faint(`The ${MOST_AGENTS} that spent most: there may be more.`),
      past && faint("Caps and states are those of now."),
    ),
  );
}

function caps(text) {
  return element("a", { href: within("/settings#caps") }, text);
}

const SPENT = [
  { title: "Spent", number: true, cell: ({ spent }) => usd(spent) },
  { title: "Cap", number: true, cell: ({ cap }) => (cap === null ? "none" : usd(cap)) },
  { title: "Used", number: true, cell: ({ usedPercent }) => percent(usedPercent) },
];
const NEAR = [
  { title: "Budget", main: true, cell: ({ scope, scopeId, name }) => owner(scope, scopeId, name) },
  { title: "Of", cell: ({ periodKey }) => (periodKey === "TOTAL" ? "All time" : month(periodKey)) },
  ...SPENT,
  { title: "", cell: ({ usedPercent, scopeId }) => bar(usedPercent, `${scopeId ?? "The month"}: spent of the cap`) },
  { title: "Status", cell: ({ paused, pauseReason }) => standing(paused ? "PAUSED" : "WARNING", pauseReason) },
];
const AGENTS = [
  { title: "Agent", main: true, cell: ({ role, name }) => name ?? role },
  ...SPENT,
  { title: "", cell: ({ usedPercent, role }) => usedPercent !== null && bar(usedPercent, `${role}: spent of the cap`) },
  { title: "Held", number: true, cell: ({ held }) => (held === "0" ? "" : usd(held)) },
  { title: "Status", cell: (agent) => standing(agent.status, agent.pauseReason) },
];

function owner(scope, scopeId, name) {
  if (scope === "TENANT") return "The whole month";
  const who = name ?? scopeId;
  const link = scope === "CAMPAIGN" && element("a", { href: within(`/campaigns/${encodeURIComponent(scopeId)}`) }, who);
  return [link || who, " ", element("small", {}, words(scope).toLowerCase())];
}

function standing(code, reason) {
  return element("div", { class: "state" }, status(code), reason && element("small", {}, ` ${words(reason)}`));
}

function breakdowns({ byDay, byCampaign, byModel, byProvider, byProject, byResearch, byClient }) {
  const total = byDay.total.costUsd;
  const one = (
    title,
    of,
    { rows },
    cell = ({ keys: [key] }) => named(key, `Without a ${of.toLowerCase()}`),
    top = TOP,
  ) => card(title, {}, breakdownTable(title, { of, cell, rows, total, top }));
  const models = { of: "Model", cell: ofProvider, columns: TOKENS, rows: byModel.rows, total, top: TOP };
  return element(
    "div",
    { class: "cards" },
    one("By campaign", "Campaign", byCampaign, campaign, 100),
    one("By provider", "Provider", byProvider),
    one("By client", "Client", byClient),
    one("By project", "Project", byProject),
    one("By research", "Research", byResearch, ({ keys: [key] }) => named(key, "Without research")),
    card("By model", { wide: true }, breakdownTable("By model", models)),
  );
}

const TOKENS = [
  { title: "Tokens in", number: true, cell: ({ totals }) => count(totals.inputTokens) },
  { title: "Tokens out", number: true, cell: ({ totals }) => count(totals.outputTokens) },
];

function campaign({ keys: [key] }) {
  if (key.value === null) return "Without a campaign";
  return element("a", { href: within(`/campaigns/${encodeURIComponent(key.value)}`) }, named(key));
}

/** What the filters of the call log choose from. */
function choicesOf({ agentBudgets, byCampaign, byModel }) {
  const values = ({ rows }, at) => rows.map(({ keys }) => keys[at]).filter(({ value }) => value !== null);
  const models = new Set(values(byModel, 1).map(({ value }) => value));
  return {
    agentRole: agentBudgets.map(({ role, name }) => [role, name ?? role]),
    campaign: values(byCampaign, 0).map((key) => [key.value, named(key)]),
    model: [...models].map((model) => [model, model]),
  };
}
