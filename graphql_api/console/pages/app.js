// The console: draws the page that the address names, keeps it right, and moves between pages without reloading.
//
// A page's module exports `load({ parameters, query, viewer, ask })`, which resolves to its data by one request, and
// `draw(data, context)`, which returns what is shown. `context` is that of `load` with `follow` (a subscription that ends with the
// page), `refresh` (load and draw anew) and `go` (to another address).

import { announce, element, fill, fillAnew } from "/console/elements.js";
import { moment } from "/console/formats.js";
import { ask, Failure, tenantLookedAt } from "/console/graphql.js";
import { follow, isLive, on } from "/console/live.js";
import { loading, problemOf } from "/console/parts.js";
import { routeOf } from "/console/routes.js";
import { drawShell, hideShell, loadShell, markPlace, redrawNotices } from "/console/shell.js";

const BETWEEN_LOOKS = 30_000;
const OLDEST_WHILE_LIVE = 300_000;
const OLDEST_WITHOUT = 60_000;

const main = document.getElementById("main");
let shown = null;

/** Go to an address of the console. */
async function go(address, { replace = false } = {}) {
  if (!replace) history.replaceState({ top: scrollY }, "");
  history[replace ? "replaceState" : "pushState"](null, "", address);
  await show({ top: 0 });
}

/** `top`: how far down the page was when it was left; the focus then goes to it too. Null: it is where the reader came in. */
async function show({ top = null } = {}) {
  leave();
  const page = { stops: [], aborting: new AbortController(), loadedAt: 0 };
  shown = page;
  const route = routeOf(location.pathname);
  markPlace();
  document.title = `${route?.title ?? "Not found"} · Purser`;
  fill(main, loading());
  try {
    if (!route) return fill(main, notFound());
    const module = scriptOf(route);
    module.catch(() => {});
    if (route.anybody) {
      hideShell();
      const { draw, load } = await module;
      if (shown === page) fill(main, draw(await load?.(), { go, query: new URLSearchParams(location.search) }));
      return;
    }
    await loadPage(page, route, module);
  } catch (error) {
    failed(page, error);
  } finally {
    if (shown === page) arrive(top);
  }
}

/** At the part that the address names, or else at the top of the page, or where it was left. */
function arrive(top) {
  const named = document.getElementById(location.hash.slice(1));
  if (named && !top) {
    if (named !== main) named.tabIndex = -1;
    named.scrollIntoView();
    named.focus({ preventScroll: true });
  } else if (top !== null) {
    main.focus({ preventScroll: true });
    scrollTo(0, top);
  }
}

async function scriptOf(route) {
  try {
    return await route.load();
  } catch (error) {
    console.error(error);
    throw new Failure("UNREACHABLE", "The page did not arrive. Check the connection, then try again.");
  }
}

async function loadPage(page, route, coming) {
  const query = new URLSearchParams(location.search);
  const asking = (text, variables, options) => ask(text, variables, { signal: page.aborting.signal, ...options });
  const viewing = loadShell();
  // Whatever becomes of the page, the way to the others stands beside it.
  const drawing = viewing.then((shell) => shown === page && drawShell(shell, { refresh: renew }));
  drawing.catch(() => {});
  // Operators' pages ask nothing for anybody else, and some pages ask what the viewer's role lets them see.
  if (route.operator && (await viewing).viewer.role !== "OPERATOR") {
    throw new Failure("FORBIDDEN", "These pages are for who runs Purser.");
  }
  const module = await coming;
  const context = { parameters: route.parameters, query, ask: asking, go };
  if (module.needsViewer) context.viewer = (await viewing).viewer;
  const [{ viewer }, data] = await Promise.all([viewing, module.load(context)]);
  if (shown !== page) return;
  Object.assign(context, { viewer, follow: following(page), refresh: () => refresh(page) });
  page.redraw = async (fresh) => {
    for (const stop of page.stops.splice(0)) stop();
    page.loadedAt = Date.now();
    page.isOld = false;
    const heading = element("h1", {}, module.title?.(fresh, context) ?? route.title);
    const kept = fillAnew(main, heading, module.draw(fresh, context), clock());
    if (!kept) main.focus({ preventScroll: true });
    const whose = tenantLookedAt() && viewer.tenant?.name;
    document.title = [heading.textContent, whose, "Purser"].filter(Boolean).join(" · ");
  };
  page.reload = () => module.load(context);
  const overtaken = page.isOld;
  await page.redraw(data);
  if (overtaken) await refresh(page);
}

