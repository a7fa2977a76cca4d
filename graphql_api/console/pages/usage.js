// Usage: what the tenant still has, what came in and went out, and how to get more.

import { BALANCE, balances } from "/console/balances.js";
import { element, fill } from "/console/elements.js";
import { amount, moment, words } from "/console/formats.js";
import { ask } from "/console/graphql.js";
import { card, pagedTable, table, when } from "/console/parts.js";
import { receiptButton } from "/console/receipt.js";
import { statement } from "/console/statements.js";
import { TOP_UP, topUps } from "/console/top_ups.js";

const ENTRIES = `edges { node { id type amount availableAfter note actor createdAt } } pageInfo { hasNextPage endCursor }`;
const LOTS_OF = "lots { source granted available reserved grantedAt expiresAt }";
const USAGE = `query Usage($ledger: String!, $topUp: ID!, $returned: Boolean!) {
  tenant { cycleStart cycleEnd timeZone }
  wallets {
    kind ${BALANCE}
    ${LOTS_OF}
    autoRecharge { enabled threshold amount monthlyLimit monthOrdered retryAt disabledReason inFlight { id } }
  }
  wallet(key: $ledger) { entries(first: 20) { ${ENTRIES} } }
  topUps(first: 5) { edges { node { ${TOP_UP} } } }
  returned: topUp(id: $topUp) @include(if: $returned) { ${TOP_UP} }
  acceptsPayments
}`;
const LOTS_NOW = `query Lots { wallets { key unit ${LOTS_OF} } }`;
const LEDGER = `query Ledger($ledger: String!, $after: String) { wallet(key: $ledger) { entries(first: 20, after: $after) { ${ENTRIES} } } }`;
const DEFAULT_LEDGER = "credits";
const BETWEEN_LOTS = 2_000;

export function load({ ask, query }) {
  const topUp = query.get("top_up");
  return ask(USAGE, { ledger: query.get("wallet") ?? DEFAULT_LEDGER, topUp: topUp ?? "", returned: topUp !== null });
}

export function draw(data, context) {
  const { tenant, wallets } = data;
  const moved = new EventTarget();
  return [
    element("p", { class: "faint" }, `This cycle: ${moment(tenant.cycleStart)} to ${moment(tenant.cycleEnd)}`),
    balances(wallets, context, (key, booked) => {
      moved.dispatchEvent(new Event("changed"));
      if (booked) moved.dispatchEvent(new CustomEvent("moved", { detail: key }));
    }),
    topUps(data, context, moved),
    lots(wallets, context, moved),
    ledger(data, context, moved),
  ];
}

/** The card of the lots. They add up to the balances, so they move with them, though not with every call. */
function lots(wallets, { ask: asking }, moved) {
  const place = element("div", {}, lotsTable(wallets));
  let coming = false;
  moved.addEventListener("changed", () => {
    if (coming) return;
    coming = true;
    setTimeout(async () => {
      coming = false;
      if (!place.isConnected) return;
      const now = await asking(LOTS_NOW).catch(() => null);
      if (now) fill(place, lotsTable(now.wallets));
    }, BETWEEN_LOTS);
  });
  return card("Lots and when they end", {}, place);
}

function lotsTable(wallets) {
  const rows = wallets.flatMap(({ key, unit, lots: held }) => held.map((lot) => ({ ...lot, key, unit })));
  rows.sort((one, other) => (one.expiresAt ?? "9").localeCompare(other.expiresAt ?? "9"));
  return table({ caption: "Lots", columns: LOTS, rows, empty: "No lot holds anything." });
}

const LOTS = [
  { title: "Wallet", main: true, cell: ({ key }) => words(key) },
  { title: "From", cell: ({ source }) => words(source) },
  { title: "Granted", number: true, cell: (lot) => amount(lot.granted, lot.unit) },
  { title: "Available", number: true, cell: (lot) => amount(lot.available, lot.unit) },
  { title: "Held", number: true, cell: (lot) => amount(lot.reserved, lot.unit) },
  { title: "Since", cell: ({ grantedAt }) => when(grantedAt) },
  { title: "Ends", cell: ({ expiresAt }) => when(expiresAt, "Never") },
];

function ledger({ tenant, wallets, wallet }, { query, go }, moved) {
  const key = query.get("wallet") ?? DEFAULT_LEDGER;
  const unit = wallets.find((one) => one.key === key)?.unit;
  const place = element("div", {}, wallet ? entriesTable(key, unit, wallet.entries) : `There is no wallet ${key}.`);
  const chosen = wallets.map((one) => element("option", { value: one.key, selected: one.key === key }, words(one.key)));
  const choose = ({ target }) => {
    const address = new URL(location.href);
    address.searchParams.set("wallet", target.value);
    go(address.href);
  };
  const chooser = element("select", { "aria-label": "Ledger of", onchange: choose }, chosen);
  const fresh = element(
    "button",
    { type: "button", class: "quiet", hidden: true, onclick: showFresh },
    "There are new entries: show them",
  );
  async function showFresh() {
    const newest = await ask(LEDGER, { ledger: key });
    fresh.hidden = true;
    fill(place, entriesTable(key, unit, newest.wallet.entries));
  }
  moved.addEventListener("moved", ({ detail }) => {
    if (detail === key) fresh.hidden = false;
  });
  return card("Ledger", { actions: [fresh, chooser] }, place, wallet && statement(key, tenant));
}

function entriesTable(key, unit, connection) {
  const columns = [
    { title: "When", cell: ({ createdAt }) => when(createdAt) },
    { title: "What", main: true, cell: ({ id, type }) => receiptButton(id, words(type)) },
    { title: "Amount", number: true, cell: (entry) => amount(entry.amount, unit) },
    { title: "Available after", number: true, cell: ({ availableAfter }) => amount(availableAfter, unit) },
    { title: "By", cell: ({ actor }) => actor },
    { title: "Note", cell: ({ note }) => note ?? "" },
  ];
  const more = async (after) => (await ask(LEDGER, { ledger: key, after })).wallet.entries;
  return pagedTable({
    caption: `Ledger of ${words(key)}`,
    columns,
    connection,
    more,
    empty: "Nothing was booked yet.",
  });
}
