// Expenses from a CSV file: first what would become of each row, and only then the booking.

import { announce, element, fill } from "/console/elements.js";
import { count, money, words } from "/console/formats.js";
import { form } from "/console/forms.js";
import { Failure, tenantLookedAt } from "/console/graphql.js";
import { action, figures, opener, table, tag } from "/console/parts.js";

// Of a file of any size, so many rows are shown; what is wrong comes first.
const MOST_SHOWN = 200;

/** A button that opens the import. `refresh`: after something was booked. */
export function importing(refresh) {
  return opener("Import expenses", "Import expenses from a file", () => importer(refresh));
}

function importer(refresh) {
  const place = element("div", { "aria-live": "polite" });
  const chosen = () => made.elements.file.files[0];
  const made = form({
    fields: [
      {
        name: "file",
        label: "CSV file",
        type: "file",
        accept: ".csv,text/csv",
        required: true,
        help: "Its first line names the columns: campaign, kind, amount, currency, hours, hourlyRate, incurredOn, description, reference.",
      },
      {
        name: "decimal",
        label: "Decimal sign",
        options: [
          ["point", "Point: 1234.56"],
          ["comma", "Comma: 1234,56"],
        ],
      },
      {
        name: "charset",
        label: "Letters",
        options: [
          ["utf-8", "UTF-8"],
          ["cp1252", "Windows (cp1252)"],
        ],
      },
    ],
    submit: "Check the file",
    send: ({ decimal, charset }) => send(chosen(), { decimal, charset }),
    done: ({ report, rows }, { decimal, charset }) =>
      fill(place, verdict(report, rows, book({ decimal, charset }, report))),
  });
  made.addEventListener("change", () => fill(place));
  const book =
    (settings, { rejections }) =>
    async () => {
      const onError = rejections ? { onError: "skip" } : {};
      const { report, rows } = await send(chosen(), { ...settings, ...onError, dryRun: "false" });
      fill(place, verdict(report, rows, null));
      if (!report.written) return;
      announce(`${count(report.accepted)} expenses are booked.`);
      await refresh();
    };
  return [
    element(
      "p",
      {},
      "Nothing is booked before you have seen what becomes of each row. A file that is sent again books nothing twice.",
    ),
    made,
    place,
  ];
}

function verdict(report, rows, book) {
  const { written, accepted, duplicates, rejections, blank, totals } = report;
  const sums = totals.map(({ amount, currency }) => money(amount, currency)).join(", ");
  const booking = rejections
    ? `Book the ${count(accepted)} accepted rows, leave the others out`
    : `Book ${count(accepted)} expenses`;
  return [
    element("h3", {}, written ? "Booked" : "What would become of it"),
    figures(
      [written ? "Booked" : "Accepted", count(accepted), sums],
      ["Booked before", count(duplicates)],
      ["Rejected", count(rejections)],
      blank > 0 && ["Blank", count(blank)],
    ),
    book && accepted > 0 && action(booking, book, { quiet: false }),
    table({ caption: "Rows of the file", columns: ROWS, rows, empty: "The file has no rows." }),
    accepted + duplicates + rejections + blank > rows.length &&
      element("p", { class: "faint" }, `The first ${rows.length} rows are shown, those with something wrong first.`),
  ];
}

const TONES = { accepted: "fine", rejected: "full" };
const ROWS = [
  { title: "Line", main: true, cell: ({ line, lastLine }) => (lastLine ? `${line} to ${lastLine}` : line) },
  { title: "Verdict", cell: ({ verdict: code }) => tag(words(code), TONES[code]) },
  {
    title: "Why",
    cell: ({ problems = [] }) => problems.map(({ column, message }) => element("div", {}, `${column} ${message}`)),
  },
];

/** Have a file judged, or booked: what became of it in all, and of its first rows. Throws Failure. */
async function send(file, parameters) {
  const headers = { "content-type": "text/csv" };
  const tenant = tenantLookedAt();
  if (tenant) headers["purser-tenant"] = tenant;
  let response;
  try {
    response = await fetch(`/expenses?${new URLSearchParams(parameters)}`, { method: "POST", headers, body: file });
  } catch {
    throw new Failure(
      "UNREACHABLE",
      "The file did not arrive. Check the connection, then try again: nothing is booked twice.",
    );
  }
  if (response.headers.get("content-type")?.startsWith("application/x-ndjson")) return read(response);
  const answer = await response.json().catch(() => null);
  const error = answer?.errors?.[0];
  throw new Failure(
    error?.extensions?.code ?? "INTERNAL",
    error?.message ?? `The server answered with status ${response.status}.`,
  );
}

/** Of an answer of any length, its first line and as many of the others as are shown. */
async function read(response) {
  const wrong = [];
  const others = [];
  let report = null;
  const take = (line) => {
    const row = JSON.parse(line);
    if (!report) report = row;
    else if (row.verdict === "rejected" && wrong.length < MOST_SHOWN) wrong.push(row);
    else if (row.verdict !== "rejected" && others.length < MOST_SHOWN) others.push(row);
  };
  let rest = "";
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
    const lines = (rest + piece.value).split("\n");
    rest = lines.pop();
    lines.forEach(take);
  }
  return { report, rows: [...wrong, ...others].slice(0, MOST_SHOWN) };
}
