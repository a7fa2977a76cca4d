// Caps: how much a month, an agent, a campaign, a task or a tag may spend.

import { announce, element } from "/console/elements.js";
import { percent, usd, words } from "/console/formats.js";
import { change } from "/console/graphql.js";
import { action, bar, card, DECIMAL, form, opener, status, table } from "/console/parts.js";

export const CAPS = "budgets(first: 100) { id scope scopeId name period cap thresholds spent held usedPercent paused }";
const SET = `mutation SetBudget($input: SetBudgetInput!) {
  setBudget(input: $input) { __typename ... on Refusal { code message } }
}`;
const REMOVE = `mutation RemoveBudget($input: RemoveBudgetInput!) {
  removeBudget(input: $input) { __typename ... on Refusal { code message } }
}`;

/** What caps can be set on: the text of the choice, the scope, the period, and what its id is called (null: it has none). */
const KINDS = {
  month: ["The tenant's month", "TENANT", "MONTH", null],
  agent: ["An agent's month", "AGENT", "MONTH", "Agent role"],
  task: ["Each task of an agent", "AGENT", "TASK", "Agent role (empty: every agent)"],
  campaign: ["A campaign in all", "CAMPAIGN", "TOTAL", "Campaign"],
  campaignMonth: ["A campaign's month", "CAMPAIGN", "MONTH", "Campaign"],
  tag: ["A tag's month", "TAG", "MONTH", "Tag, as key=value"],
  tagTotal: ["A tag in all", "TAG", "TOTAL", "Tag, as key=value"],
};

/** The card of all caps. `may`: whether the viewer may change them. */
export function caps({ budgets }, may, { refresh }) {
  const done = async (text) => {
    announce(text);
    await refresh();
  };
  const rows = budgets.filter(({ cap }) => cap !== null);
  const made = card(
    "Caps",
    { actions: may ? [opener("Set a cap", "Set a cap", (close) => setting({}, close, done), {})] : [] },
    table({
      caption: "Caps",
      columns: may ? [...COLUMNS, changing(done)] : COLUMNS,
      rows,
      empty: "There is no cap: nothing but the balance stops a call.",
    }),
  );
  made.id = "caps";
  return made;
}

function setting({ kind = "month", id, cap, thresholds }, close, done) {
  const kinds = Object.entries(KINDS).map(([key, [text]]) => [key, text]);
  return form({
    fields: [
      { name: "kind", label: "Of", options: kinds, value: kind },
      {
        name: "id",
        label: "Which",
        value: id,
        help: "An agent role, a campaign or a tag as key=value; empty for the tenant's month.",
        maxlength: 200,
      },
      { name: "cap", label: "At most (US dollars)", value: cap, required: true, ...DECIMAL },
      {
        name: "thresholds",
        label: "Alerts at (percent)",
        value: (thresholds ?? [80, 100]).join(", "),
        pattern: "[0-9., ]+",
        help: "Separated by commas.",
      },
    ],
    submit: "Save",
    send: (values, idempotencyKey) => {
      const [, scope, period] = KINDS[values.kind];
      const percents = (values.thresholds ?? "80,100").split(",").map(Number);
      return change(SET, { idempotencyKey, scope, period, scopeId: values.id, cap: values.cap, thresholds: percents });
    },
    done: () => {
      close();
      return done("The cap is set.");
    },
  });
}

const kindOf = (budget) =>
  Object.keys(KINDS).find((key) => KINDS[key][1] === budget.scope && KINDS[key][2] === budget.period);

const COLUMNS = [
  {
    title: "Of",
    main: true,
    cell: (budget) => [
      KINDS[kindOf(budget)]?.[0] ?? words(budget.scope),
      element("div", {}, budget.name ?? budget.scopeId ?? ""),
    ],
  },
  { title: "Spent", number: true, cell: ({ period, spent }) => (period === "TASK" ? "" : usd(spent)) },
  { title: "Held", number: true, cell: ({ period, held }) => (period === "TASK" ? "" : usd(held)) },
  { title: "Cap", number: true, cell: ({ cap }) => usd(cap) },
  {
    title: "Used",
    cell: ({ period, usedPercent, name, scopeId }) =>
      period !== "TASK" && [bar(usedPercent, `${name ?? scopeId ?? "Month"} used`), percent(usedPercent)],
  },
  { title: "Alerts at", cell: ({ thresholds }) => thresholds.map(percent).join(", ") },
  { title: "", cell: ({ paused }) => paused && status("PAUSED") },
];

const changing = (done) => ({
  title: "Change",
  cell: (budget) => [
    opener("Change", "Change the cap", (close) =>
      setting(
        { kind: kindOf(budget), id: budget.scopeId, cap: budget.cap, thresholds: budget.thresholds },
        close,
        done,
      ),
    ),
    " ",
    action(
      "Remove",
      async (idempotencyKey) => {
        const { scope, scopeId, period } = budget;
        await change(REMOVE, { idempotencyKey, scope, scopeId, period });
        await done("The cap is removed.");
      },
      { sure: "Nothing then limits this but the balance, and what the cap has paused may go on." },
    ),
  ],
});
