// The shell around every page: who looks at whose accounts, the way to the other pages, and what cannot wait.

import { announce, element, fill } from "/console/elements.js";
import { percent, usd, words } from "/console/formats.js";
import { ask, tenantLookedAt, within } from "/console/graphql.js";
import { follow, isLive, on } from "/console/live.js";

const VIEWER = "viewer { role actor tenant { slug name status plan { name } } }";
const SHELL = `query Shell {
  ${VIEWER}
  budgets(atOrAbovePercent: 80, first: 20) { scope scopeId name cap spent usedPercent paused pauseReason }
  wallets { key usedPercent status }
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

/** Who looks, at whose accounts, and what cannot wait: asked once, and again when it is old or `anew`. */
export function loadShell({ anew = false } = {}) {
  const whose = isOperating() ? "" : `tenant ${tenantLookedAt()}`;
  if (anew || known.whose !== whose || Date.now() - known.at > YOUNG) {
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
  document.body.classList.add("signed-in");
  fill(document.getElementById("top"), menuButton(), brand(), whose(viewer), account(viewer));
  drawMenu(viewer);
  fill(document.getElementById("banners"), isOperating() ? null : notices(shell));
  followNews(viewer, refresh);
}

/** Take it away, where nobody is signed in. */
export function hideShell() {
  known.whose = null;
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
  menu.classList.remove("open");
  button.addEventListener("click", () => button.setAttribute("aria-expanded", menu.classList.toggle("open")));
  return button;
}

function whose({ role, tenant }) {
  if (isOperating() || !tenant) return element("span", { class: "whose" }, "All tenants");
  const plan = element("small", {}, tenant.plan.name);
  return element("span", { class: "whose" }, tenant.name, " ", plan, role === "OPERATOR" && leaveTenant());
}

function leaveTenant() {
  return element("a", { href: `/operator/tenants/${encodeURIComponent(tenantLookedAt())}` }, "Back to the tenant");
}

function account({ role, actor }) {
  const leave = async () => {
    await fetch("/sign-out", { method: "POST", headers: { "content-type": "application/json" }, body: "{}" });
    location.assign("/sign-in");
  };
  const state = element("span", { class: "live", title: "Figures move by themselves while the connection stands." });
  const draw = () => {
    state.classList.toggle("on", isLive());
    state.textContent = isLive() ? "Live" : "Not live";
  };
  on("changed", draw);
  draw();
  const who = element("span", { class: "who", title: actor }, words(role));
  return element(
    "span",
    { class: "account" },
    state,
    who,
    element("button", { type: "button", class: "quiet", onclick: leave }, "Sign out"),
  );
}

function drawMenu({ role, tenant }) {
  const item = ([path, title]) => {
    const here = path === location.pathname || (path !== "/" && location.pathname.startsWith(`${path}/`));
    const href = path.startsWith("/operator/") ? path : within(path);
    return element("li", {}, element("a", { href, "aria-current": here && "page" }, title));
  };
  const group = (title, pages) => [element("h2", {}, title), element("ul", {}, pages.map(item))];
  const everything =
    role === "OPERATOR" && element("ul", {}, element("li", {}, element("a", { href: "/admin/" }, "All tables")));
  const menu = document.getElementById("menu");
  fill(
    menu,
    tenant && !isOperating() && group(tenant.name, TENANT_PAGES),
    role === "OPERATOR" && [group("Operator", OPERATOR_PAGES), everything],
  );
  menu.hidden = false;
}

/** What stands above every page: first what is paused, then what will be. */
function notices({ viewer, budgets, wallets }) {
  const { role, tenant } = viewer;
  const mayChange = role === "ADMIN" || role === "OPERATOR";
  const paused = budgets.filter((budget) => budget.paused);
  const near = budgets.filter((budget) => !budget.paused);
  const dry = wallets.filter(({ status }) => status === "EXHAUSTED");
  const low = wallets.filter(({ status }) => status === "WARNING");
  return [
    tenant.status !== "ACTIVE" &&
      banner(
        "full",
        `${tenant.name} is ${words(tenant.status).toLowerCase()}: no call is admitted.`,
        "Ask who runs Purser to resume it.",
      ),
    paused.length > 0 &&
      banner(
        "full",
        `Paused: ${paused.map(named).join(", ")}.`,
        mayChange ? link("/settings#caps", "Raise the cap") : "An administrator can raise the cap.",
      ),
    dry.length > 0 &&
      banner(
        "full",
        `Nothing is left in ${dry.map(({ key }) => key).join(", ")}.`,
        mayChange ? link("/#top-up", "Top up") : "An administrator can top up.",
      ),
    near.length > 0 &&
      banner(
        "near",
        `Near the cap: ${near.map(named).join(", ")}.`,
        mayChange ? link("/settings#caps", "Look at the caps") : null,
      ),
    low.length > 0 &&
      banner(
        "near",
        `Running low: ${low.map((wallet) => `${wallet.key} (${percent(wallet.usedPercent)} used)`).join(", ")}.`,
        mayChange ? link("/#top-up", "Top up") : null,
      ),
  ];
}

function named({ scope, scopeId, name, spent, cap, usedPercent }) {
  const who = scope === "TENANT" ? "the month" : `${words(scope).toLowerCase()} ${name ?? scopeId}`;
  return `${who} at ${percent(usedPercent)} (${usd(spent)} of ${usd(cap)})`;
}

function banner(tone, text, wayOut) {
  return element("p", { class: ["banner", tone] }, element("span", {}, text), " ", wayOut);
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
