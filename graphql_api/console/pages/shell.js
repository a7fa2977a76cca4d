// The shell around every page: who looks at whose accounts, the way to the other pages, and what cannot wait.

import { announce, element, fill, fillAnew } from "/console/elements.js";
import { count, percent, usd, words } from "/console/formats.js";
import { ask, Failure, reached, tenantLookedAt, within } from "/console/graphql.js";
import { follow, isLive, on } from "/console/live.js";
import { action } from "/console/parts.js";
import { drawnFor, mayChange, sessionEnded } from "/console/session.js";

const MOST = 20;
const VIEWER = "viewer { role actor tenant { slug name plan { name } } }";
const SHELL = `query Shell {
  ${VIEWER}
  pauses(first: ${MOST}) { scope scopeId name pauseReason }
  budgets(atOrAbovePercent: 80, first: ${MOST}) { scope scopeId name cap spent usedPercent paused }
  wallets(statuses: [WARNING, EXHAUSTED]) { key usedPercent status }
}`;
const OPERATORS_SHELL = `query Shell { ${VIEWER} }`;
const NEWS = "subscription News { alertRaised { id message } }";
const YOUNG = 20_000;

const TENANT_PAGES = [
  ["/", "Usage"],
  ["/costs", "Costs"],
  ["/campaigns", "Campaigns"],
  ["/accounts", "Accounts"],
  ["/plan", "Plan"],
  ["/alerts", "Alerts"],
  ["/settings", "Settings"],
  ["/audit-log", "Audit log"],
];
const OPERATOR_PAGES = [
  ["/operator/tenants", "Tenants"],
  ["/operator/margins", "Margins"],
  ["/operator/rate-cards", "Rate cards"],
  ["/operator/prices", "Prices"],
  ["/operator/jobs", "Jobs"],
];

let known = { whose: null, at: 0, coming: null };
let stopFollowing = null;
let followed = null;
let drawn = null;

/** Who looks, at whose accounts, and what cannot wait: asked once, and again when it is old or `anew`. */
export function loadShell({ anew = false } = {}) {
  const whose = isOperating() ? "" : `tenant ${tenantLookedAt()}`;
  if (anew || known.whose !== whose || Math.abs(Date.now() - known.at) > YOUNG) {
    const coming = isOperating() ? ask(OPERATORS_SHELL, {}, { tenant: null }) : ask(SHELL);
    known = { whose, at: Date.now(), coming };
    coming.catch(() => {
      known.whose = null;
    });
  }
  return known.coming;
}

/** Draw it. `refresh`: loads and draws the page anew. */
export function drawShell(shell, { refresh }) {
  const { viewer } = shell;
  drawnFor(viewer);
  document.body.classList.add("signed-in");
  const now = JSON.stringify([viewer, isOperating(), tenantLookedAt()]);
  if (drawn !== now) {
    drawn = now;
    fill(document.getElementById("top"), menuButton(), brand(), whose(viewer), account(viewer));
    drawMenu(viewer);
    markPlace();
    drawState();
  }
  drawNotices(shell);
  followNews(viewer, refresh);
}

/** Say what cannot wait as it stands now: not every pause is told of by an alert at once. */
export async function redrawNotices() {
  if (isOperating()) return;
  try {
    drawNotices(await loadShell());
  } catch {
    // The page itself tells when nothing can be asked.
  }
}

function drawNotices(shell) {
  fillAnew(document.getElementById("banners"), isOperating() ? null : notices(shell));
}

/** Take it away, where nobody is signed in. */
export function hideShell() {
  known.whose = null;
  drawn = null;
  stopNews();
  document.body.classList.remove("signed-in");
  for (const id of ["top", "menu", "banners"]) fill(document.getElementById(id));
  document.getElementById("menu").hidden = true;
}

function isOperating() {
  return location.pathname.startsWith("/operator/");
}

function brand() {
  return element("a", { class: "brand", href: within("/") }, "Purser");
}

function menuButton() {
  const menu = document.getElementById("menu");
  const button = element(
    "button",
    { type: "button", class: "menu quiet", "aria-controls": "menu", "aria-expanded": "false" },
    "Menu",
  );
  button.addEventListener("click", () => button.setAttribute("aria-expanded", menu.classList.toggle("open")));
  return button;
}

