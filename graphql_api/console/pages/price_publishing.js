// Publishing a price: the old figures and the new ones side by side first, and afterwards what re-rating would come to.

import { announce, element, fill } from "/console/elements.js";
import { count, moment, usd } from "/console/formats.js";
import { change } from "/console/graphql.js";
import { action, DECIMAL, form, opener, table, tag } from "/console/parts.js";

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
  const content = () => {
    const before = (row) => ours.find(({ contextAbove }) => contextAbove === row.contextAbove) ?? {};
    return sideBySide(
      `${provider} ${model}`,
      theirs.map((row) => [before(row), row]),
      context,
    );
  };
  return opener("Compare", `Price of ${model}`, content);
}

/** A form of a price, filled with the figures of one; what it becomes stands beside what it was before it is published. */
export function writePrice(before, context) {
  const place = element("div");
  const names = [
    { name: "provider", label: "Provider (slug)", value: before.provider, required: true },
    { name: "model", label: "Model", value: before.model, help: "Empty: any that has no price of its own." },
    { name: "operation", label: "Operation", value: before.operation, help: "Empty: every one." },
  ];
  const figures = FIGURES.map(([name, label]) => ({
    name,
    label: name === "perCall" ? "One call, USD" : `${label}, USD for 1,000,000 tokens`,
    value: before[name],
    ...DECIMAL,
  }));
  const rest = [
    {
      name: "contextAbove",
      label: "For contexts above (tokens)",
      value: before.contextAbove,
      inputmode: "numeric",
      pattern: "[0-9]+",
      help: "Empty: for all calls.",
    },
    { name: "from", label: "Holds from", type: "datetime-local", help: "Empty: from now on." },
    { name: "note", label: "Note", maxlength: 500, help: "Where the figures come from." },
  ];
  return fill(
    place,
    form({
      fields: [...names, ...figures, ...rest],
      submit: "Compare",
      send: async ({ from, ...values }) => ({ ...values, effectiveFrom: from && new Date(from).toISOString() }),
      done: (after) =>
        fill(
          place,
          sideBySide(
            [after.provider, after.model, after.operation].filter(Boolean).join(" "),
            [[before, after]],
            context,
          ),
        ),
    }),
  );
}

/** `pairs`: the price before and after, for each row to publish. */
function sideBySide(name, pairs, { refresh }) {
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
