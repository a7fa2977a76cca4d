// How figures and moments are written: in the reader's locale, exact, never by way of binary fractions.

const locale = navigator.languages;
const counts = new Intl.NumberFormat(locale);
const credits = new Intl.NumberFormat(locale, { maximumFractionDigits: 9 });
const hundredths = new Intl.NumberFormat(locale, { maximumFractionDigits: 2, roundingMode: "floor" });
const wholeCents = new Intl.NumberFormat(locale, { style: "currency", currency: "USD", roundingMode: "floor" });
const percents = new Intl.NumberFormat(locale, { style: "percent", maximumFractionDigits: 1 });
const moments = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" });
const exactMoments = new Intl.DateTimeFormat(locale, { dateStyle: "full", timeStyle: "long" });
const days = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeZone: "UTC" });
const shortDays = new Intl.DateTimeFormat(locale, { day: "numeric", month: "short", timeZone: "UTC" });
const months = new Intl.DateTimeFormat(locale, { month: "long", year: "numeric", timeZone: "UTC" });
const moneys = new Map();

/** An amount of a wallet: dollars, or credits and pieces. */
export function amount(text, unit) {
  return unit === "USD" ? usd(text) : credits.format(text);
}

/** A balance to be read at a glance: never more than there is, with its small change left out from one on. */
export function balance(text, unit) {
  if (Math.abs(Number(text)) < 1) return amount(text, unit);
  return (unit === "USD" ? wholeCents : hundredths).format(text);
}

/** An amount of a wallet by its key, where the unit is not told: the prepaid one holds dollars. */
export function walletAmount(text, walletKey) {
  return amount(text, walletKey === "metered" ? "USD" : "CREDIT");
}

/** US dollars. Small ones keep the digits that tell them from nothing; `exact` keeps all nine. */
export function usd(text, { exact = false } = {}) {
  return money(text, "USD", { exact });
}

/** An amount of a currency by its ISO 4217 code, with as many digits as the currency has. */
export function money(text, currency, { exact = false } = {}) {
  const small = Math.abs(Number(text)) < 1 && Number(text) !== 0;
  const digits = exact ? 9 : small ? 6 : undefined;
  const key = `${currency} ${digits}`;
  if (!moneys.has(key)) {
    moneys.set(key, new Intl.NumberFormat(locale, { style: "currency", currency, maximumFractionDigits: digits }));
  }
  return moneys.get(key).format(text);
}

/** A whole number, such as of calls or tokens. */
export function count(text) {
  return counts.format(text);
}

/** A share as the API gives it: 80 is 80 %. Null: there is none. */
export function percent(value) {
  return value === null || value === undefined ? "–" : percents.format(value / 100);
}

/** A moment, such as "2026-11-21T02:45:00Z", in the reader's time zone. */
export function moment(text) {
  return text ? moments.format(new Date(text)) : "–";
}

/** A moment with its time zone, for who wants to know exactly. */
export function exactMoment(text) {
  return exactMoments.format(new Date(text));
}

/** A calendar day, such as "2026-11-21": the same everywhere. */
export function day(text, { short = false } = {}) {
  return (short ? shortDays : days).format(new Date(`${text.slice(0, 10)}T00:00:00Z`));
}

/** A month, such as "2026-11". */
export function month(text) {
  return months.format(new Date(`${text.slice(0, 7)}-01T00:00:00Z`));
}

/** A code of the API in words: BUDGET_EXCEEDED is "Budget exceeded", and so is budget_exceeded; llm_call is "LLM call". */
export function words(code) {
  const spaced = code.toLowerCase().replaceAll(/[_-]/g, " ");
  const text = spaced.replaceAll(/\b(?:ai|api|llm|seo)\b/g, (letters) => letters.toUpperCase());
  return text.charAt(0).toUpperCase() + text.slice(1);
}
