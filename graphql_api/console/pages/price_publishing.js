// Publishing a price: the old figures and the new ones side by side first, and afterwards what re-rating would come to.

import { announce, element, fill } from "/console/elements.js";
import { count, moment, usd } from "/console/formats.js";
import { DECIMAL, form } from "/console/forms.js";
import { ask, change } from "/console/graphql.js";
import { action, opener, table, tag } from "/console/parts.js";

/** The figures of a price by their names in the API, and what people call them. */
export const FIGURES = [
  ["inputPer1M", "Input"],
  ["outputPer1M", "Output"],
  ["cacheReadPer1M", "Cache read"],
  ["cacheWritePer1M", "Cache write"],
  ["reasoningPer1M", "Reasoning"],
  ["perCall", "One call"],
];
const PUBLISH = `mutation PublishPrice($input: PublishPriceInput!) {
  publishPrice(input: $input) {
    ... on PublishedPrice { price { provider model operation effectiveFrom } }
    ... on Refusal { code message }
  }
}`;
const HOLDING = `query Holding($provider: String!, $at: DateTime) {
  prices(provider: $provider, at: $at) { model operation contextAbove ${FIGURES.map(([name]) => name).join(" ")} }
}`;
const RERATE = `mutation Rerate($input: RerateUsageInput!) {
  rerateUsage(input: $input) { complete tenants { slug events corrected unpriced held costUsd } }
}`;
const OPERATORS_OWN = { tenant: null };

/** Which calls a price is for, by the size of their context. */
export function tierOf({ contextAbove }) {
  return contextAbove === null ? "any context" : `context above ${count(contextAbove)} tokens`;
}

/** A button that shows a difference to the package, and publishes the package's figures. */
export function followPackage({ provider, model, ours, theirs }, context) {
  const rows = theirs.map((row) => ({ provider, model, ...row }));
  const content = () => {
    const before = (row) => ours.find(({ contextAbove }) => contextAbove === row.contextAbove) ?? {};
    return sideBySide(
      `${provider} ${model}`,
      rows.map((row) => [before(row), row]),
      context,
    );
  };
  return opener("Compare", `Price of ${model}`, content);
}

/** A form of a price, new or (with its names) another one in the place of `present`; what holds then stands beside it first. */
export function writePrice(present, context) {
  const place = element("div");
  const names = [
    { name: "provider", label: "Provider (slug)", required: true },
    { name: "model", label: "Model", help: "Empty: any that has no price of its own." },
    { name: "operation", label: "Operation", help: "Empty: every one." },
    {
      name: "contextAbove",
      label: "For contexts above (tokens)",
      inputmode: "numeric",
      pattern: "[0-9]+",
      help: "Empty: for all calls.",
    },
  ];
  const figures = FIGURES.map(([name, label]) => ({
    name,
    label: name === "perCall" ? "One call, USD" : `${label}, USD for 1,000,000 tokens`,
    value: present?.[name],
    ...DECIMAL,
  }));
  const rest = [
    { name: "from", label: "Holds from", type: "datetime-local", help: "Empty: from now on." },
    { name: "note", label: "Note", maxlength: 500, help: "Where the figures come from." },
  ];
  const named = present && Object.fromEntries(names.map(({ name }) => [name, present[name]]));
  const making = form({
    fields: [...(present ? [] : names), ...figures, ...rest],
    submit: "Compare",
    send: async ({ from, ...values }) => {
      const after = { ...named, ...values, effectiveFrom: from && new Date(from).toISOString() };
      return [await holding(after), after];
    },
    done: (pair) => fill(place, sideBySide(nameOf(pair[1]), [pair], context), back),
  });
  const back = element("button", { type: "button", class: "quiet", onclick: () => fill(place, making) }, "Back");
  return fill(place, present && element("p", {}, `${nameOf(present)}, ${tierOf(present)}`), making);
}

function nameOf({ provider, model, operation }) {
  return [provider, model, operation].filter(Boolean).join(" ");
}

/** The price of the same calls that holds from the same moment on, as published until now; nothing: {}. */
async function holding({ provider, model, operation, contextAbove, effectiveFrom }) {
  const { prices } = await ask(HOLDING, { provider, at: effectiveFrom }, OPERATORS_OWN);
  const same = (price) => price.model === model && price.operation === operation && price.contextAbove === contextAbove;
  return prices.find(same) ?? {};
}

