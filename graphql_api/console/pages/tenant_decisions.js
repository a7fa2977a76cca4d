// What an operator decides about a tenant: whether it may work, its plan, and what a balance is put right by.

import { announce, element, fill } from "/console/elements.js";
import { amount, moment, money, words } from "/console/formats.js";
import { DECIMAL, form } from "/console/forms.js";
import { ask, change } from "/console/graphql.js";
import { action, figures, opener } from "/console/parts.js";

const PLANS = "query Plans { plans { key name price { amount currency } } }";
const CHANGE_PLAN = `mutation ChangePlan($input: ChangePlanInput!) {
  changePlan(input: $input) { ... on Tenant { plan { name } nextPlan { name } } ... on Refusal { code message } }
}`;
const WALLETS = "query Wallets { wallets { key unit available } }";
const ADJUST = `mutation AdjustWallet($input: AdjustWalletInput!) {
  adjustWallet(input: $input) { ... on Wallet { available } ... on Refusal { code message } }
}`;
const decision = (name) => `mutation Decide($input: TenantInput!) {
  ${name}(input: $input) { ... on Tenant { status } ... on Refusal { code message } }
}`;
const SUSPEND = decision("suspendTenant");
const RESUME = decision("resumeTenant");
const CLOSE = decision("closeTenant");
const NANO_DIGITS = 9;
const FIRST = ["credits", "metered"];

/** The buttons of what can be decided about a tenant in its present state. */
export function decisions(tenant, { refresh }) {
  const { slug, name, status, plan, nextPlan } = tenant;
  const present = plan.key;
  const wanted = nextPlan?.key ?? present;
  const decided = async (mutation, idempotencyKey, close) => {
    const answer = await change(mutation, { idempotencyKey }, { tenant: slug });
    close?.();
    announce(`${name} is ${words(answer.status).toLowerCase()}.`);
    await refresh();
  };
  if (status === "CLOSED") return [];
  return [
    opener("Change plan", `Plan of ${name}`, (close) => changingPlan(tenant, present, wanted, close, refresh)),
    status === "SUSPENDED"
      ? action("Resume", (key) => decided(RESUME, key))
      : action("Suspend", (key) => decided(SUSPEND, key), {
          sure: "Every request of its people and workers is refused until it is resumed. Nothing is lost.",
        }),
    opener("Close for good", `Close ${name}?`, (close) => closing(slug, (key) => decided(CLOSE, key, close)), {
      class: "quiet danger",
    }),
  ];
}

function closing(slug, closed) {
  const field = {
    name: "slug",
    label: `Type ${slug} to confirm`,
    required: true,
    pattern: slug,
    title: slug,
  };
  return [
    element("p", {}, "A closed tenant does not come back. Its books stay as they are; nothing is deleted."),
    form({ fields: [field], submit: "Close it for good", send: (_values, key) => closed(key), done: () => {} }),
  ];
}

async function changingPlan({ slug, cycleEnd }, present, wanted, close, refresh) {
  const { plans } = await ask(PLANS, {}, { tenant: slug });
  const offered = plans.map(({ key, name, price }) => [
    key,
    `${name}, ${money(price.amount, price.currency)} a month${key === present ? " (now)" : ""}`,
  ]);
  return [
    element(
      "p",
      {},
      "A plan that costs no less holds at once, with the difference of what it grants; a cheaper one from the next cycle, ",
      `${moment(cycleEnd)}. The present plan takes a change back.`,
    ),
    form({
      fields: [{ name: "plan", label: "Plan", value: wanted, options: offered }],
      submit: "Change the plan",
      send: (values, idempotencyKey) => change(CHANGE_PLAN, { idempotencyKey, ...values }, { tenant: slug }),
      done: async (changed) => {
        close();
        announce(
          changed.nextPlan ? `From the next cycle on: ${changed.nextPlan.name}.` : `Plan: ${changed.plan.name}.`,
        );
        await refresh();
      },
    }),
  ];
}

/** The button of a form that puts into a wallet or takes back from it, and shows the balance before and after. */
export function adjusting(slug, { refresh }) {
  const content = async () => {
    const { wallets } = await ask(WALLETS, {}, { tenant: slug });
    if (!wallets.length) return element("p", {}, "This tenant has no wallet yet.");
    const keys = wallets.map(({ key }) => key);
    const ordered = [...FIRST.filter((key) => keys.includes(key)), ...keys.filter((key) => !FIRST.includes(key))];
    const place = element("div");
    const preview = element("output", { class: "preview" }, "");
    const making = form({
      fields: [
        { name: "walletKey", label: "Wallet", options: ordered.map((key) => [key, words(key)]) },
        {
          name: "amount",
          label: "Amount",
          required: true,
          ...DECIMAL,
          help: "In the wallet's unit: 25 puts in, -25 takes back, below zero if need be.",
        },
        { name: "note", label: "Why", required: true, maxlength: 500, help: "The tenant reads it in its ledger." },
      ],
      submit: "Adjust",
      send: (values, idempotencyKey) => change(ADJUST, { idempotencyKey, ...values }, { tenant: slug }),
      done: async ({ available }, { walletKey, amount: moved }) => {
        fill(place, outcome(named(walletKey), moved, available));
        await refresh();
      },
    });
    const named = (key) => wallets.find((wallet) => wallet.key === key);
    const show = () => {
      const { walletKey, amount: typed } = Object.fromEntries(new FormData(making));
      const wallet = named(walletKey);
      const now = `${words(walletKey)}: ${amount(wallet.available, wallet.unit)} available now`;
      const after = isDecimal(typed) && amount(added(wallet.available, typed.trim()), wallet.unit);
      preview.textContent = after ? `${now}, ${after} afterwards.` : `${now}.`;
    };
    making.addEventListener("input", show);
    making.querySelector("[type=submit]").before(preview);
    show();
    return fill(place, making);
  };
  return opener("Adjust a balance", "Adjust a balance", content, {});
}

function outcome({ key, unit }, moved, after) {
  const back = moved.startsWith("-") ? moved.slice(1) : `-${moved}`;
  return element(
    "div",
    { role: "status" },
    element("p", {}, `${words(key)} is adjusted. The ledger says so, with your note.`),
    figures(["Available before", amount(added(after, back), unit)], ["Available now", amount(after, unit)]),
  );
}

function isDecimal(text) {
  return new RegExp(`^(?:${DECIMAL.pattern})$`).test(text.trim());
}

/** The exact sum of two decimals. */
function added(one, other) {
  const sum = nano(one) + nano(other);
  const digits = String(sum < 0n ? -sum : sum).padStart(NANO_DIGITS + 1, "0");
  return `${sum < 0n ? "-" : ""}${digits.slice(0, -NANO_DIGITS)}.${digits.slice(-NANO_DIGITS)}`;
}

function nano(decimal) {
  const [whole, part = ""] = decimal.replace("-", "").split(".");
  const size = BigInt(whole + part.padEnd(NANO_DIGITS, "0"));
  return decimal.startsWith("-") ? -size : size;
}
