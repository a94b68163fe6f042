"use strict";
// What all pages share: the data, elements, numbers in words, light and dark, and the look of charts.

let data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);

/** An element with attributes and children; text is never read as HTML. */
function make(tag, attributes = {}, ...children) {
  const drawn = ["svg", "path", "line"].includes(tag);
  const element = drawn ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Three digits, whole thousands with commas; a dash for what is not known. */
function digits(value, count = 3) {
  if (value === null || value === undefined) return "–";
  if (value !== 0 && Math.abs(value) < 1e-3) return value.toExponential(1).replace("-", "−");
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString("en");
  return String(Number(value.toPrecision(count)));
}

/** Let every cell of a table bear its column's name, for where rows are cards. */
function nameCells(table) {
  const names = Array.from(table.tHead.rows[0].cells, (head) => head.textContent);
  for (const row of table.tBodies[0].rows) Array.from(row.cells).forEach((cell, column) => cell.setAttribute("data-head", names[column]));
}

const largest = (values) => values.reduce((a, b) => Math.max(a, b), -Infinity);
const smallest = (values) => values.reduce((a, b) => Math.min(a, b), Infinity);

function isDark() {
  const theme = document.documentElement.dataset.theme;
  return theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

/** A colour of the style sheet as the charts need it. */
function colour(name) {
  const probe = make("i", { style: `color: var(--${name})` });
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

function nameTheme() {
  byId("theme").textContent = isDark() ? "Light" : "Dark";
  byId("theme").setAttribute("aria-label", isDark() ? "Light colours" : "Dark colours");
}

/** The browser may forbid a page from disk to keep anything. */
function keep(theme) {
  try {
    if (theme) localStorage.setItem("memnet-theme", theme);
    return localStorage.getItem("memnet-theme");
  } catch {
    return null;
  }
}

/** Take up the theme that was kept, and draw again where it changes. */
function startTheme(drawAgain) {
  const kept = keep();
  if (kept) document.documentElement.dataset.theme = kept;
  const changed = () => {
    nameTheme();
    drawAgain();
  };
  byId("theme").addEventListener("click", () => {
    const theme = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    keep(theme);
    changed();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
  nameTheme();
}

/** Run the chart library, which takes longer than all the rest. */
const startLibrary = () => document.body.append(make("script", {}, byId("library").textContent));

/** What every axis and every chart has in common. */
const axisLook = () => ({ gridcolor: colour("grid"), linecolor: colour("grid"), zeroline: false, ticks: "", automargin: true });
const chartLook = () => ({
  showlegend: false, hovermode: "closest",
  paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
  font: { family: getComputedStyle(document.body).fontFamily, size: 11.5, color: colour("soft") },
  hoverlabel: { bgcolor: colour("card"), bordercolor: colour("grid"), font: { color: colour("ink"), size: 12 } },
});
