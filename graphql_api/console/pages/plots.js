// How charts look: Plotly's traces and layout from rows of dollars, in the page's colours and the reader's locale.

import { usd } from "/console/formats.js";

const COLOURS = 8;
const NARROW = 420;
const LONGEST = 26;
const LEAST = 1e-6;
const signs = new Intl.NumberFormat(navigator.languages, { style: "currency", currency: "USD" }).formatToParts(12345.6);

/** The colours and the font of the place where a chart stands, as they are now. */
export function themeOf(plot) {
  const probe = document.createElement("span");
  plot.append(probe);
  const colour = (name) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const theme = {
    series: Array.from({ length: COLOURS }, (_, at) => colour(`series-${at + 1}`)),
    area: colour("series-area"),
    others: colour("series-others"),
    text: colour("text"),
    faint: colour("faint"),
    line: colour("line"),
    ground: colour("surface"),
    raised: colour("raised"),
    font: getComputedStyle(plot).fontFamily,
    narrow: plot.clientWidth < NARROW,
  };
  probe.remove();
  return theme;
}

/** What Plotly draws of these rows. */
export function tracesOf({ kind, rows, total }, theme) {
  return TRACES[kind](rows, theme, total);
}

const TRACES = { donut, bars, line, stacked };

function donut(rows, { series, others, ground }, total) {
  const paid = rows.filter((row) => length(row) > 0);
  const sum = (some) => some.reduce((before, row) => before + length(row), 0);
  const unlisted = Number(total ?? 0) - sum(paid) > LEAST * sum(paid);
  const slices = paid.length > COLOURS || unlisted ? paid.slice(0, COLOURS - 1) : paid;
  const rest = paid.slice(slices.length);
  const shown = slices.map((row) => ({ name: short(row.label), said: said(row), value: length(row) }));
  if (unlisted) shown.push({ name: "All others", said: "All others", value: Number(total) - sum(slices) });
  else if (rest.length)
    shown.push({ name: `${rest.length} others`, said: `${rest.length} others: see the figures`, value: sum(rest) });
  const colors = shown.map((_, at) => (at < slices.length ? series[at] : others));
  return [
    {
      type: "pie",
      hole: 0.6,
      sort: false,
      direction: "clockwise",
      labels: shown.map(({ name }) => name),
      values: shown.map(({ value }) => value),
      customdata: shown.map((one) => one.said),
      texttemplate: "%{percent:.0%}",
      textposition: "inside",
      insidetextorientation: "horizontal",
      insidetextfont: { color: ground },
      marker: { colors, line: { color: ground, width: 2 } },
      hovertemplate: "%{customdata}<extra></extra>",
    },
  ];
}

function bars(rows, { series, text, ground }) {
  return [
    {
      type: "bar",
      orientation: "h",
      y: rows.map((_, at) => at),
      x: rows.map(length),
      customdata: rows.map(said),
      text: rows.map((row) => usd(row.usd)),
      textposition: "auto",
      insidetextfont: { color: ground },
      outsidetextfont: { color: text },
      marker: { color: series[0] },
      cliponaxis: false,
      hovertemplate: "%{customdata}<extra></extra>",
    },
  ];
}

function line(rows, { series, area }) {
  return [
    {
      type: "scatter",
      mode: "lines+markers",
      ...placed(rows),
      line: { color: series[0], width: 2 },
      marker: { size: 5 },
      fill: "tozeroy",
      fillcolor: area,
      hovertemplate: "%{customdata}<extra></extra>",
    },
  ];
}

function stacked(rows, { series, others }) {
  return [...Map.groupBy(rows, ({ part }) => part)].map(([part, own], at) => ({
    type: "bar",
    name: short(part),
    ...placed(own),
    marker: { color: series[at] ?? others },
    hovertemplate: "%{customdata}<extra></extra>",
  }));
}

function placed(rows) {
  return { x: rows.map(({ label }) => plain(label)), y: rows.map(length), customdata: rows.map(said) };
}

/** How Plotly lays these rows out. */
export function layoutOf({ kind, rows, labels }, theme) {
  const { text, faint, line: lines, raised, font, narrow } = theme;
  const sign = signs.findIndex(({ type }) => type === "currency");
  const before = sign < signs.findIndex(({ type }) => type === "integer");
  const around = signs.filter(
    ({ type }, at) => type === "currency" || (type === "literal" && Math.abs(at - sign) === 1),
  );
  const dollars = { [before ? "tickprefix" : "ticksuffix"]: around.map(({ value }) => value).join("") };
  const axis = { fixedrange: true, gridcolor: lines, linecolor: lines, zerolinecolor: lines, automargin: true };
  const amounts = { ...axis, ...dollars, rangemode: "tozero", nticks: 6, exponentformat: "none" };
  const names = { ...axis, showgrid: false };
  const inOrder = {
    type: "category",
    categoryorder: "array",
    categoryarray: (labels ?? rows.map(({ label }) => label)).map(plain),
  };
  const days = {
    ...names,
    ...inOrder,
    range: [-0.5, inOrder.categoryarray.length - 0.5],
    nticks: narrow ? 5 : 9,
    tickangle: 0,
  };
  const lying = {
    xaxis: { ...amounts, nticks: narrow ? 4 : 6 },
    yaxis: {
      ...names,
      autorange: "reversed",
      tickvals: rows.map((_, at) => at),
      ticktext: rows.map(({ label }) => short(label)),
    },
  };
  return {
    ...(kind === "donut" ? {} : kind === "bars" ? lying : { xaxis: days, yaxis: amounts }),
    height: kind === "bars" ? Math.max(160, 60 + rows.length * 30) : narrow && kind !== "line" ? 360 : 300,
    barmode: "stack",
    bargap: 0.25,
    dragmode: false,
    hovermode: kind === "line" ? "x" : "closest",
    uniformtext: { mode: "hide", minsize: 10 },
    margin: { l: 8, r: 16, t: 12, b: 8 },
    paper_bgcolor: "transparent",
    plot_bgcolor: "transparent",
    font: { family: font, size: 12, color: faint },
    hoverlabel: { bgcolor: raised, bordercolor: lines, font: { color: text, family: font } },
    separators: ["decimal", "group"].map((wanted) => signs.find(({ type }) => type === wanted)?.value ?? "").join(""),
    showlegend: kind === "donut" || kind === "stacked",
    legend: {
      ...(narrow || kind === "stacked" ? { orientation: "h", x: 0, y: -0.18, traceorder: "normal" } : { x: 1, y: 0.5 }),
      itemclick: false,
      itemdoubleclick: false,
    },
  };
}

/** Money as a length to draw: the only use of a binary fraction. */
function length(row) {
  return Number(row.usd);
}

function said({ label, part, usd: spent }) {
  return plain([label, part, usd(spent)].filter(Boolean).join(": "));
}

function short(text) {
  return plain(text.length > LONGEST ? `${text.slice(0, LONGEST - 1)}…` : text);
}

/** Plotly takes markup in texts: ours are texts. */
function plain(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
