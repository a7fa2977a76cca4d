// Expenses of a campaign: entering one, and their list with what can be done to each.

import { theirs } from "/console/campaign_parts.js";
import { announce, element } from "/console/elements.js";
import { dayOf } from "/console/filters.js";
import { amount, day, money, words } from "/console/formats.js";
import { DECIMAL, form } from "/console/forms.js";
import { ask, change } from "/console/graphql.js";
import { empty, opener, pagedTable, table, tag, when } from "/console/parts.js";

const FACTS = "kind money { amount currency } hours hourlyRate incurredOn description";
/** What is asked of a page of expenses. */
export const EXPENSES = `edges { node { id ${FACTS} reference version } } pageInfo { hasNextPage endCursor }`;
const MORE = `query Expenses($campaign: String!, $from: Date, $to: Date, $after: String) {
  expenses(campaign: $campaign, from: $from, to: $to, first: 20, after: $after) { ${EXPENSES} }
}`;
const DELETED = `query DeletedExpenses($campaign: String!, $after: String) {
  expenses(campaign: $campaign, deleted: true, first: 20, after: $after) {
    edges { node { id ${FACTS} reference deletedAt } } pageInfo { hasNextPage endCursor }
  }
}`;
const HISTORY = `query ExpenseHistory($id: ID!) {
  node(id: $id) { ... on Expense { history { version change ${FACTS} actor changedAt } } }
}`;
const ADD = `mutation AddExpense($input: AddExpenseInput!) {
  addExpense(input: $input) { __typename ... on Refusal { code message } }
}`;
const CHANGE = `mutation ChangeExpense($input: ChangeExpenseInput!) {
  changeExpense(input: $input) { __typename ... on Refusal { code message } }
}`;
const DELETE = `mutation DeleteExpense($input: DeleteExpenseInput!) {
  deleteExpense(input: $input) { __typename ... on Refusal { code message } }
}`;
const KINDS = {
  ADWORDS: "Adwords",
  META_ADS: "Meta ads",
  LINKEDIN_ADS: "LinkedIn ads",
  OTHER_ADS: "Other ads",
  AGENCY: "Agency",
  LABOR: "Labor",
  SOFTWARE: "Software",
  CONTENT: "Content",
  EVENT: "Event",
  OTHER: "Other",
};

/** The form that enters an expense of a campaign. `currency`: the one that is offered. `done`: afterwards. */
export function addingExpense(campaign, currency, done) {
  const made = expenseForm({ currency, incurredOn: dayOf(new Date()) }, "Add expense", {
    inline: true,
    send: (entry, idempotencyKey) => change(ADD, { idempotencyKey, campaign, ...entry }),
    done: async () => {
      made.reset();
      announce("The expense is entered.");
      await done();
    },
  });
  return made;
}

/** Labor asks for hours and what one costs, every other kind for an amount. */
function expenseForm({ kind, currency, amount: given, hours, hourlyRate, incurredOn, description }, submit, sending) {
  const made = form({
    ...sending,
    submit,
    send: ({ amount: sum, hours: worked, hourlyRate: rate, currency: code, ...others }, key) =>
      sending.send(
        {
          ...others,
          currency: code.toUpperCase(),
          ...(others.kind === "LABOR" ? { hours: worked, hourlyRate: rate } : { amount: sum }),
        },
        key,
      ),
    fields: [
      { name: "kind", label: "Kind", options: Object.entries(KINDS), value: kind },
      { name: "amount", label: "Amount", value: given, size: 10, ...DECIMAL },
      { name: "hours", label: "Hours", value: hours, size: 6, ...DECIMAL },
      { name: "hourlyRate", label: "Per hour", value: hourlyRate, size: 8, ...DECIMAL },
      { name: "currency", label: "Currency", value: currency, required: true, size: 4, ...CURRENCY },
      { name: "incurredOn", label: "Day", type: "date", value: incurredOn, required: true },
      { name: "description", label: "What for", value: description, maxlength: 1000 },
    ],
  });
  const controls = made.elements;
  const fit = () => {
    const labor = controls.kind.value === "LABOR";
    for (const [control, asked] of [
      [controls.amount, !labor],
      [controls.hours, labor],
      [controls.hourlyRate, labor],
    ]) {
      control.closest(".field").hidden = !asked;
      control.disabled = !asked;
      control.required = asked;
    }
  };
  controls.kind.addEventListener("change", fit);
  made.addEventListener("reset", () => queueMicrotask(fit));
  fit();
  return made;
}

