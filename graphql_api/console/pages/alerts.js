// Alerts: what people were told, newest first. New ones come by themselves: the shell follows them, and has the page drawn anew.

import { campaignAddress, theirs } from "/console/campaign_parts.js";
import { element } from "/console/elements.js";
import { filters } from "/console/filters.js";
import { percent, words } from "/console/formats.js";
import { ask } from "/console/graphql.js";
import { card, pagedTable, tag, when } from "/console/parts.js";

const LOG = `alerts(first: 50, kinds: $kinds, after: $after) {
  edges { node { kind action scope scopeId name threshold message raisedAt } }
  pageInfo { hasNextPage endCursor }
}`;
const ALERTS = `query Alerts($kinds: [String!], $after: String) { alertKinds ${LOG} }`;
const MORE = `query MoreAlerts($kinds: [String!], $after: String) { ${LOG} }`;
const kindsOf = (query) => (query.has("kind") ? [query.get("kind")] : null);

export const load = ({ ask: asking, query }) => asking(ALERTS, { kinds: kindsOf(query) });

export function draw({ alertKinds, alerts }, context) {
  const kinds = kindsOf(context.query);
  const options = [["", "All"], ...alertKinds.map((kind) => [kind, words(kind)])];
  return [
    filters(context, [{ name: "kind", label: "About", options }]),
    card(
      "Log of alerts",
      {},
      pagedTable({
        caption: "Alerts, the newest first",
        stacked: true,
        columns: COLUMNS,
        connection: alerts,
        more: async (after) => (await ask(MORE, { kinds, after })).alerts,
        empty: kinds
          ? "There was no such alert."
          : "Nobody had to be told anything yet. Alerts come at 80 and 100 % of caps and credits, at a low balance, and when a payment fails.",
      }),
    ),
  ];
}

const COLUMNS = [
  {
    title: "When",
    cell: ({ raisedAt }) => when(raisedAt),
  },
  { title: "About", cell: ({ kind }) => words(kind) },
  { title: "Level", cell: level },
  {
    title: "Threshold",
    cell: ({ threshold }) => threshold !== null && tag(percent(threshold), threshold >= 100 ? "full" : "near"),
  },
  { title: "Message", main: true, cell: ({ message }) => element("span", { class: "said" }, theirs(message)) },
  { title: "What was done", cell: ({ action }) => action ?? "People are told." },
];

function level({ scope, scopeId, name }) {
  const who = theirs(name ?? scopeId ?? "");
  return [
    scope && element("div", {}, words(scope)),
    scope === "CAMPAIGN" ? element("a", { href: campaignAddress(scopeId) }, who) : who,
  ];
}
