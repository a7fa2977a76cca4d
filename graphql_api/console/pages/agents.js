// Agents: what each agent role has spent this month, and whether it may go on.

import { announce } from "/console/elements.js";
import { percent, usd, words } from "/console/formats.js";
import { change } from "/console/graphql.js";
import { action, card, form, opener, status, table } from "/console/parts.js";

export const AGENTS = `agentBudgets(first: 100) { role name spent cap usedPercent status pauseReason }
  tenant { agentsUsed plan { agents } }`;
const PAUSE =
  "mutation PauseScope($input: ScopeInput!) { pauseScope(input: $input) { __typename ... on Refusal { code message } } }";
const RESUME =
  "mutation ResumeScope($input: ScopeInput!) { resumeScope(input: $input) { __typename ... on Refusal { code message } } }";
const NAME =
  "mutation NameScope($input: NameScopeInput!) { nameScope(input: $input) { __typename ... on Refusal { code message } } }";

/** The card of the agents. `may`: whether the viewer may pause and name them. */
export function agents({ agentBudgets, tenant }, may, { refresh }) {
  const done = async (text) => {
    announce(text);
    await refresh();
  };
  const made = card(
    "Agents",
    { actions: [`${tenant.agentsUsed} of ${tenant.plan.agents} in the plan`] },
    table({
      caption: "Agents",
      columns: may ? [...COLUMNS, changing(done)] : COLUMNS,
      rows: agentBudgets,
      empty: "No agent has spent anything yet. An agent role appears here with its first call.",
    }),
  );
  made.id = "agents";
  return made;
}

const COLUMNS = [
  { title: "Agent", main: true, cell: ({ role, name }) => name ?? role },
  { title: "This month", number: true, cell: ({ spent }) => usd(spent) },
  { title: "Cap", number: true, cell: ({ cap }) => (cap === null ? "none" : usd(cap)) },
  { title: "Used", number: true, cell: ({ usedPercent }) => percent(usedPercent) },
  {
    title: "Status",
    cell: ({ status: state, pauseReason }) => [status(state), " ", pauseReason && words(pauseReason)],
  },
];

const changing = (done) => ({
  title: "Change",
  cell: ({ role, name, status: state, pauseReason }) => [
    // A budget's pause ends with a higher cap or the next month, and not by hand.
    state === "PAUSED" &&
      !pauseReason?.includes("budget") &&
      action("Resume", (key) => turn(RESUME, key, role, done, "The agent may go on.")),
    state !== "PAUSED" && action("Pause", (key) => turn(PAUSE, key, role, done, "The agent is paused.")),
    " ",
    opener("Name", `Name ${role}`, (close) => naming(role, name, close, done)),
  ],
});

async function turn(document, idempotencyKey, role, done, text) {
  await change(document, { idempotencyKey, scope: "AGENT", scopeId: role });
  await done(text);
}

function naming(role, name, close, done) {
  return form({
    fields: [{ name: "name", label: "Name", value: name, maxlength: 200, help: "Empty: the role's own name." }],
    submit: "Save",
    send: (values, idempotencyKey) => change(NAME, { idempotencyKey, kind: "AGENT", id: role, name: values.name }),
    done: () => {
      close();
      return done("The agent is named.");
    },
  });
}
