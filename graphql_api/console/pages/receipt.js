// Receipts: why something was charged, held or refused, line by line. A click on an id opens one.

import { element } from "/console/elements.js";
import { amount, count, moment, usd, words } from "/console/formats.js";
import { ask } from "/console/graphql.js";
import { figures, opener, table } from "/console/parts.js";

const RECEIPT = `query Receipt($id: ID!) {
  receipt(id: $id) {
    rule unit total
    lines { label quantity unitPrice per amount unit }
    charges { amount wallet { key unit } }
    lots { amount lot { source expiresAt } }
    budgets { scope scopeId period measure before after cap }
    reservation { id state feature route createdAt }
  }
}`;

/**
 * A button that opens the receipt of a reservation, a call, a ledger entry or a refusal, by its id. `options` are those of
 * `ask`: whose it is, where the address does not name the tenant.
 */
export function receiptButton(id, label, options) {
  return opener(label, "Receipt", async () => receipt(await ask(RECEIPT, { id }, options)), { class: "plain" });
}

function receipt({ receipt: found }) {
  if (!found) return element("p", {}, "There is no receipt: what it was about is older than what is kept.");
  const { rule, unit, total, lines, charges, lots, budgets, reservation } = found;
  return [
    figures(
      ["Total", total === null ? "–" : amount(total, unit)],
      ...charges.map(({ amount: charged, wallet }) => [`Charged to ${wallet.key}`, amount(charged, wallet.unit)]),
    ),
    reservation && about(reservation),
    element("p", {}, rule),
    element("h3", {}, "How it adds up"),
    table({ caption: "Lines of the receipt", columns: LINES, rows: lines, empty: "No lines: nothing was charged." }),
    lots.length > 0 && element("h3", {}, "Lots that paid"),
    lots.length > 0 && table({ caption: "Lots that paid", columns: LOTS(charges[0]?.wallet.unit ?? unit), rows: lots }),
    budgets.length > 0 && element("h3", {}, "Budgets before and after"),
    budgets.length > 0 && table({ caption: "Budgets before and after", columns: BUDGETS, rows: budgets }),
  ];
}

function about({ state, feature, route, createdAt }) {
  return element(
    "p",
    { class: "faint" },
    `${words(feature)}, ${words(route)}, ${words(state)}, held on ${moment(createdAt)}`,
  );
}

/** Prices are of providers: in US dollars whatever is charged, for one or for so many. */
function priceOf({ unitPrice, per }) {
  if (unitPrice === null) return "";
  const price = usd(unitPrice, { exact: true });
  return per === null || per === "1" ? price : `${price} / ${count(per)}`;
}

const LINES = [
  { title: "What", main: true, cell: ({ label }) => label },
  { title: "Quantity", number: true, cell: ({ quantity }) => quantity && amount(quantity) },
  { title: "Price", number: true, cell: priceOf },
  { title: "Amount", number: true, cell: (line) => (line.amount === null ? "" : amount(line.amount, line.unit)) },
];
const LOTS = (unit) => [
  { title: "Lot", main: true, cell: ({ lot }) => words(lot.source) },
  { title: "Ends", cell: ({ lot }) => (lot.expiresAt ? moment(lot.expiresAt) : "never") },
  { title: "Amount", number: true, cell: (draw) => amount(draw.amount, unit) },
];
const BUDGETS = [
  { title: "Budget", main: true, cell: ({ scope, scopeId }) => [words(scope), scopeId].filter(Boolean).join(" ") },
  { title: "Of", cell: ({ period, measure }) => `${period ?? "all time"}, ${words(measure).toLowerCase()}` },
  { title: "Before", number: true, cell: ({ before }) => usd(before, { exact: true }) },
  { title: "After", number: true, cell: ({ after }) => usd(after, { exact: true }) },
  { title: "Cap", number: true, cell: ({ cap }) => (cap === null ? "none" : usd(cap)) },
];