/** `pairs`: the price before and after, for each row to publish. `back`: what leads to where they can be changed. */
function sideBySide(name, pairs, { refresh }, back = null) {
  const place = element("div");
  const publish = async (key) => {
    let published;
    for (const [number, [, row]] of pairs.entries()) {
      published = await change(PUBLISH, { idempotencyKey: `${key}-${number}`, ...row }, OPERATORS_OWN);
    }
    announce("Published.");
    fill(place, afterwards(published.price));
    await refresh();
  };
  return fill(
    place,
    pairs.map(([before, after]) => comparison(name, before, after)),
    element("p", { class: "faint" }, "Earlier prices stay for what is reserved already."),
    action(pairs.length === 1 ? "Publish the price" : `Publish the ${pairs.length} prices`, publish, {
      prominent: true,
    }),
    back && [" ", back],
  );
}

function comparison(name, before, after) {
  const withdrawn = after.effectiveTo && after.effectiveTo === after.effectiveFrom;
  const rows = FIGURES.filter(([figure]) => isThere(before[figure]) || isThere(after[figure])).map(
    ([figure, label]) => ({
      label,
      before: before[figure],
      after: withdrawn ? null : after[figure],
    }),
  );
  const columns = [
    { title: "USD for 1,000,000 tokens, or one call", main: true, cell: ({ label }) => label },
    { title: "Now", number: true, cell: (row) => (isThere(row.before) ? usd(row.before, { exact: true }) : "–") },
    { title: "Then", number: true, cell: (row) => (isThere(row.after) ? usd(row.after, { exact: true }) : "–") },
    { title: "Changes", cell: (row) => nano(row.before) !== nano(row.after) && tag("Changes", "near") },
  ];
  return [
    element("h3", {}, `${name}, ${tierOf({ contextAbove: after.contextAbove ?? null })}`),
    element(
      "p",
      {},
      after.effectiveFrom ? `From ${moment(after.effectiveFrom)} on` : "From now on",
      withdrawn && ": withdrawn",
    ),
    table({ caption: `${name}: now and then`, columns, rows, empty: "It has no figure: go back and give it one." }),
  ];
}

const isThere = (figure) => figure !== null && figure !== undefined;
/** A decimal in one way of writing it: "1.50" is "1.5". */
const nano = (figure) => (isThere(figure) ? figure.replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "") : null);

/** What is left to do: usage that happened since, at the old price. */
function afterwards({ provider, model, operation, effectiveFrom }) {
  const place = element("div");
  const look = async () => {
    const input = { provider, model, operation, from: effectiveFrom, to: new Date().toISOString(), dryRun: true };
    const { complete, tenants } = await change(RERATE, input, OPERATORS_OWN);
    fill(
      place,
      !complete && element("p", {}, "Of the first 2,000 calls:"),
      table({
        caption: "What re-rating would come to",
        columns: RERATED,
        rows: tenants,
        empty: "No call was made since: nothing is to be corrected.",
      }),
      element(
        "p",
        {},
        "To correct them: ",
        element("code", {}, "purser rerate"),
        ", or ",
        element("code", {}, "rerateUsage"),
        " with dryRun: false.",
      ),
    );
  };
  const isPast = new Date(effectiveFrom) < new Date();
  return [
    element("p", { role: "status" }, `Published: it holds from ${moment(effectiveFrom)} on.`),
    isPast && element("p", {}, "Calls that were recorded since keep their old cost until they are re-rated."),
    isPast && action("What would re-rating come to?", look),
    place,
  ];
}

const RERATED = [
  { title: "Tenant", main: true, cell: ({ slug }) => slug },
  { title: "Events", number: true, cell: ({ events }) => count(events) },
  { title: "Would change", number: true, cell: ({ corrected }) => count(corrected) },
  { title: "Still without a price", number: true, cell: ({ unpriced }) => count(unpriced) },
  { title: "Of open work", number: true, cell: ({ held }) => count(held) },
  { title: "Costs more, USD", number: true, cell: ({ costUsd }) => usd(costUsd) },
];
