// Parts that several pages are put together from: cards, tables, bars, buttons, dialogs.

import { announce, element, fill, uniqueId } from "/console/elements.js";
import { exactMoment, moment, percent as percentText, words } from "/console/formats.js";
import { Failure, newKey, Refusal } from "/console/graphql.js";

/** A titled region of a page. `actions`: what stands beside the title. */
export function card(title, { actions = [], wide = false } = {}, ...children) {
  const id = uniqueId("card");
  return element(
    "section",
    { class: ["card", wide && "wide"], "aria-labelledby": id },
    element("header", {}, element("h2", { id }, title), actions),
    children,
  );
}

/** Named figures: `[name, value, detail?]` each. */
export function figures(...entries) {
  return element(
    "dl",
    { class: "figures" },
    entries
      .filter(Boolean)
      .map(([name, value, detail]) =>
        element(
          "div",
          {},
          element("dt", {}, name),
          element("dd", {}, value),
          detail && element("dd", { class: "detail" }, detail),
        ),
      ),
  );
}

/** A share as a bar: violet, amber from 80 %, red from 100 %. `percent` null: there is no limit to fill. */
export function bar(percent, label) {
  const level = percent >= 100 ? "full" : percent >= 80 ? "near" : "fine";
  const filled = element("span", { class: ["filled", level] });
  filled.style.width = `${Math.min(100, Math.max(0, percent ?? 0))}%`;
  const spoken = { role: "meter", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 100 };
  const value = {
    "aria-valuenow": Math.min(100, Math.max(0, Math.round(percent ?? 0))),
    "aria-valuetext": percentText(percent),
  };
  return element("div", { class: "bar", ...spoken, ...value }, filled);
}

/** A state in a word. `tone`: fine, near, full or quiet. */
export function tag(text, tone = "quiet") {
  return element("span", { class: ["tag", tone] }, text);
}

/** A status of the API in words, with the tone that it calls for. */
export function status(code) {
  return tag(words(code), TONES[code] ?? "quiet");
}

const TONES = {
  OK: "fine",
  ACTIVE: "fine",
  CREDITED: "fine",
  SUCCEEDED: "fine",
  WARNING: "near",
  LOW: "near",
  PENDING: "near",
  OPEN: "near",
  PAUSED: "full",
  EXHAUSTED: "full",
  SUSPENDED: "full",
  FAILED: "full",
  INACTIVE: "full",
  CLOSED: "full",
};

/** A moment on one line, with its time zone for who points at it. Null: never. */
export function when(text, never = "–") {
  return text ? element("time", { datetime: text, title: exactMoment(text) }, moment(text)) : never;
}

/** What stands where there is nothing to show, and what to do about it. */
export function empty(text, ...more) {
  return element("div", { class: "empty" }, element("p", {}, text), more);
}

/**
 * A table. `columns`: `{ title, cell: (row) => node or text, number: right-aligned, main: names its row }`.
 * `empty`: what is said where there are no rows.
 */
export function table({ caption, columns, rows, empty: nothing = "Nothing yet." }) {
  if (!rows.length) return empty(nothing);
  const body = element("tbody", {}, rowsOf(columns, rows));
  return scrolled(caption, columns, body);
}

/**
 * The table of a connection: its page's edges, and a button that asks for the next page. `more`: asks for the page after
 * a cursor and resolves to a connection. `stacked`: on a phone, each row stands as a list of its cells.
 */
export function pagedTable({ caption, columns, connection, more, empty: nothing = "Nothing yet.", stacked = false }) {
  if (!connection.edges.length) return empty(nothing);
  const nodes = (page) => page.edges.map(({ node }) => node);
  const body = element("tbody", {}, rowsOf(columns, nodes(connection)));
  let { hasNextPage, endCursor } = connection.pageInfo;
  const button = element("button", { type: "button", class: "quiet", onclick: show }, "Show more");
  const problem = element("p", { class: "problem", role: "alert" });
  async function show() {
    await busy(button, problem, async () => {
      const page = await more(endCursor);
      ({ hasNextPage, endCursor } = page.pageInfo);
      const added = rowsOf(columns, nodes(page));
      body.append(...added);
      announce(added.length === 1 ? "One more row" : `${added.length} more rows`);
      if (hasNextPage) return;
      if (document.activeElement === document.body) shown.focus({ preventScroll: true });
      button.remove();
    });
  }
  const shown = scrolled(caption, columns, body);
  return element("div", { class: stacked && "stacked" }, shown, problem, hasNextPage && button);
}