const CURRENCY = { minlength: 3, maxlength: 3, pattern: "[A-Za-z]{3}", title: "A code such as EUR" };

/** The list of what was entered. `may`: whether the viewer may change it. */
export function expenseList({ campaign, expenses, days }, may, { refresh }) {
  const columns = [...WHAT, { title: "", cell: (expense) => deeds(expense, campaign, may, refresh) }];
  const more = async (after) => (await ask(MORE, { campaign, ...days, after })).expenses;
  return pagedTable({
    caption: "Expenses",
    stacked: true,
    columns,
    connection: expenses,
    more,
    empty: may
      ? "Nothing was entered yet: enter what was paid for the campaign, and who works on it."
      : "Nothing was entered yet.",
  });
}

/** A button that shows what was deleted. */
export function deletedExpenses(campaign) {
  const ended = { title: "Deleted", cell: ({ deletedAt }) => when(deletedAt) };
  const columns = [...WHAT, ended, { title: "", cell: history }];
  const page = async (after) => (await ask(DELETED, { campaign, after })).expenses;
  return opener("Deleted expenses", "Deleted expenses", async () =>
    pagedTable({
      caption: "Deleted expenses",
      columns,
      connection: await page(),
      more: page,
      empty: "Nothing was deleted.",
    }),
  );
}

const WHAT = [
  { title: "Day", cell: ({ incurredOn }) => day(incurredOn) },
  {
    title: "What for",
    main: true,
    cell: ({ kind, description, reference }) => [
      KINDS[kind],
      description && element("div", { class: "said" }, theirs(description)),
      reference && element("div", { class: "faint" }, "Imported as ", theirs(reference)),
    ],
  },
  { title: "Amount", number: true, cell: sum },
];

function sum({ money: { amount: total, currency }, hours, hourlyRate }) {
  const labor = hours && element("div", { class: "faint" }, `${amount(hours)} h × ${money(hourlyRate, currency)}`);
  return [money(total, currency), labor];
}

function deeds(expense, campaign, may, refresh) {
  const about = `${KINDS[expense.kind]} of ${day(expense.incurredOn)}`;
  const done = (close, text) => async () => {
    close();
    announce(text);
    await refresh();
  };
  const {
    id,
    money: { amount: given, currency },
    ...others
  } = expense;
  const edit = (close) =>
    expenseForm({ ...others, currency, amount: given }, "Save", {
      send: (entry, idempotencyKey) => change(CHANGE, { idempotencyKey, id, campaign, ...entry }),
      done: done(close, "The expense is changed."),
    });
  const remove = (close) => [
    element("p", {}, `${about}, ${money(given, currency)}, goes out of all sums. Its history stays.`),
    form({
      fields: [{ name: "reason", label: "Why", maxlength: 1000, help: "For the audit log. It may stay empty." }],
      submit: "Delete",
      send: ({ reason }, idempotencyKey) => change(DELETE, { idempotencyKey, id, reason }),
      done: done(close, "The expense is deleted."),
    }),
  ];
  const plain = (verb) => ({ class: "plain", "aria-label": `${verb} ${about}` });
  return element(
    "div",
    { class: "deeds" },
    expense.version > 1 && tag("changed"),
    may && opener("Edit", "Edit the expense", edit, plain("Edit")),
    may && opener("Delete", "Delete the expense", remove, plain("Delete")),
    history(expense),
  );
}

function history({ id, kind, incurredOn }) {
  const label = `History of ${KINDS[kind]} of ${day(incurredOn)}`;
  return opener(
    "History",
    "History of the expense",
    async () => {
      const { node } = await ask(HISTORY, { id });
      return node ? table({ caption: label, columns: VERSIONS, rows: node.history }) : empty("It is there no more.");
    },
    { class: "plain", "aria-label": label },
  );
}

const VERSIONS = [
  { title: "When", cell: ({ changedAt }) => when(changedAt) },
  { title: "Change", cell: ({ version, change: how }) => `${version}. ${words(how)}` },
  { title: "By", cell: ({ actor }) => theirs(actor) },
  ...WHAT,
];
