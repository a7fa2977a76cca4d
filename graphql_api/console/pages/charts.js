// Charts of dollars, drawn by Plotly after the figures are on screen. Each stands over a table of the same figures.

import { element } from "/console/elements.js";
import { usd } from "/console/formats.js";
import { empty, table } from "/console/parts.js";
import { layoutOf, themeOf, tracesOf } from "/console/plots.js";

const BUNDLE = "/console/charts/plotly.min.js";
const PLAIN = { displayModeBar: false, displaylogo: false, responsive: true, doubleClick: false, showTips: false };
const drawn = new Map();
let coming = null;

/**
 * A chart over its table. `kind`: donut, bars, line or stacked. `rows`: `{ label, usd, part? }` in their order, `usd` a decimal
 * string; `part` names the layer of a stack. `of` and `parts`: what labels and parts are. `labels`: all that have a place, where
 * some have no row.
 */
export function chart(title, { kind, rows, of, parts = null, labels = null }) {
  if (!rows.some((row) => Number(row.usd) > 0)) return empty("Nothing was spent.");
  const plot = element("div", { class: ["plot", kind], "aria-hidden": "true" });
  const columns = [
    { title: of, main: true, cell: ({ label }) => label },
    parts && { title: parts, cell: ({ part }) => part },
    { title: "Cost", number: true, cell: (row) => usd(row.usd) },
  ].filter(Boolean);
  const figures = element("details", {}, element("summary", {}, "Figures"), table({ caption: title, columns, rows }));
  afterPaint(() => show(plot, { kind, rows, labels }, figures));
  return element("div", { class: "chart" }, plot, figures);
}

/** The figures must not wait for the charts: what is drawn already comes on screen first. */
function afterPaint(act) {
  requestAnimationFrame(() => setTimeout(act));
}

async function show(plot, shown, figures) {
  try {
    await plotly();
    if (!plot.isConnected) return;
    drawn.set(plot, shown);
    await redraw(plot);
    // Left meanwhile: what Plotly has hung on to the window since then goes too.
    if (!plot.isConnected) Plotly.purge(plot);
  } catch (error) {
    console.error(error);
    plot.remove();
    figures.open = true;
  }
}

/** Plotly's bundle, loaded once. */
function plotly() {
  coming ??= new Promise((resolve, reject) => {
    keepStylesOut();
    const failed = () => {
      coming = null;
      reject(new Error("The charts could not be loaded."));
    };
    document.head.append(element("script", { src: BUNDLE, onload: () => resolve(), onerror: failed }));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => [...drawn.keys()].map(redraw));
    new MutationObserver(free).observe(document.getElementById("main"), { childList: true, subtree: true });
  });
  return coming;
}

/**
 * The bundle puts styles into the page, which our policy forbids, unless elements with their ids are there: those of its maps
 * (which we do not draw; the id is the hash of their text), and the rules that every chart needs, which console.css has.
 */
function keepStylesOut() {
  const maps = "9f215cf04c5486422605d13261cb87401f4e7763b6296af81e98efbc0130da53";
  const rules = { id: "plotly.js-style-global", class: "no-inline-styles" };
  document.head.append(element("template", { id: maps }), element("template", rules));
}

/** Give back what charts hold that are no longer on the page. */
function free() {
  for (const plot of drawn.keys()) {
    if (plot.isConnected) continue;
    drawn.delete(plot);
    Plotly.purge(plot);
  }
}

function redraw(plot) {
  const shown = drawn.get(plot);
  const theme = themeOf(plot);
  return Plotly.react(plot, tracesOf(shown, theme), layoutOf(shown, theme), PLAIN);
}
