// What if: a past month decided again under another plan or another cap, beside what it really was.

import { element, fill } from "/console/elements.js";
import { amount, usd, words } from "/console/formats.js";
import { form, POSITIVE, REFUSED } from "/console/forms.js";
import { ask, Refusal } from "/console/graphql.js";
import { card, empty, table } from "/console/parts.js";

const OUTCOME = `
  admitted refused costUsd charges { walletKey unit amount } balances { walletKey unit amount }
  refusals { code scope scopeId walletKey requests costUsd }`;
const BACK_TEST = `query WhatIf($input: BackTestInput!) {
  backTest(input: $input) {
    ... on BackTest { differences asItWas { ${OUTCOME} } asAssumed { assumedToRun ${OUTCOME} } }
    ${REFUSED}
  }
}`;

/** A card that asks for a month and what is assumed. `plans`: those of the tenant's region. */
export function whatIf(plans) {
  const place = element(
    "div",
    { "aria-live": "polite" },
    empty("Choose a month and another plan or cap, and see what would have been refused."),
  );
  const asking = form({
    inline: true,
    submit: "Play it again",
    fields: [
      { name: "month", label: "Month", required: true, pattern: "20[0-9]{2}-[0-9]{2}", placeholder: "2026-10" },
      { name: "plan", label: "Plan", options: [["", "as it was"], ...plans.map(({ key, name }) => [key, name])] },
      { name: "caps", label: "Tenant's monthly cap, in dollars", ...POSITIVE },
    ],
    send: async ({ month, plan, caps }) => {
      const cap = caps && [{ scope: "TENANT", period: "MONTH", cap: caps }];
      const { backTest } = await ask(BACK_TEST, { input: { month, plan, caps: cap } });
      if (backTest.code) throw new Refusal(backTest);
      return backTest;
    },
    done: (backTest) => fill(place, outcomes(backTest)),
  });
  return card("What if", {}, asking, place);
}

function outcomes({ differences, asItWas, asAssumed }) {
  const guessed = asAssumed.assumedToRun;
  return [
    table({ caption: "The month, twice", columns: COLUMNS, rows: lines(asItWas, asAssumed) }),
    guessed > 0 &&
      element("p", { class: "faint" }, `Really refused, and taken to cost what was estimated for it: ${guessed}.`),
    differences.length > 0 &&
      element("p", { class: "banner near" }, "Not all that decided this month is kept: the figures may be off."),
  ];
}

function lines(was, assumed) {
  const both = (name, figure) => ({ name, was: figure(was), assumed: figure(assumed) });
  return [
    both("Admitted", ({ admitted }) => admitted),
    both("Refused", ({ refused }) => refused),
    ...named(
      was,
      assumed,
      ({ refusals }) => refusals,
      level,
      ({ requests, costUsd }) => `${requests}, ${usd(costUsd)}`,
    ),
    both("Cost", ({ costUsd }) => usd(costUsd)),
    ...named(was, assumed, ({ charges }) => charges, wallet("Charged"), held),
    ...named(was, assumed, ({ balances }) => balances, wallet("Left"), held),
  ];
}

/** A line for each name that either outcome has. */
function named(was, assumed, parts, name, figure) {
  const [before, after] = [was, assumed].map(
    (outcome) => new Map(parts(outcome).map((one) => [name(one), figure(one)])),
  );
  return [...new Set([...before.keys(), ...after.keys()])].map((key) => ({
    name: key,
    was: before.get(key) ?? "–",
    assumed: after.get(key) ?? "–",
  }));
}

const held = ({ unit, amount: size }) => amount(size, unit);
const wallet =
  (what) =>
  ({ walletKey }) =>
    `${what}: ${words(walletKey).toLowerCase()}`;
const level = ({ code, scope, scopeId, walletKey }) =>
  [`Refused: ${words(code).toLowerCase()}`, scope && words(scope).toLowerCase(), scopeId, walletKey]
    .filter(Boolean)
    .join(", ");

const COLUMNS = [
  { title: "", main: true, cell: ({ name }) => name },
  { title: "As it was", number: true, cell: ({ was }) => was },
  { title: "As assumed", number: true, cell: ({ assumed }) => assumed },
];
