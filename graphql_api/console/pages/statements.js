// Statements: links by which a wallet's ledger, or a month of it, is downloaded as a file that proves itself.

import { element } from "/console/elements.js";
import { month } from "/console/formats.js";
import { within } from "/console/graphql.js";
import { dayIn, monthAfter } from "/console/months.js";

const CHOICE = 24;

/** The links for the wallet of this key. Months are those of the tenant's time zone. */
export function statementLinks(key, { timeZone }) {
  const present = dayIn(Date.now(), timeZone).slice(0, 7);
  const months = Array.from({ length: CHOICE }, (_, at) => monthAfter(present, -at));
  const options = [
    element("option", { value: "" }, "the whole ledger"),
    ...months.map((one) => element("option", { value: one }, month(one))),
  ];
  const links = [
    ["csv", "CSV"],
    ["jsonl", "JSON lines"],
  ].map(([form, name]) =>
    element("a", { download: true, "data-form": form, "aria-label": `Statement as ${name}` }, name),
  );
  const choose = () => {
    const period = chooser.value ? `?month=${chooser.value}` : "";
    for (const link of links) {
      link.href = within(`/statements/${encodeURIComponent(key)}.${link.dataset.form}${period}`);
    }
  };
  const chooser = element("select", { "aria-label": "Statement of", onchange: choose }, options);
  choose();
  const program = element("a", { href: "/statements/verify_statement.py", download: true }, "verify_statement.py");
  return element(
    "p",
    { class: "faint statement" },
    "Download a statement of ",
    chooser,
    " as ",
    links[0],
    " or ",
    links[1],
    ". It proves itself: run ",
    program,
    " on it.",
  );
}
