// Tenants, for operators: who spends how much of what they may, and how a new one comes in.

import { creatingKey } from "/console/api_keys.js";
import { element, fill } from "/console/elements.js";
import { filters } from "/console/filters.js";
import { money, month, percent, usd, words } from "/console/formats.js";
import { form } from "/console/forms.js";
import { ask, change } from "/console/graphql.js";
import { bar, opener, pagedTable, status } from "/console/parts.js";

const TENANTS = `query Tenants($search: String, $after: String) {
  tenantSpending(first: 25, search: $search, after: $after) {
    edges { node { month spent cap usedPercent tenant { slug name status region plan { name } } } }
    pageInfo { hasNextPage endCursor }
  }
}`;
const PLANS = "query Plans { plans { key name region price { amount currency } } }";
const CREATE = `mutation CreateTenant($input: CreateTenantInput!) {
  createTenant(input: $input) { ... on Tenant { slug name } ... on Refusal { code message } }
}`;

export const load = ({ ask, query }) => ask(TENANTS, { search: query.get("search") }, { tenant: null });

export function draw({ tenantSpending }, context) {
  const search = context.query.get("search");
  const more = async (after) => (await ask(TENANTS, { search, after }, { tenant: null })).tenantSpending;
  return [
    element(
      "div",
      { class: "toolbar" },
      filters(context, [{ name: "search", label: "Name or slug", type: "search", maxlength: 100 }]),
      opener("New tenant", "New tenant", (close) => newTenant(close, context), {}),
    ),
    element(
      "section",
      { class: "card", "aria-label": "Tenants" },
      pagedTable({
        caption: "Tenants, those that spent most this month first",
        stacked: true,
        columns: COLUMNS,
        connection: tenantSpending,
        more,
        empty: search ? `No tenant's name has “${search}” in it.` : "There is no tenant yet. Create the first one.",
      }),
    ),
  ];
}

const COLUMNS = [
  {
    title: "Tenant",
    main: true,
    cell: ({ tenant }) => [
      element("a", { href: `/operator/tenants/${encodeURIComponent(tenant.slug)}` }, tenant.name),
      element("div", {}, element("small", {}, tenant.slug)),
    ],
  },
  { title: "Status", cell: ({ tenant }) => status(tenant.status) },
  { title: "Plan", cell: ({ tenant }) => tenant.plan.name },
  { title: "Region", cell: ({ tenant }) => words(tenant.region) },
  { title: "Month", cell: (row) => month(row.month) },
  { title: "Spent, USD", number: true, cell: ({ spent }) => element("strong", {}, usd(spent)) },
  { title: "Cap, USD", number: true, cell: ({ cap }) => (cap === null ? "No cap" : usd(cap)) },
  {
    title: "Used of the cap",
    cell: ({ tenant, usedPercent }) =>
      usedPercent === null ? "–" : [percent(usedPercent), bar(usedPercent, `${tenant.name}: cap used`)],
  },
];

async function newTenant(close, context) {
  const { plans } = await ask(PLANS, {}, { tenant: null });
  const place = element("div");
  const offered = plans.map(({ key, name, region, price }) => [
    `${region}/${key}`,
    `${words(region)}: ${name}, ${money(price.amount, price.currency)} a month`,
  ]);
  const zones = ["UTC", ...Intl.supportedValuesOf("timeZone").filter((zone) => zone !== "UTC")];
  const fields = [
    { name: "name", label: "Name", required: true, maxlength: 200 },
    {
      name: "slug",
      label: "Slug",
      required: true,
      pattern: "[a-z0-9][a-z0-9\\-]{0,62}",
      title: "1 to 63 of a to z, 0 to 9 and dashes",
      help: "Its short name in addresses and headers. It never changes.",
    },
    { name: "plan", label: "Region and plan", options: offered, help: "The region never changes; the plan may." },
    {
      name: "timeZone",
      label: "Time zone of its months",
      value: "UTC",
      options: zones.map((zone) => [zone, zone]),
    },
    { name: "metered", label: "Give it a prepaid wallet in US dollars", type: "checkbox", value: true },
  ];
  const making = form({
    fields,
    submit: "Create the tenant",
    send: ({ plan: chosen, ...values }, idempotencyKey) => {
      const [region, plan] = chosen.split("/");
      return change(CREATE, { idempotencyKey, region, plan, ...values }, { tenant: null });
    },
    done: (tenant) => fill(place, firstKey(tenant, close, context)),
  });
  return fill(place, making);
}

/** What follows at once: without a key, nobody of the tenant can do anything. */
function firstKey({ slug, name }, close, { refresh }) {
  return [
    element("p", { role: "status" }, `${name} is there. Its people need a first key to sign in with.`),
    creatingKey(close, refresh, { tenant: slug }),
    element("p", {}, element("a", { href: `/operator/tenants/${encodeURIComponent(slug)}` }, `Go to ${name}`)),
  ];
}
