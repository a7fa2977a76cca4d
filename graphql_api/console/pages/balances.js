// Balances: what each wallet still has, moving by itself.

import { element, fill } from "/console/elements.js";
import { amount, balance, percent, words } from "/console/formats.js";
import { bar, card, figures, status } from "/console/parts.js";

/** What the API tells of a balance, at first and whenever it moves. */
export const BALANCE = "key unit available reserved consumed expired debt usedPercent status version";
const LIVE = `subscription Balance($key: String!) { walletBalance(key: $key) { ${BALANCE} } }`;
// The two that everything is charged to come first and large; the others are the plan's buckets.
const FIRST = ["credits", "metered"];

/**
 * Cards of the wallets of a tenant. `moved(key, booked)`: a balance has changed since the page was drawn, by a new entry or
 * (not `booked`) by time alone, as a lot has ended.
 */
export function balances(wallets, context, moved) {
  const large = FIRST.map((key) => wallets.find((wallet) => wallet.key === key)).filter(Boolean);
  const buckets = wallets.filter(({ key }) => !FIRST.includes(key));
  if (!wallets.length) return card("No wallets", {}, "This tenant has no wallet yet.");
  return element(
    "div",
    { class: "cards" },
    large.map((wallet) => card(words(wallet.key), {}, live(wallet, context, moved, standing))),
    buckets.length > 0 &&
      card(
        "Buckets of the plan",
        { wide: true },
        element(
          "div",
          { class: "buckets" },
          buckets.map((wallet) => live(wallet, context, moved, bucket)),
        ),
      ),
  );
}

function live(wallet, { follow }, moved, drawn) {
  const place = element("div", {}, drawn(wallet));
  let { version, available } = wallet;
  follow(LIVE, { key: wallet.key }, ({ walletBalance: told }) => {
    if (!told || BigInt(told.version) < BigInt(version)) return;
    const booked = told.version !== version;
    // A lot that ends takes its balance along before an entry says so.
    if (!booked && told.available === available) return;
    ({ version, available } = told);
    fill(place, drawn(told));
    moved(wallet.key, booked);
  });
  return place;
}

function standing({ key, unit, available, reserved, consumed, expired, debt, usedPercent, status: state }) {
  return [
    element(
      "p",
      { class: "balance" },
      element("strong", { title: amount(available, unit) }, balance(available, unit)),
      " available ",
      status(state),
    ),
    bar(usedPercent, `${words(key)} used`),
    figures(
      ["Used", percent(usedPercent), "of the lots that count now"],
      ["Used in all", amount(consumed, unit), "since the beginning"],
      ["Held for running calls", amount(reserved, unit)],
      Number(expired) > 0 && ["Expired in all", amount(expired, unit)],
      Number(debt) > 0 && ["Owed", amount(debt, unit)],
    ),
  ];
}

function bucket({ key, unit, available, reserved, usedPercent }) {
  const held = Number(reserved) > 0 && `, ${amount(reserved, unit)} held`;
  return [
    element("h3", {}, words(key)),
    element("div", {}, element("strong", {}, amount(available, unit)), " available", held),
    bar(usedPercent, `${words(key)} used`),
    element("small", {}, `${percent(usedPercent)} used`),
  ];
}
