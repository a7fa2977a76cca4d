// Statements: a wallet's ledger, or a month of it, as a file that proves itself.

import { download } from "/console/downloads.js";
import { element } from "/console/elements.js";
import { month } from "/console/formats.js";
import { dayIn, monthAfter } from "/console/months.js";

const CHOICE = 24;

/** What downloads the statement of the wallet of this key. Months are those of the tenant's time zone. */
export function statement(key, { timeZone }) {
  const present = dayIn(Date.now(), timeZone).slice(0, 7);
  const months = Array.from({ length: CHOICE }, (_, at) => monthAfter(present, -at));
  const chooser = element("select", { "aria-label": "Statement of" }, [
    element("option", { value: "" }, "the whole ledger"),
    ...months.map((one) => element("option", { value: one }, month(one))),
  ]);
  const addressAs = (form) => () =>
    `/statements/${encodeURIComponent(key)}.${form}${chooser.value && `?month=${chooser.value}`}`;
  const program = element("a", { href: "/statements/verify_statement.py", download: true }, "verify_statement.py");
  return element(
    "div",
    { class: "faint statement" },
    "Statement of ",
    chooser,
    " ",
    download("Download (CSV)", addressAs("csv")),
    " ",
    download("Download (JSON lines)", addressAs("jsonl")),
    " It proves itself: run ",
    program,
    " on it.",
  );
}