function scrolled(caption, columns, body) {
  const heads = columns.map(({ title, number }) =>
    title ? element("th", { scope: "col", class: number && "number" }, title) : element("td"),
  );
  const head = element("thead", {}, element("tr", {}, heads));
  const made = element("table", {}, element("caption", { class: "unseen" }, caption), head, body);
  return element("div", { class: "scrolled", tabindex: 0, role: "group", "aria-label": caption }, made);
}

function rowsOf(columns, rows) {
  return rows.map((row) =>
    element(
      "tr",
      {},
      columns.map(({ title, cell, number, main }) =>
        element(
          main ? "th" : "td",
          { class: number && "number", scope: main && "row", "data-title": title },
          cell(row),
        ),
      ),
    ),
  );
}

/**
 * A button that does something at the server; what goes wrong is said beside it. `act(key)`: `key` is the idempotency key,
 * the same until it is done. `sure`: what it brings about that cannot be taken back, asked before it is done.
 */
export function action(label, act, { sure = null, prominent = false, danger = false } = {}) {
  const problem = element("span", { class: "problem", role: "alert" });
  const button = element(
    "button",
    { type: "button", class: [!prominent && "quiet", (sure || danger) && "danger"] },
    label,
  );
  let key = newKey();
  const once = async () => {
    await act(key);
    key = newKey();
  };
  button.addEventListener("click", () => (sure ? askFirst(label, sure, once) : busy(button, problem, once)));
  return element("span", { class: "action" }, button, problem);
}

function askFirst(label, sure, act) {
  const close = dialog(
    `${label}?`,
    element("p", {}, sure),
    action(
      label,
      async () => {
        await act();
        close();
      },
      { prominent: true, danger: true },
    ),
  );
}

/** A dialog over the page, open; it goes with Escape, and the focus goes back to where it was. Returns what closes it. */
export function dialog(title, ...children) {
  const id = uniqueId("dialog");
  const close = () => made.close();
  const closing = element("button", { type: "button", class: "quiet", onclick: close, "aria-label": "Close" }, "✕");
  const head = element("header", {}, element("h2", { id }, title), closing);
  const said = element("div", { class: "said-here unseen", "aria-live": "polite" });
  const made = element("dialog", { "aria-labelledby": id }, head, element("div", { class: "body" }, children), said);
  made.addEventListener("close", () => made.remove());
  document.body.append(made);
  made.showModal();
  return close;
}

/** A button that opens a dialog. `content(close)` makes what stands in it, and may take its time. */
export function opener(label, title, content, attributes = { class: "quiet" }) {
  async function open() {
    const place = element("div", {}, loading());
    const close = dialog(title, place);
    try {
      fill(place, await content(close));
      place.querySelector("input, select")?.focus();
    } catch (error) {
      fill(place, problemOf(error));
    }
  }
  return element("button", { type: "button", onclick: open, ...attributes }, label);
}

/** Show a secret, which nobody can show again, in a dialog with a button that copies it. */
export function shownOnce(title, secret) {
  const text = element("code", { class: "secret" }, secret);
  const copy = async () => {
    await navigator.clipboard.writeText(secret);
    announce("Copied.");
  };
  const note = "Keep it now: it is not shown again.";
  dialog(
    title,
    element("p", {}, note),
    element("p", {}, text),
    // Browsers offer it over https and on one's own machine alone; elsewhere it is selected and copied by hand.
    navigator.clipboard && element("button", { type: "button", onclick: copy }, "Copy"),
  );
}

/** What stands while an answer is on its way. */
export function loading() {
  return element("p", { class: "loading" }, "Loading…");
}

/** What stands in place of what could not be had, with a way on. */
export function problemOf(error, again = null) {
  const refused = error instanceof Refusal || ["FORBIDDEN", "TENANT_REQUIRED"].includes(error.code);
  return element(
    "div",
    { class: ["failed", refused && "refused"], role: "alert" },
    element("h2", {}, refused ? "This is not for you to see or do" : "This could not be loaded"),
    element("p", {}, said(error)),
    again && element("button", { type: "button", onclick: again }, "Try again"),
  );
}

/** Do something with a button that waits meanwhile; say what went wrong in `problem`. */
export async function busy(button, problem, act) {
  if (button.disabled) return;
  const hadFocus = document.activeElement === button;
  button.disabled = true;
  problem.textContent = "";
  try {
    await act();
  } catch (error) {
    problem.textContent = said(error);
  } finally {
    button.disabled = false;
    // A button loses the focus while it waits.
    if (hadFocus && document.activeElement === document.body) button.focus({ preventScroll: true });
  }
}

function said(error) {
  if (error instanceof Refusal || error instanceof Failure) return error.message;
  console.error(error);
  return "The console made a mistake. Reload the page; if it stays, tell who runs Purser.";
}
