// Plan: what the tenant's plan gives each cycle, what fits into it, what others give, and what can be bought beside it.

import { element, fill } from "/console/elements.js";
import { amount, moment, money, usd, walletAmount, words } from "/console/formats.js";
import { form, POSITIVE, REFUSED } from "/console/forms.js";
import { ask, Refusal, within } from "/console/graphql.js";
import { card, empty, figures, table, tag } from "/console/parts.js";
import { cycleButton, planButton } from "/console/plan_changes.js";
import { mayChange } from "/console/session.js";
import { whatIf } from "/console/what_if.js";

const PLAN_PARTS = "key name price { amount currency } allocations { walletKey unit amount } seats agents";
const PLAN = `query Plan {
  tenant {
    timeZone anchorDay nextTimeZone nextAnchorDay cycleStart cycleEnd agentsUsed seatsUsed
    plan { ${PLAN_PARTS} } nextPlan { key name }
  }
  plans { ${PLAN_PARTS} unlimited }
  bundles { walletKey amount price { amount currency } }
  rateCard { effectiveFrom rates { feature name chargeType walletKey credits floor note } }
}`;
const FITS = `query PlanFit($deliverables: [DeliverableInput!]!) {
  planFit(deliverables: $deliverables) {
    ... on PlanFit {
      lines { name walletKey unit quantity amount estimated }
      totals { walletKey unit amount }
      plans { plan { key name price { amount currency } } fits shortBy { walletKey unit amount } leftOver { walletKey unit amount } }
    }
    ${REFUSED}
  }
}`;
const MOST_DELIVERABLES = 100;

export const load = ({ ask }) => ask(PLAN);

export function draw({ tenant, plans, bundles, rateCard }, { viewer, refresh }) {
  const may = mayChange(viewer);
  return element(
    "div",
    { class: "stacked" },
    element("div", { class: "cards" }, current(tenant, may, refresh), calculator(rateCard, tenant.plan)),
    card(
      "Plans of this region",
      {},
      table({
        caption: "Plans",
        columns: [...PLANS(tenant), ...(may ? [changing(tenant, refresh)] : [])],
        rows: plans,
      }),
    ),
    card(
      "Bundles",
      { actions: may ? [element("a", { href: within("/#top-up") }, "Buy one")] : [] },
      table({ caption: "Bundles", columns: BUNDLES, rows: bundles, empty: "There are none for this region." }),
    ),
    viewer.role !== "SERVICE" && whatIf(plans),
    rates(rateCard),
  );
}

function current(tenant, may, refresh) {
  const { plan, nextPlan, timeZone, nextTimeZone, anchorDay, nextAnchorDay } = tenant;
  const next = [
    nextPlan?.name,
    nextAnchorDay && `cycles begin on day ${nextAnchorDay}`,
    nextTimeZone && `the clock of ${nextTimeZone}`,
  ].filter(Boolean);
  return card(
    `Your plan: ${plan.name}`,
    { actions: may ? [cycleButton(tenant, refresh)] : [] },
    next.length > 0 &&
      element("p", { class: "banner near" }, `From the next cycle on, ${moment(tenant.cycleEnd)}: ${next.join(", ")}.`),
    figures(
      ["Price", money(plan.price.amount, plan.price.currency), "a month"],
      ["Seats", `${tenant.seatsUsed} of ${plan.seats}`, "in use"],
      ["Agents", `${tenant.agentsUsed} of ${plan.agents}`, "in use"],
      ...plan.allocations.map(({ walletKey, unit, amount: size }) => [
        words(walletKey),
        amount(size, unit),
        "each cycle",
      ]),
    ),
    element(
      "p",
      { class: "faint" },
      `This cycle: ${moment(tenant.cycleStart)} to ${moment(tenant.cycleEnd)} by your clock. `,
      `Cycles begin on day ${anchorDay} of the month by the clock of ${timeZone}.`,
    ),
  );
}

function rates({ effectiveFrom, rates: all }) {
  const place = element("div", {}, ratesTable(all));
  const find = ({ target }) => {
    const wanted = target.value.trim().toLowerCase();
    fill(place, ratesTable(all.filter(({ name, feature }) => `${name} ${feature}`.toLowerCase().includes(wanted))));
  };
  const search = element("input", { type: "search", placeholder: "Find", "aria-label": "Find a rate", oninput: find });
  return card(
    "What things cost",
    { actions: [search] },
    element("p", { class: "faint" }, `In force since ${moment(effectiveFrom)}.`),
    place,
  );
}

function ratesTable(rows) {
  return table({ caption: "Rates", columns: RATES, rows, empty: "Nothing is called so." });
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
      { name: "quantity", label: "How many", value: "10", required: true, ...POSITIVE },
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

const PLANS = ({ plan, nextPlan }) => [
  {
    title: "Plan",
    main: true,
    cell: ({ key, name }) => [
      name,
      " ",
      key === plan.key && tag("yours", "fine"),
      key === nextPlan?.key && tag("from the next cycle", "near"),
    ],
  },
  { title: "Price a month", number: true, cell: ({ price }) => money(price.amount, price.currency) },
  { title: "Each cycle", cell: ({ allocations }) => listed(allocations) },
  { title: "Seats", number: true, cell: ({ seats }) => seats },
  { title: "Agents", number: true, cell: ({ agents }) => agents },
  { title: "Own keys", cell: ({ unlimited }) => (unlimited ? "also for enrichment" : "not for enrichment") },
];
const changing = (tenant, refresh) => ({ title: "Change", cell: (plan) => planButton(plan, tenant, refresh) });
const BUNDLES = [
  {
    title: "Bundle",
    main: true,
    cell: ({ walletKey, amount: size }) => `${walletAmount(size, walletKey)} ${words(walletKey).toLowerCase()}`,
  },
  { title: "Price", number: true, cell: ({ price }) => money(price.amount, price.currency) },
];
const CHARGES = {
  FIXED: "a piece",
  PER_UNIT: "a piece that was done",
  PER_RESULT: "a result that was found",
  BUNDLED: "once, with others of its task",
  COST_PLUS: "by what providers charge",
  FREE: "recorded, not charged",
};
const RATES = [
  {
    title: "What",
    main: true,
    cell: ({ name, feature }) => [name, element("div", {}, element("small", {}, feature))],
  },
  {
    title: "Rate",
    number: true,
    cell: ({ credits, walletKey, chargeType, floor }) => [
      chargeType === "FREE" ? "free" : credits === null ? "by cost" : walletAmount(credits, walletKey),
      floor !== null && element("div", { class: "faint" }, `at least ${usd(floor)} held`),
    ],
  },
  { title: "Wallet", cell: ({ chargeType, walletKey }) => (chargeType === "FREE" ? "" : words(walletKey)) },
  { title: "Charged", cell: ({ chargeType }) => CHARGES[chargeType] },
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
