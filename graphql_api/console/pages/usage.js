// Usage: what the tenant still has, what came in and went out, and how to get more.

import { element, fill } from "/console/elements.js";
import { amount, moment, percent, words } from "/console/formats.js";
import { ask } from "/console/graphql.js";
import { bar, card, figures, pagedTable, status, table } from "/console/parts.js";
import { receiptButton } from "/console/receipt.js";

const BALANCE = "key unit available reserved consumed usedPercent status version";
const ENTRIES = "edges { node { id type amount availableAfter note actor createdAt } } pageInfo { hasNextPage endCursor }";
const USAGE = `query Usage {
  tenant { cycleStart cycleEnd }
  wallets {
    id kind expired debt ${BALANCE}
    lots { source available reserved grantedAt expiresAt }
    entries(first: 20) { ${ENTRIES} }
  }
}`;
const MORE_ENTRIES = `query Entries($key: String!, $after: String) { wallet(key: $key) { entries(first: 20, after: $after) { ${ENTRIES} } } }`;
const LIVE = `subscription Balance($key: String!) { walletBalance(key: $key) { ${BALANCE} } }`;

export const load = ({ ask }) => ask(USAGE);

export function draw({ wallets, tenant }, context) {
  return [
    element("p", { class: "faint" }, `This cycle: ${moment(tenant.cycleStart)} to ${moment(tenant.cycleEnd)}`),
    element("div", { class: "cards" }, wallets.map((wallet) => balance(wallet, context))),
    wallets.map(ledger),
  ];
}

function balance(wallet, { follow }) {
  const place = element("div", {}, standing(wallet));
  let newest = BigInt(wallet.version);
  follow(LIVE, { key: wallet.key }, ({ walletBalance }) => {
    if (!walletBalance || BigInt(walletBalance.version) < newest) return;
    newest = BigInt(walletBalance.version);
    fill(place, standing({ ...wallet, ...walletBalance }));
  });
  const lots = table({ caption: `Lots of ${wallet.key}`, columns: LOTS(wallet.unit), rows: wallet.lots, empty: "No lot holds anything." });
  return card(words(wallet.key), {}, place, element("h3", {}, "Lots"), lots);
}

function standing({ key, unit, available, reserved, consumed, expired, debt, usedPercent, status: state }) {
  return [
    figures(
      ["Available", amount(available, unit), percent(usedPercent) === "–" ? null : `${percent(usedPercent)} used`],
      ["Held", amount(reserved, unit)],
      ["Used", amount(consumed, unit)],
      Number(expired) > 0 && ["Expired", amount(expired, unit)],
      Number(debt) > 0 && ["Owed", amount(debt, unit)],
    ),
    bar(usedPercent, `${words(key)} used`),
    status(state),
  ];
}

const LOTS = (unit) => [
  { title: "From", main: true, cell: ({ source }) => words(source) },
  { title: "Available", number: true, cell: (lot) => amount(lot.available, unit) },
  { title: "Held", number: true, cell: (lot) => amount(lot.reserved, unit) },
  { title: "Granted", cell: ({ grantedAt }) => moment(grantedAt) },
  { title: "Ends", cell: ({ expiresAt }) => (expiresAt ? moment(expiresAt) : "Never") },
];

function ledger({ key, unit, entries }) {
  const columns = [
    { title: "When", cell: ({ createdAt }) => moment(createdAt) },
    { title: "What", main: true, cell: ({ id, type }) => receiptButton(id, words(type)) },
    { title: "Amount", number: true, cell: (entry) => amount(entry.amount, unit) },
    { title: "Available after", number: true, cell: ({ availableAfter }) => amount(availableAfter, unit) },
    { title: "By", cell: ({ actor }) => actor },
    { title: "Note", cell: ({ note }) => note ?? "" },
  ];
  const more = async (after) => (await ask(MORE_ENTRIES, { key, after })).wallet.entries;
  return card(`Ledger of ${key}`, {}, pagedTable({ caption: `Ledger of ${key}`, columns, connection: entries, more }));
}
