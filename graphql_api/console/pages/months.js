// Months: which one a page shows, and the way to the others. Months are texts such as "2026-11", of the tenant's time zone.

import { element } from "/console/elements.js";
import { month } from "/console/formats.js";

const CHOICE = 24;

/** The month so many before (below zero) or after this one. */
export function monthAfter(shown, number) {
  const months = Number(shown.slice(0, 4)) * 12 + Number(shown.slice(5)) - 1 + number;
  return `${String(Math.floor(months / 12)).padStart(4, "0")}-${String((months % 12) + 1).padStart(2, "0")}`;
}

/** The days of a month, such as "2026-11-01", up to the last one that is not after `today` (a day). */
export function daysOf(shown, today) {
  const number = new Date(Date.UTC(Number(shown.slice(0, 4)), Number(shown.slice(5)), 0)).getUTCDate();
  const days = Array.from({ length: number }, (_, at) => `${shown}-${String(at + 1).padStart(2, "0")}`);
  return days.filter((day) => day <= today);
}

/** The last day of a day's month. */
export function lastDayOf(day) {
  return daysOf(day.slice(0, 7), "9").at(-1);
}

/** What chooses the month that a page shows, in its address: this one (`present`) without naming it, or one before. */
export function monthChooser(shown, present, { go }) {
  const past = Array.from({ length: CHOICE }, (_, at) => monthAfter(present, -at));
  const months = past.includes(shown) ? past : [shown, ...past];
  const options = months.map((one) => element("option", { value: one, selected: one === shown }, month(one)));
  const choose = ({ target }) => go(addressOf(target.value, present));
  const step = (to, label, sign) =>
    element("a", { class: "button quiet", href: addressOf(to, present), "aria-label": label }, sign);
  return element(
    "nav",
    { class: "months", "aria-label": "Month" },
    step(monthAfter(shown, -1), "The month before", "‹"),
    element("select", { "aria-label": "Month", onchange: choose }, options),
    shown < present && step(monthAfter(shown, 1), "The month after", "›"),
  );
}

function addressOf(chosen, present) {
  const address = new URL(location.href);
  for (const name of ["month", "from", "to"]) address.searchParams.delete(name);
  if (chosen !== present) address.searchParams.set("month", chosen);
  return address.pathname + address.search;
}

/** The day of a moment in a time zone. */
export function dayIn(moment, timeZone) {
  return new Intl.DateTimeFormat("sv-SE", { timeZone }).format(new Date(moment));
}