/** Whose clock it is by which pages tell moments: the tenant's months and days are of its own time zone. */
function clock() {
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
  return element("p", { class: "faint" }, `Times are by your clock (${timeZone}).`);
}

function following(page) {
  return (query, variables, receive) => {
    page.stops.push(follow(query, variables, (data) => shown === page && receive(data)));
  };
}

/** Load and draw anew what is shown. */
async function refresh(page) {
  if (!page || shown !== page || !page.reload) return;
  try {
    const [shell, data] = await Promise.all([loadShell({ anew: true }), page.reload()]);
    if (shown !== page) return;
    drawShell(shell, { refresh: renew });
    await page.redraw(data);
  } catch (error) {
    failed(page, error);
  }
}

function failed(page, error) {
  if (error.name === "AbortError" || shown !== page) return;
  if (error.code === "UNAUTHENTICATED") return signIn();
  if (error.code === "TENANT_REQUIRED" && !tenantLookedAt()) return go("/operator/tenants", { replace: true });
  if (page.loadedAt && error.code !== "FORBIDDEN") return outdated(page, error);
  fill(
    main,
    problemOf(error, () => show({ top: 0 })),
  );
}

/** What is shown already stays, and says of when it is. */
function outdated(page, error) {
  if (!(error instanceof Failure)) console.error(error);
  if (main.querySelector(".outdated")) return;
  const since = `Not up to date: these figures are of ${moment(new Date(page.loadedAt))}. `;
  const again = element("button", { type: "button", class: "quiet", onclick: () => refresh(page) }, "Try again");
  main.prepend(element("p", { class: "banner near outdated", role: "status" }, since, again));
}

function signIn() {
  const next = location.pathname + location.search;
  go(`/sign-in?next=${encodeURIComponent(next)}`, { replace: true });
}

function leave() {
  if (!shown) return;
  shown.aborting.abort();
  for (const stop of shown.stops) stop();
  for (const open of document.querySelectorAll("dialog[open]")) open.close();
  shown = null;
}

function notFound() {
  return element(
    "div",
    { class: "failed" },
    element("h1", {}, "There is no such page"),
    element("p", {}, element("a", { href: "/" }, "To the usage of this month")),
  );
}

/** Whether somebody is in the middle of something that drawing anew would take away. */
function isBusy() {
  const active = document.activeElement;
  return document.querySelector("dialog[open]") || (main.contains(active) && active.matches("input, select, textarea"));
}

/** There is news: draw anew, or as soon as the page has come and nobody is in the middle of something. */
function renew() {
  if (shown && (!shown.reload || isBusy())) shown.isOld = true;
  else refresh(shown);
}

function look() {
  if (document.visibilityState !== "visible" || !shown?.loadedAt) return;
  redrawNotices();
  if (isBusy()) return;
  // Clocks are set back, too.
  const age = Math.abs(Date.now() - shown.loadedAt);
  if (shown.isOld || age > (isLive() || !shown.stops.length ? OLDEST_WHILE_LIVE : OLDEST_WITHOUT)) refresh(shown);
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href]");
  const plain = event.button === 0 && !(event.metaKey || event.ctrlKey || event.shiftKey || event.altKey);
  if (!link || !plain || link.target || link.origin !== location.origin || event.defaultPrevented) return;
  if (!routeOf(link.pathname)) return;
  event.preventDefault();
  if (!link.hash || link.pathname + link.search !== location.pathname + location.search) return go(link.href);
  history.replaceState(history.state, "", link.hash);
  arrive(null);
});
addEventListener("popstate", ({ state }) => show({ top: state?.top ?? 0 }));
document.addEventListener("visibilitychange", look);
setInterval(look, BETWEEN_LOOKS);
on("ended", signIn);
on("returned", () => {
  renew();
  announce("The connection is back.");
});

show();
