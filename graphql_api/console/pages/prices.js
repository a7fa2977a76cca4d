// Prices, for operators: what providers charge by our list, and where that differs from the package genai-prices.

import { element } from "/console/elements.js";
import { filters } from "/console/filters.js";
import { count, day, moment, usd } from "/console/formats.js";
import { ask } from "/console/graphql.js";
import { card, opener, pagedTable, tag, when } from "/console/parts.js";
import { FIGURES, followPackage, tierOf, writePrice } from "/console/price_publishing.js";

const PRICE = `provider model operation ${FIGURES.map(([name]) => name).join(" ")} contextAbove effectiveFrom effectiveTo`;
const TIER = `contextAbove ${FIGURES.map(([name]) => name)
  .filter((name) => name !== "perCall")
  .join(" ")}`;
const DIFFERENCES = `release
  edges { node { kind provider model effectiveFrom kept ours { ${TIER} } theirs { ${TIER} effectiveFrom effectiveTo } } }
  pageInfo { hasNextPage endCursor }`;
const PRICES = `query Prices { prices { ${PRICE} } priceDifferences(first: 10) { ${DIFFERENCES} } }`;
const MORE = `query Differences($after: String) { priceDifferences(first: 20, after: $after) { ${DIFFERENCES} } }`;
const SHOWN = 50;

export const load = ({ ask }) => ask(PRICES, {}, { tenant: null });

export function draw({ prices, priceDifferences }, context) {
  return [differences(priceDifferences, context), list(prices, context)];
}

const KINDS = {
  CHANGED: tag.bind(null, "Differs", "near"),
  GONE: tag.bind(null, "Not in the package"),
};

function differences(connection, context) {
  const title = `Differences to ${connection.release}`;
  const columns = [
    { title: "Model", main: true, cell: ({ provider, model }) => [model, " ", element("small", {}, provider)] },
    {
      title: "What",
      cell: ({ kind, kept }) => [KINDS[kind](), kept && element("div", {}, element("small", {}, "our own figure"))],
    },
    { title: "Ours → the package's, USD for 1,000,000 tokens", cell: ({ ours, theirs }) => steps(ours, theirs) },
    { title: "From", cell: ({ effectiveFrom }) => when(effectiveFrom) },
    { title: "Action", cell: (difference) => difference.theirs.length > 0 && followPackage(difference, context) },
  ];
  const more = async (after) => (await ask(MORE, { after }, { tenant: null })).priceDifferences;
  const empty = "No model of our list costs anything else there.";
  return card(
    title,
    {},
    element(
      "p",
      { class: "faint" },
      "Nothing is charged by the package until it is published here, or all at once by ",
      element("code", {}, "purser prices --apply"),
      ".",
    ),
    pagedTable({ caption: title, stacked: true, columns, connection, more, empty }),
  );
}

/** Each figure that differs, tier by tier: "Input 0.25 → 1". */
function steps(ours, theirs) {
  const tiers = [...new Map([...ours, ...theirs].map((price) => [price.contextAbove, price])).values()];
  return tiers.map(({ contextAbove }) => {
    const [before, after] = [ours, theirs].map((rows) => rows.find((row) => row.contextAbove === contextAbove));
    const changed = FIGURES.filter(([name]) => theirs.length === 0 || before?.[name] !== after?.[name]);
    const texts = changed
      .filter(([name]) => before?.[name] || after?.[name])
      .map(([name, label]) => `${label} ${shown(before?.[name])}${theirs.length ? ` → ${shown(after?.[name])}` : ""}`);
    return element("div", {}, contextAbove !== null && `${tierOf({ contextAbove })}: `, texts.join(", "));
  });
}

function shown(figure) {
  return figure === null || figure === undefined ? "–" : usd(figure);
}

function list(prices, context) {
  const search = context.query.get("search");
  const wanted = search?.toLowerCase().split(/\s+/) ?? [];
  const found = prices.filter(({ provider, model, operation }) => {
    const name = `${provider} ${model ?? ""} ${operation ?? ""}`.toLowerCase();
    return wanted.every((word) => name.includes(word));
  });
  const caption = "Prices in force now, in US dollars";
  const columns = [
    { title: "Model or operation", main: true, cell: nameOf },
    ...FIGURES.map(([name, label]) => ({ title: label, number: true, cell: (price) => shown(price[name]) })),
    { title: "In force", cell: inForce },
    {
      title: "Action",
      cell: (price) => opener("Change", "Change a price", () => writePrice(price, context)),
    },
  ];
  return card(
    "Price list",
    { actions: [opener("New price", "New price", () => writePrice(null, context), {})] },
    filters(context, [{ name: "search", label: "Provider, model or operation", type: "search", maxlength: 100 }]),
    element(
      "p",
      { class: "faint" },
      `${count(found.length)} of ${count(prices.length)} prices in force now: US dollars for 1,000,000 tokens of a class, and for one call.`,
    ),
    pagedTable({
      caption,
      columns,
      connection: pageOf(found, 0),
      more: async (after) => pageOf(found, after),
      empty: "No price has such a name.",
    }),
  );
}

function inForce({ effectiveFrom, effectiveTo }) {
  const exactly = `${moment(effectiveFrom)} to ${effectiveTo ? moment(effectiveTo) : "no end"}`;
  return element("span", { title: exactly }, `from ${day(effectiveFrom)}`, effectiveTo && ` to ${day(effectiveTo)}`);
}

function nameOf({ provider, model, operation, contextAbove }) {
  const tier = contextAbove !== null && ` ${tierOf({ contextAbove })}`;
  return [
    model ?? operation ?? "Everything else",
    " ",
    element("small", {}, provider, model && operation && ` ${operation}`, tier),
  ];
}

/** The list is here as a whole; it is drawn page by page all the same. */
function pageOf(prices, start) {
  const end = start + SHOWN;
  const edges = prices.slice(start, end).map((node) => ({ node }));
  return { edges, pageInfo: { hasNextPage: end < prices.length, endCursor: end } };
}
