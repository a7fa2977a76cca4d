// Agents: what each agent role has spent this month, and whether it may go on.

import { capButton } from "/console/caps.js";
import { announce, element } from "/console/elements.js";
import { percent, usd } from "/console/formats.js";
import { form, REFUSED } from "/console/forms.js";
import { change } from "/console/graphql.js";
import { action, card, opener, status, table } from "/console/parts.js";

export const AGENTS = `agentBudgets(first: 100) { role name spent cap usedPercent status pauseReason }
  tenant { agentsUsed plan { agents } }`;
const turning = (operation) =>
  `mutation Turn($input: ScopeInput!) { ${operation}(input: $input) { __typename ${REFUSED} } }`;
const REASONS = {
  monthly_budget_exceeded: "Its budget of this month is used up.",
  manual_pause: "By hand.",
  deactivated: "Counts no more towards the plan.",
};

/** The card of the agents. `may`: whether the viewer may pause them. */
export function agents({ agentBudgets, tenant, budgets }, may, { refresh }) {
  const made = card(
    "Agents",
    { actions: [element("span", { class: "faint" }, `${tenant.agentsUsed} of ${tenant.plan.agents} in the plan`)] },
    table({
      caption: "Agents",
      columns: may ? [...COLUMNS, changing(budgets, refresh)] : COLUMNS,
      rows: agentBudgets,
      empty: "No agent has spent anything yet. An agent role appears here with its first call.",
    }),
  );
  made.id = "agents";
  return made;
}

const COLUMNS = [
  {
    title: "Agent",
    main: true,
    cell: ({ role, name }) => [name ?? role, name && element("div", {}, element("small", {}, role))],
  },
  { title: "Spent this month", number: true, cell: ({ spent }) => usd(spent) },
  { title: "Cap a month", number: true, cell: ({ cap }) => (cap === null ? "none" : usd(cap)) },
  { title: "Used", number: true, cell: ({ usedPercent }) => percent(usedPercent) },
  {
    title: "Status",
    cell: ({ status: state, pauseReason }) => [
      status(state),
      pauseReason && element("div", {}, element("bdi", { class: "faint" }, REASONS[pauseReason] ?? pauseReason)),
    ],
  },
];

const changing = (budgets, refresh) => ({
  title: "Change",
  cell: (agent) => {
    const { role, status: state, pauseReason } = agent;
    const cap = budgets.find((one) => one.scope === "AGENT" && one.period === "MONTH" && one.scopeId === role);
    // A budget's pause ends with a higher cap or the next month, and not by hand.
    if (state === "PAUSED" && pauseReason?.includes("budget")) return cap && capButton("Raise the cap", cap, refresh);
    if (state === "PAUSED" || state === "INACTIVE") return resuming(role, refresh);
    return [stopping(PAUSE, agent, refresh), " ", stopping(DEACTIVATE, agent, refresh)];
  },
});

const PAUSE = { label: "Pause", operation: "pauseScope", said: "The agent is paused." };
const DEACTIVATE = {
  label: "Take out of use",
  operation: "deactivateScope",
  said: "The agent is out of use.",
  note: "It then counts no more towards the plan, until somebody resumes it.",
};

function resuming(role, refresh) {
  return action("Resume", async (idempotencyKey) => {
    await change(turning("resumeScope"), { idempotencyKey, scope: "AGENT", scopeId: role });
    announce("The agent may go on.");
    await refresh();
  });
}

function stopping({ label, operation, said, note }, { role, name }, refresh) {
  return opener(label, `${label}: ${name ?? role}`, (close) => [
    element("p", {}, "Its calls are refused from now on; what is running is still settled.", note && ` ${note}`),
    form({
      fields: [
        { name: "reason", label: "Why", maxlength: 200, help: "Whoever is refused is told. It may stay empty." },
      ],
      submit: label,
      send: ({ reason }, idempotencyKey) =>
        change(turning(operation), { idempotencyKey, scope: "AGENT", scopeId: role, reason }),
      done: () => {
        close();
        announce(said);
        return refresh();
      },
    }),
  ]);
}
