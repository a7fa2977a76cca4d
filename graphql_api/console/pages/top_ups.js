// Top-ups: buying bundles and prepaid balance by hand, and letting the balance fill up by itself.

import { announce, element } from "/console/elements.js";
import { moment, money, usd, walletAmount, words } from "/console/formats.js";
import { DECIMAL, form } from "/console/forms.js";
import { ask, change } from "/console/graphql.js";
import { action, card, opener, status, table, when } from "/console/parts.js";
import { mayChange } from "/console/session.js";

/** What is shown of a top-up. */
export const TOP_UP =
  "id state walletKey amount price { amount currency } origin createdAt takenBack failure checkoutUrl";
const ONE = "query TopUp($id: ID!) { topUp(id: $id) { state } }";
const BUNDLES = "query Bundles { bundles { key walletKey amount price { amount currency } } }";
const START = `mutation StartTopUp($input: StartTopUpInput!) {
  startTopUp(input: $input) { ... on TopUp { checkoutUrl } ... on Refusal { code message } }
}`;
const RECHARGE = `mutation SetAutoRecharge($input: SetAutoRechargeInput!) {
  setAutoRecharge(input: $input) { __typename ... on Refusal { code message } }
}`;

/** The card of what was bought and how to buy more. `moved`: tells when a balance has changed. */
export function topUps({ wallets, topUps: orders, returned, acceptsPayments }, context, moved) {
  const mayBuy = mayChange(context.viewer);
  const metered = wallets.find(({ kind }) => kind === "METERED");
  const rows = orders.edges.map(({ node }) => node);
  const made = card(
    "Top-ups",
    { actions: mayBuy && acceptsPayments ? [buying(metered)] : [] },
    returned && outcome(returned, moved, context),
    !acceptsPayments &&
      element("p", { class: "faint" }, "Payments are not set up here: ask who runs Purser for credit."),
    table({ caption: "Top-ups", columns: ORDERS(mayBuy), rows, empty: "Nothing was bought yet." }),
    metered && recharge(metered, mayBuy && acceptsPayments, context),
  );
  made.id = "top-up";
  return made;
}

function buying(metered) {
  return opener("Top up", "Top up", async () => offers(metered, (await ask(BUNDLES)).bundles), {});
}

function offers(metered, bundles) {
  if (!metered && !bundles.length) return element("p", {}, "There is nothing to buy for this plan and region.");
  return [
    bundles.length > 0 && element("h3", {}, "Bundles"),
    bundles.map((bundle) =>
      element(
        "p",
        {},
        action(offer(bundle), (key) => pay({ walletKey: bundle.walletKey, bundle: bundle.key }, key)),
      ),
    ),
    metered && element("h3", {}, "Prepaid balance"),
    metered &&
      form({
        fields: [
          { name: "amount", label: "US dollars", required: true, ...DECIMAL, help: "You pay on the next page." },
        ],
        submit: "Pay",
        send: ({ amount }, key) => pay({ walletKey: metered.key, amount }, key),
        done: () => {},
      }),
  ];
}

function offer({ walletKey, amount, price }) {
  return `${walletAmount(amount, walletKey)} ${words(walletKey).toLowerCase()} for ${money(price.amount, price.currency)}`;
}

/** Order, and go to where it is paid. */
async function pay(order, key) {
  const { checkoutUrl } = await change(START, { idempotencyKey: key, ...order });
  location.assign(checkoutUrl);
}

const ORDERS = (mayBuy) => [
  { title: "When", cell: ({ createdAt }) => when(createdAt) },
  {
    title: "What",
    main: true,
    cell: (order) => `${walletAmount(order.amount, order.walletKey)} ${words(order.walletKey).toLowerCase()}`,
  },
  { title: "Price", number: true, cell: ({ price }) => money(price.amount, price.currency) },
  { title: "How", cell: ({ origin }) => words(origin) },
  {
    title: "State",
    cell: ({ state, failure, takenBack, walletKey }) => [
      status(state),
      failure && element("small", {}, " ", failure),
      Number(takenBack) > 0 && element("small", {}, ` ${walletAmount(takenBack, walletKey)} taken back`),
    ],
  },
  {
    title: "",
    cell: ({ state, checkoutUrl }) =>
      mayBuy && state === "PENDING" && checkoutUrl && element("a", { href: checkoutUrl }, "Pay"),
  },
];

const OUTCOMES = {
  PENDING: "The payment is on its way: the balance moves as soon as it is confirmed.",
  PAID: "The payment is confirmed and is being credited.",
  CREDITED: "Thank you: the payment is credited.",
  EXPIRED: "Nothing was paid, and the order has ended. Order anew.",
};

/** What became of the order that a payer comes back from. When that changes as a balance moves, so does what is listed. */
function outcome({ id, state, failure, walletKey, amount: size }, moved, { refresh }) {
  const tone = state === "CREDITED" ? "fine" : state === "PENDING" || state === "PAID" ? "near" : "full";
  const text = OUTCOMES[state] ?? failure ?? words(state);
  moved.addEventListener("moved", async ({ detail }) => {
    if (detail !== walletKey) return;
    const { topUp } = await ask(ONE, { id });
    if (topUp.state !== state) await refresh();
  });
  const ordered = `${walletAmount(size, walletKey)} ${words(walletKey).toLowerCase()}`;
  return element("div", { role: "status" }, element("p", { class: ["banner", tone] }, `${ordered}: ${text}`));
}

const NEVER_SET = { enabled: false, threshold: "50", amount: "50", monthlyLimit: null, monthOrdered: "0" };

function recharge({ key, autoRecharge }, mayChange, { refresh }) {
  const {
    enabled,
    threshold,
    amount: size,
    monthlyLimit,
    monthOrdered,
    retryAt,
    disabledReason,
    inFlight,
  } = autoRecharge ?? NEVER_SET;
  const rule = enabled
    ? `Below ${usd(threshold)}, ${usd(size)} are bought with the kept card${monthlyLimit === null ? "" : `, at most ${usd(monthlyLimit)} a month`}.`
    : "The balance does not fill up by itself.";
  const fields = [
    { name: "enabled", label: "Fill up by itself", type: "checkbox", value: enabled },
    { name: "threshold", label: "Below (US dollars)", value: threshold, ...DECIMAL },
    { name: "amount", label: "Buy (US dollars)", value: size, ...DECIMAL },
    {
      name: "monthlyLimit",
      label: "At most a month (US dollars)",
      value: monthlyLimit,
      help: "Empty: no limit.",
      ...DECIMAL,
    },
  ];
  const setting = (close) =>
    form({
      fields,
      submit: "Save",
      send: (values, idempotencyKey) => change(RECHARGE, { idempotencyKey, walletKey: key, ...values }),
      done: async () => {
        close();
        announce("Saved.");
        await refresh();
      },
    });
  return [
    element("h3", {}, "Auto-recharge ", status(enabled ? "ACTIVE" : "OFF")),
    element("p", {}, rule, " ", `Ordered this month: ${usd(monthOrdered)}.`),
    disabledReason && element("p", { class: "banner near" }, `Switched off: ${disabledReason}`),
    retryAt && element("p", {}, `After a decline, the next attempt is on ${moment(retryAt)}.`),
    inFlight && element("p", {}, "A payment is on its way."),
    mayChange && opener("Change", "Auto-recharge", setting),
  ];
}
