// Default caps: what operators cap agent roles at, for every tenant that has set no cap of its own.

import { announce } from "/console/elements.js";
import { usd } from "/console/formats.js";
import { form, POSITIVE, REFUSED } from "/console/forms.js";
import { change } from "/console/graphql.js";
import { action, card, opener, table } from "/console/parts.js";

export const DEFAULT_CAPS = "defaultBudgets @include(if: $operator) { agentRole period cap }";
const SET = `mutation SetDefaultBudget($input: SetDefaultBudgetInput!) {
  setDefaultBudget(input: $input) { __typename ${REFUSED} }
}`;
const PERIODS = [
  ["MONTH", "A month"],
  ["TASK", "Each task"],
];

/** The card of the default caps, for operators. */
export function defaultCaps({ defaultBudgets }, { refresh }) {
  return card(
    "Default caps of agents, for all tenants",
    { actions: [opener("Set a default cap", "Set a default cap", (close) => setting(close, refresh), {})] },
    table({
      caption: "Default caps",
      columns: columns(refresh),
      rows: defaultBudgets,
      empty: "There is none: a tenant's agents are capped where the tenant says so.",
    }),
  );
}

function setting(close, refresh) {
  return form({
    fields: [
      { name: "agentRole", label: "Agent role", maxlength: 200, help: "Empty, for each task: every agent role." },
      { name: "period", label: "Over", options: PERIODS },
      { name: "cap", label: "At most (US dollars)", required: true, ...POSITIVE },
    ],
    submit: "Save",
    send: (values) => change(SET, values),
    done: () => {
      close();
      announce("The default cap is set.");
      return refresh();
    },
  });
}

const columns = (refresh) => [
  { title: "Agent role", main: true, cell: ({ agentRole }) => agentRole ?? "Every agent" },
  { title: "Over", cell: ({ period }) => PERIODS.find(([code]) => code === period)[1] },
  { title: "Cap", number: true, cell: ({ cap }) => usd(cap) },
  {
    title: "Change",
    cell: ({ agentRole, period }) =>
      action(
        "Remove",
        async () => {
          await change(SET, { agentRole, period, cap: null });
          announce("The default cap is removed.");
          await refresh();
        },
        { sure: "No tenant's agents are then capped by it." },
      ),
  },
];
