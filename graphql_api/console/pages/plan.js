// Plan: what the tenant's plan gives each cycle, what fits into it, what others give, and what can be bought beside it.

import { element, fill } from "/console/elements.js";
import { amount, moment, money, walletAmount, words } from "/console/formats.js";
import { ask, Refusal } from "/console/graphql.js";
import { card, DECIMAL, empty, figures, form, table, tag } from "/console/parts.js";

const PLAN_PARTS = "key name price { amount currency } allocations { walletKey unit amount } seats agents";
const PLAN = `query Plan {
  tenant { timeZone cycleStart cycleEnd agentsUsed seatsUsed plan { ${PLAN_PARTS} } nextPlan { name } }
  plans { ${PLAN_PARTS} unlimited }
  bundles { walletKey amount price { amount currency } }
  rateCard { effectiveFrom rates { feature name chargeType walletKey credits note } }
}`;
const FITS = `query PlanFit($deliverables: [DeliverableInput!]!) {
  planFit(deliverables: $deliverables) {
    ... on PlanFit {
      lines { name walletKey unit quantity amount estimated }
      totals { walletKey unit amount }
      plans { plan { key name price { amount currency } } fits shortBy { walletKey unit amount } leftOver { walletKey unit amount } }
    }
    ... on Refusal { code message }
  }
}`;
const MOST_DELIVERABLES = 100;

export const load = ({ ask }) => ask(PLAN);

export function draw({ tenant, plans, bundles, rateCard }) {
  return [
    element("div", { class: "cards" }, current(tenant), calculator(rateCard, tenant.plan)),
    card("Plans of this region", {}, table({ caption: "Plans", columns: PLANS(tenant.plan), rows: plans })),
    card(
      "Bundles",
      {},
      table({ caption: "Bundles", columns: BUNDLES, rows: bundles, empty: "There are none for this region." }),
    ),
    card(
      "What things cost",
      {},
      element("p", { class: "faint" }, `In force since ${moment(rateCard.effectiveFrom)}.`),
      table({ caption: "Rates", columns: RATES, rows: rateCard.rates }),
    ),
  ];
}

function current({ plan, nextPlan, timeZone, cycleStart, cycleEnd, agentsUsed, seatsUsed }) {
  return card(
    plan.name,
    {},
    figures(
      ["Price", money(plan.price.amount, plan.price.currency), "each cycle"],
      ["Seats", `${seatsUsed} of ${plan.seats}`],
      ["Agents", `${agentsUsed} of ${plan.agents}`],
      ...plan.allocations.map(({ walletKey, unit, amount: size }) => [
        words(walletKey),
        amount(size, unit),
        "each cycle",
      ]),
    ),
    element(
      "p",
      { class: "faint" },
      `This cycle: ${moment(cycleStart)} to ${moment(cycleEnd)}, by the clock of ${timeZone}.`,
    ),
    nextPlan && element("p", { class: "banner near" }, `From the next cycle on: ${nextPlan.name}.`),
  );
}

function calculator({ rates }, plan) {
  const features = [...new Map(rates.map(({ feature, name }) => [feature, name]))];
  const chosen = new Map();
  const place = element(
    "div",
    { "aria-live": "polite" },
    empty("Add what you want to make, and see which plan holds it."),
  );
  const adding = form({
    inline: true,
    submit: "Add",
    fields: [
      { name: "feature", label: "What", options: features },
      { name: "quantity", label: "How many", value: "10", required: true, ...DECIMAL },
    ],
    send: async ({ feature, quantity }) => {
      if (chosen.size >= MOST_DELIVERABLES) chosen.delete(chosen.keys().next().value);
      return fitting(new Map(chosen).set(feature, quantity));
    },
    done: (fit, { feature, quantity }) => {
      chosen.set(feature, quantity);
      show(fit);
    },
  });
  async function fitting(deliverables) {
    const wanted = [...deliverables].map(([feature, quantity]) => ({ feature, quantity }));
    const { planFit } = await ask(FITS, { deliverables: wanted });
    if (planFit.code) throw new Refusal(planFit);
    return planFit;
  }
  const clear = () => {
    chosen.clear();
    fill(place, empty("Add what you want to make, and see which plan holds it."));
  };
  function show({ lines, totals, plans }) {
    fill(
      place,
      table({ caption: "What it takes", columns: LINES, rows: lines }),
      figures(
        ...totals.map(({ walletKey, unit, amount: size }) => [
          `In all, ${words(walletKey).toLowerCase()}`,
          amount(size, unit),
        ]),
      ),
      table({ caption: "Which plans hold it", columns: FITTING(plan), rows: plans }),
      element("button", { type: "button", class: "quiet", onclick: clear }, "Begin anew"),
    );
  }
  return card("What fits in the plan", {}, adding, place);
}

const holds = ({ walletKey, unit, amount: size }) => `${amount(size, unit)} ${words(walletKey).toLowerCase()}`;
const listed = (amounts) => amounts.map((one) => element("div", {}, holds(one)));

const PLANS = (own) => [
  { title: "Plan", main: true, cell: ({ key, name }) => [name, " ", key === own.key && tag("yours", "fine")] },
  { title: "Price", number: true, cell: ({ price }) => money(price.amount, price.currency) },
  { title: "Each cycle", cell: ({ allocations }) => listed(allocations) },
  { title: "Seats", number: true, cell: ({ seats }) => seats },
  { title: "Agents", number: true, cell: ({ agents }) => agents },
  { title: "", cell: ({ unlimited }) => unlimited && tag("unlimited") },
];
const BUNDLES = [
  {
    title: "Bundle",
    main: true,
    cell: ({ walletKey, amount: size }) => `${walletAmount(size, walletKey)} ${words(walletKey).toLowerCase()}`,
  },
  { title: "Price", number: true, cell: ({ price }) => money(price.amount, price.currency) },
];
const RATES = [
  { title: "What", main: true, cell: ({ name }) => name },
  { title: "Charged", cell: ({ chargeType }) => words(chargeType) },
  { title: "To", cell: ({ walletKey }) => words(walletKey) },
  {
    title: "Rate",
    number: true,
    cell: ({ credits, walletKey }) => (credits === null ? "by cost" : walletAmount(credits, walletKey)),
  },
  { title: "Note", cell: ({ note }) => note ?? "" },
];
const LINES = [
  { title: "What", main: true, cell: ({ name }) => name },
  { title: "How many", number: true, cell: ({ quantity }) => amount(quantity) },
  {
    title: "Takes",
    number: true,
    cell: (line) => [holds(line), line.estimated && element("div", {}, element("small", {}, "by estimate"))],
  },
];
const FITTING = (own) => [
  { title: "Plan", main: true, cell: ({ plan }) => [plan.name, " ", plan.key === own.key && tag("yours", "fine")] },
  { title: "Price", number: true, cell: ({ plan }) => money(plan.price.amount, plan.price.currency) },
  { title: "Fits", cell: ({ fits }) => (fits ? tag("fits", "fine") : tag("too small", "full")) },
  { title: "Short by", cell: ({ shortBy }) => listed(shortBy) },
  { title: "Left over", cell: ({ leftOver }) => listed(leftOver) },
];