/** Mark the page of the address in the menu, which closes where it is one that opens. */
export function markPlace() {
  closeMenu();
  for (const link of document.querySelectorAll("#menu a")) {
    const { pathname } = link;
    const here = pathname === location.pathname || (pathname !== "/" && location.pathname.startsWith(`${pathname}/`));
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function closeMenu() {
  document.getElementById("menu").classList.remove("open");
  document.querySelector("#top .menu")?.setAttribute("aria-expanded", "false");
}

document.addEventListener("keydown", ({ key }) => {
  if (key !== "Escape" || !document.querySelector("#menu.open")) return;
  closeMenu();
  document.querySelector("#top .menu").focus();
});

function whose({ role, tenant }) {
  if (!tenant || (role === "OPERATOR" && isOperating())) return element("span", { class: "whose" }, "All tenants");
  const plan = element("small", {}, tenant.plan.name);
  return element("span", { class: "whose" }, tenant.name, " ", plan, role === "OPERATOR" && leaveTenant());
}

function leaveTenant() {
  return element("a", { href: `/operator/tenants/${encodeURIComponent(tenantLookedAt())}` }, "Back to the tenant");
}

function account({ role, actor }) {
  const leave = async () => {
    const answer = await reached("/sign-out", { method: "POST" }).catch(() => null);
    if (!answer?.ok) throw new Failure("UNREACHABLE", "You are still signed in: the server did not answer. Try again.");
    sessionEnded();
  };
  const state = element("span", { class: "live" });
  const who = element("span", { class: "who", title: actor }, words(role));
  return element("span", { class: "account" }, state, who, action("Sign out", leave));
}

function drawState() {
  const state = document.querySelector("#top .live");
  if (!state) return;
  // Operators' own pages follow nothing.
  state.hidden = isOperating();
  state.classList.toggle("on", isLive());
  state.textContent = isLive() ? "Live" : "Not live";
  state.title = isLive() ? "Figures move by themselves." : "Figures are asked for anew every minute or so.";
}

on("changed", drawState);

function drawMenu({ role, tenant }) {
  const item = ([path, title]) => {
    const href = path.startsWith("/operator/") ? path : within(path);
    return element("li", {}, element("a", { href }, title));
  };
  const group = (title, pages) => [element("h2", {}, title), element("ul", {}, pages.map(item))];
  const everything =
    role === "OPERATOR" && element("ul", {}, element("li", {}, element("a", { href: "/admin/" }, "All tables")));
  const menu = document.getElementById("menu");
  fill(
    menu,
    tenant && !(role === "OPERATOR" && isOperating()) && group(tenant.name, TENANT_PAGES),
    role === "OPERATOR" && [group("Operator", OPERATOR_PAGES), everything],
  );
  menu.hidden = false;
}

/** What stands above every page: first what is paused, then what will be, each with the way out. */
function notices({ viewer, pauses, budgets, wallets }) {
  const may = mayChange(viewer);
  const dry = wallets.filter(({ status }) => status === "EXHAUSTED");
  const low = wallets.filter(({ status }) => status === "WARNING");
  const near = budgets.filter(({ paused }) => !paused);
  return [
    banner("full", "Paused", [
      ...pauses.map((pause) => [pausedText(pause), wayOut(pause, may)]),
      ...(pauses.length === MOST ? [[`these are the first ${MOST}`, "There may be more."]] : []),
      ...dry.map((wallet) => [`nothing is left of ${left(wallet)}`, refill(wallet, may)]),
    ]),
    banner("near", "Nearly used up", [
      ...near.map((budget) => [named(budget), caps(may)]),
      ...(budgets.length === MOST ? [[`these are of the ${MOST} of which most is used`, "There may be more."]] : []),
      ...low.map((wallet) => [left(wallet), refill(wallet, may)]),
    ]),
  ];
}

const BOUGHT = ["credits", "metered"];
const REASONS = {
  budget_exceeded: "its budget is used up",
  monthly_budget_exceeded: "its budget of this month is used up",
  tenant_monthly_budget_exceeded: "the budget of this month is used up",
  metered_empty: "the prepaid balance was used up",
};

function pausedText({ scope, scopeId, name, pauseReason }) {
  const who = scope === "TENANT" ? "all work" : `${words(scope).toLowerCase()} ${name ?? scopeId}`;
  return `${who}: ${REASONS[pauseReason] ?? words(pauseReason ?? "by hand").toLowerCase()}`;
}

function wayOut({ scope, scopeId, pauseReason }, may) {
  if (pauseReason?.includes("budget")) return caps(may);
  if (!may) return "An administrator can resume it.";
  if (pauseReason === "metered_empty") return link("/#top-up", "Top up, then activate it");
  if (scope === "CAMPAIGN") return link(`/campaigns/${encodeURIComponent(scopeId)}`, "Resume it");
  if (scope === "AGENT") return link("/settings#agents", "Resume it");
  return "Ask who runs Purser to resume it.";
}

const caps = (may) => (may ? link("/settings#caps", "Raise the cap") : "An administrator can raise the cap.");
const left = ({ key, usedPercent }) => `${words(key).toLowerCase()} (${percent(usedPercent)} used)`;

/** Credits and prepaid balance can be bought; a bucket is as large as the plan makes it. */
function refill({ key }, may) {
  if (!BOUGHT.includes(key)) return link("/plan", "See the plans");
  return may ? link("/#top-up", "Top up") : "An administrator can top up.";
}

function named({ scope, scopeId, name, spent, cap, usedPercent }) {
  const who = scope === "TENANT" ? "the month" : `${words(scope).toLowerCase()} ${name ?? scopeId}`;
  return `${who} at ${percent(usedPercent)} (${usd(spent)} of ${usd(cap)})`;
}

const opened = new Map();

/** Several lines would take half of a phone's screen: there they stand folded, until the reader opens them. */
function banner(tone, title, items) {
  if (!items.length) return null;
  const lines = items.map(([text, out]) => element("li", {}, text, ". ", out));
  const open = opened.get(tone) ?? (items.length === 1 || !matchMedia("(max-width: 40rem)").matches);
  const heading = element("summary", {}, `${title} (${count(items.length)})`);
  const made = element("details", { class: ["banner", tone], open }, heading, element("ul", {}, lines));
  heading.addEventListener("click", () => opened.set(tone, !made.open));
  return made;
}

function link(path, text) {
  return element("a", { href: within(path) }, text);
}

function followNews({ tenant }, refresh) {
  if (isOperating() || !tenant) return stopNews();
  if (followed === tenant.slug) return;
  stopNews();
  followed = tenant.slug;
  stopFollowing = follow(NEWS, {}, ({ alertRaised }) => {
    announce(alertRaised.message);
    refresh();
  });
}

function stopNews() {
  stopFollowing?.();
  stopFollowing = null;
  followed = null;
}
