// Rate cards, for operators: every published version with all that tenants do not see of it.

import { element } from "/console/elements.js";
import { moment, usd, walletAmount, words } from "/console/formats.js";
import { form } from "/console/forms.js";
import { card, figures, table, tag } from "/console/parts.js";

const RATE_CARDS = `query RateCards {
  rateCard { version }
  rateCards {
    creditValue markup forTenant publishedAt
    rateCard { version effectiveFrom effectiveTo }
    terms { floorUsd defaultEstimateUsd rate { feature name chargeType walletKey credits agents note } }
  }
}`;

// The address names the tenant whose own cards are shown too.
export const load = ({ ask }) => ask(RATE_CARDS);

export function draw({ rateCard, rateCards }, context) {
  const tenant = context.query.get("tenant");
  const inForce = rateCards.find((published) => published.rateCard.version === rateCard.version);
  const others = rateCards.filter((published) => published !== inForce);
  return [
    element("div", { class: "toolbar" }, choosing(tenant, context)),
    element(
      "p",
      { class: "faint" },
      "The next version is published by the mutation ",
      element("code", {}, "publishRateCard"),
      " at /graphql: basedOn takes over what it does not say. What is reserved already keeps its version.",
    ),
    version(inForce, tenant, true),
    others.length > 0 && element("h2", { class: "later" }, "Other versions"),
    others.map((published) => version(published, tenant, false)),
  ];
}

function choosing(tenant, { go }) {
  const help = "Empty: what holds for everybody.";
  return form({
    inline: true,
    submit: "Show",
    fields: [{ name: "tenant", label: "As this tenant has it (slug)", value: tenant, maxlength: 63, help }],
    send: async ({ tenant: slug }) =>
      go(slug ? `/operator/rate-cards?tenant=${encodeURIComponent(slug)}` : "/operator/rate-cards"),
    done: () => {},
  });
}

function version({ creditValue, markup, forTenant, publishedAt, rateCard, terms }, tenant, isInForce) {
  const { version: number, effectiveFrom, effectiveTo } = rateCard;
  const caption = `Rates of version ${number}`;
  const rates = table({ caption, columns: COLUMNS, rows: terms, empty: "It has no rate." });
  return card(
    `Version ${number}`,
    {
      actions: element("span", {}, isInForce && tag("In force now", "fine"), " ", forTenant && tag(`${tenant} alone`)),
    },
    figures(
      ["A credit is worth", usd(creditValue)],
      ["Markup on cost", `× ${markup}`],
      ["In force from", moment(effectiveFrom)],
      ["Until", effectiveTo ? moment(effectiveTo) : "No end"],
      ["Published", moment(publishedAt)],
    ),
    isInForce ? rates : element("details", {}, element("summary", {}, `Its ${terms.length} rates`), rates),
  );
}

const CHARGED = {
  FIXED: "each",
  PER_UNIT: "each",
  PER_RESULT: "per result",
  BUNDLED: "for the bundle",
};
const COLUMNS = [
  {
    title: "Feature",
    main: true,
    cell: ({ rate }) => [rate.name, element("div", {}, element("small", {}, rate.feature))],
  },
  { title: "Charged", cell: ({ rate }) => words(rate.chargeType) },
  { title: "Wallet", cell: ({ rate }) => words(rate.walletKey) },
  {
    title: "Charge",
    number: true,
    cell: ({ rate }) => {
      if (rate.chargeType === "FREE") return "Free";
      if (rate.credits === null) return "Cost × markup";
      return `${walletAmount(rate.credits, rate.walletKey)} ${CHARGED[rate.chargeType]}`;
    },
  },
  { title: "Least hold, USD", number: true, cell: ({ floorUsd }) => (floorUsd === null ? "–" : usd(floorUsd)) },
  { title: "Estimated cost, USD", number: true, cell: ({ defaultEstimateUsd }) => usd(defaultEstimateUsd) },
  {
    title: "For, and remarks",
    cell: ({ rate }) =>
      element("div", { class: "remark" }, [...rate.agents.map(words), rate.note].filter(Boolean).join("; ")),
  },
];
