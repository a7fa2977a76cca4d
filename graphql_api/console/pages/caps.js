// Caps: how much a month, an agent, a campaign, a task or a tag may spend.

import { announce, element } from "/console/elements.js";
import { percent, usd } from "/console/formats.js";
import { choice, form, POSITIVE, REFUSED } from "/console/forms.js";
import { ask, change } from "/console/graphql.js";
import { action, bar, card, opener, status, table, tag } from "/console/parts.js";

const MOST = 100;
export const CAPS = `budgets(first: ${MOST}) { scope scopeId name period cap thresholds spent held usedPercent paused isDefault }`;
const KNOWN = `query Known {
  AGENT: scopeNames(kind: AGENT, first: 100) { edges { node { id name } } }
  CAMPAIGN: scopeNames(kind: CAMPAIGN, first: 100) { edges { node { id name } } }
}`;
const SET = `mutation SetBudget($input: SetBudgetInput!) {
  setBudget(input: $input) { ... on Budget { paused } ${REFUSED} }
}`;
const REMOVE = `mutation RemoveBudget($input: RemoveBudgetInput!) {
  removeBudget(input: $input) { __typename ... on Refusal { code message } }
}`;

/** What caps can be set on. `of`: what its id is called; none where it has none. `effect`: what happens at the cap. */
const KINDS = {
  month: {
    text: "The tenant's month",
    scope: "TENANT",
    period: "MONTH",
    effect: "All work is then refused until the cap is raised or the next month begins.",
  },
  agent: {
    text: "An agent's month",
    scope: "AGENT",
    period: "MONTH",
    of: "Agent role",
    effect: "The agent is then paused until the cap is raised or the next month begins.",
  },
  task: {
    text: "Each task of an agent",
    scope: "AGENT",
    period: "TASK",
    of: "Agent role",
    help: "Empty: the tasks of every agent.",
    effect: "A task that would cost more is refused.",
  },
  campaign: {
    text: "A campaign in all",
    scope: "CAMPAIGN",
    period: "TOTAL",
    of: "Campaign",
    effect: "The campaign is then paused until the cap is raised.",
  },
  campaignMonth: {
    text: "A campaign's month",
    scope: "CAMPAIGN",
    period: "MONTH",
    of: "Campaign",
    effect: "The campaign is then paused until the cap is raised or the next month begins.",
  },
  tag: {
    text: "A tag's month",
    scope: "TAG",
    period: "MONTH",
    of: "Tag",
    help: "As key=value, such as team=blue.",
    effect: "Work with this tag is then refused until the cap is raised or the next month begins.",
  },
  tagTotal: {
    text: "A tag in all",
    scope: "TAG",
    period: "TOTAL",
    of: "Tag",
    help: "As key=value, such as team=blue.",
    effect: "Work with this tag is then refused until the cap is raised.",
  },
};

/** The card of all caps. `may`: whether the viewer may change them. */
export function caps({ budgets }, may, { refresh }) {
  const rows = budgets.filter(({ cap }) => cap !== null);
  const made = card(
    "Caps",
    { actions: may ? [opener("Set a cap", "Set a cap", (close) => adding(close, refresh), {})] : [] },
    table({
      caption: "Caps",
      columns: may ? [...COLUMNS, changing(refresh)] : COLUMNS,
      rows,
      empty: "There is no cap: nothing but the balance stops a call.",
    }),
    rows.length === MOST && element("p", { class: "faint" }, `The ${MOST} of which most is used.`),
  );
  made.id = "caps";
  return made;
}

/** A button that opens the form of a cap which is there already. */
export function capButton(label, budget, refresh) {
  const { kind, who } = described(budget);
  return opener(label, `Cap: ${kind.text.toLowerCase()}${who && `, ${who}`}`, (close) =>
    setting(kind, budget, close, refresh),
  );
}

async function adding(close, refresh) {
  const known = await ask(KNOWN);
  const kinds = Object.entries(KINDS).map(([key, { text }]) => [key, text]);
  return choice("Of", kinds, (key) => setting(KINDS[key], {}, close, refresh, known[KINDS[key].scope]));
}

function setting(kind, { scopeId, cap, thresholds }, close, refresh, known = null) {
  const { scope, period, of, help, effect } = kind;
  const which = cap === undefined && of;
  const suggestions = known?.edges.map(({ node: { id, name } }) => [id, name ?? id]);
  return form({
    fields: [
      which && { name: "scopeId", label: of, help, suggestions, required: period !== "TASK", maxlength: 200 },
      { name: "cap", label: "At most (US dollars)", value: cap, required: true, help: effect, ...POSITIVE },
      {
        name: "thresholds",
        label: "Alerts at (percent of the cap)",
        value: (thresholds ?? [80, 100]).join(", "),
        pattern: "[0-9]+([.][0-9]+)?( *, *[0-9]+([.][0-9]+)?)*",
        title: "Percents such as 80, 100",
        help: "Up to ten, separated by commas.",
      },
    ],
    submit: "Save",
    send: (values, idempotencyKey) => {
      const percents = values.thresholds?.split(",").map(Number) ?? null;
      const input = { idempotencyKey, scope, period, scopeId: values.scopeId ?? scopeId, cap: values.cap };
      return change(SET, { ...input, thresholds: percents });
    },
    done: ({ paused }) => {
      close();
      announce(paused ? "The cap is set. What it caps stays paused." : "The cap is set.");
      return refresh();
    },
  });
}

/** The kind of a cap, and whose it is: "" for the tenant's own. */
function described({ scope, period, scopeId, name }) {
  const kind = Object.values(KINDS).find((one) => one.scope === scope && one.period === period);
  return { kind, who: scope === "TENANT" ? "" : (name ?? scopeId ?? "Every agent") };
}

const COLUMNS = [
  {
    title: "Cap of",
    main: true,
    cell: (budget) => {
      const { kind, who } = described(budget);
      return [who || kind.text, who && element("div", {}, element("small", {}, kind.text))];
    },
  },
  { title: "Spent", number: true, cell: ({ period, spent }) => (period === "TASK" ? "" : usd(spent)) },
  { title: "Held", number: true, cell: ({ period, held }) => (period === "TASK" ? "" : usd(held)) },
  {
    title: "Cap",
    number: true,
    cell: ({ cap, isDefault }) => [usd(cap), isDefault && element("div", {}, tag("default"))],
  },
  {
    title: "Used",
    cell: ({ usedPercent, ...budget }) =>
      budget.period !== "TASK" && [
        bar(usedPercent, `${described(budget).who || "The tenant's month"}: spent of the cap`),
        percent(usedPercent),
        " ",
        budget.paused && status("PAUSED"),
      ],
  },
  { title: "Alerts at", cell: ({ thresholds }) => thresholds.map(percent).join(", ") },
];

const changing = (refresh) => ({
  title: "Change",
  cell: (budget) => [
    capButton(budget.isDefault ? "Set your own" : "Change", budget, refresh),
    " ",
    !budget.isDefault &&
      action(
        "Remove",
        async (idempotencyKey) => {
          const { scope, scopeId, period } = budget;
          await change(REMOVE, { idempotencyKey, scope, scopeId, period });
          announce("The cap is removed.");
          await refresh();
        },
        { sure: "Nothing then limits this but the balance or a default cap, and what the cap has paused may go on." },
      ),
  ],
});
