// Audit log: who decided what, and when. For administrators and operators.

import { campaignAddress, theirs } from "/console/campaign_parts.js";
import { element } from "/console/elements.js";
import { DAYS, filters } from "/console/filters.js";
import { exactMoment, moment, words } from "/console/formats.js";
import { ask } from "/console/graphql.js";
import { card, pagedTable } from "/console/parts.js";

const LOG = `query AuditLog($operations: [String!], $actor: String, $from: DateTime, $to: DateTime, $after: String) {
  auditLog(first: 50, operations: $operations, actor: $actor, from: $from, to: $to, after: $after) {
    edges { node { occurredAt actor role operation subject details { name value } } }
    pageInfo { hasNextPage endCursor }
  }
}`;

/** What is asked for, from the address: days are the reader's, as are the moments that are shown. */
function wantedOf(query) {
  const operations = query
    .get("operations")
    ?.split(/[\s,]+/)
    .filter(Boolean);
  return {
    operations: operations?.length ? operations : null,
    actor: query.get("actor"),
    from: midnight(query.get("from"), 0),
    to: midnight(query.get("to"), 1),
  };
}

/** The beginning of a day, or of one after it. */
function midnight(day, after) {
  if (!day) return null;
  const [year, month, date] = day.split("-").map(Number);
  return new Date(year, month - 1, date + after).toISOString();
}

export const load = ({ ask: asking, query }) => asking(LOG, wantedOf(query));

export function draw({ auditLog }, context) {
  const wanted = wantedOf(context.query);
  return [
    filters(context, [
      { name: "operations", label: "Operations", placeholder: "setBudget, addExpense", maxlength: 1000 },
      { name: "actor", label: "By", placeholder: "key:ops", maxlength: 200 },
      ...DAYS,
    ]),
    card(
      "Decisions",
      {},
      pagedTable({
        caption: "Decisions, the newest first",
        stacked: true,
        columns: COLUMNS(context.query),
        connection: auditLog,
        more: async (after) => (await ask(LOG, { ...wanted, after })).auditLog,
        empty: context.query.size ? "Nothing was decided that fits." : "Nothing was decided yet.",
      }),
    ),
  ];
}

const COLUMNS = (query) => [
  {
    title: "When",
    cell: ({ occurredAt }) =>
      element("time", { datetime: occurredAt, title: exactMoment(occurredAt) }, moment(occurredAt)),
  },
  {
    title: "Who",
    cell: ({ actor, role }) => [
      narrower(query, "actor", actor, actor),
      role && element("div", { class: "faint" }, words(role)),
    ],
  },
  { title: "What", main: true, cell: ({ operation }) => narrower(query, "operations", operation, spelled(operation)) },
  { title: "About", cell: ({ subject }) => about(subject) },
  {
    title: "Details",
    cell: ({ details }) =>
      details.map(({ name, value }) =>
        element(
          "div",
          { class: "said" },
          element("small", {}, `${spelled(name)} `),
          value === null ? "none" : theirs(value),
        ),
      ),
  },
];

/** A link to this log with one more thing asked for. */
function narrower(query, name, value, text) {
  const next = new URLSearchParams(query);
  next.set(name, value);
  return element("a", { href: `/audit-log?${next}` }, theirs(text));
}

/** A name of the API in words: "recordCustomersWon" is "Record customers won". */
const spelled = (name) => words(name.replaceAll(/[A-Z]/g, (capital) => ` ${capital}`));

function about(subject) {
  const [kind, ...id] = subject.split(":");
  const named = id.join(":");
  const shown = theirs(named);
  return [
    element("div", {}, words(kind)),
    kind === "campaign" ? element("a", { href: campaignAddress(named) }, shown) : shown,
  ];
}
