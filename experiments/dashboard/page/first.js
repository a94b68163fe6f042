// What all parts of the dashboard share: what is chosen, and how models and runs are named.

const chosen = {
  text: "", family: "", status: "", recipe: "", hidden: new Set(),
  sort: { key: "name", down: false }, open: new Set(),
  part: "valid", log: true, singles: false, score: "", cell: "chosen",
  all: { curves: false, lengths: false },
};
const STATUS = { done: "done", running: "running", stopped: "stopped", diverged: "diverged", damaged: "half-written" };
const natural = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

const modelColour = (key) => data.models[key][isDark() ? 2 : 1];

const SHAPES = {
  circle: "M7 2a5 5 0 1 0 .01 0z",
  square: "M2.5 2.5h9v9h-9z",
  diamond: "M7 1l6 6-6 6-6-6z",
  "triangle-up": "M7 1.5l6 11H1z",
  "triangle-down": "M7 12.5l-6-11h12z",
  cross: "M5 1.5h4V5h3.5v4H9v3.5H5V9H1.5V5H5z",
  x: "M3 1.2L7 5l4-3.8L12.8 3 9 7l3.8 4L11 12.8 7 9l-4 3.8L1.2 11 5 7 1.2 3z",
  pentagon: "M7 1l6 4.5-2.3 7H3.3L1 5.5z",
  hexagon: "M4 1.8h6L13 7l-3 5.2H4L1 7z",
  star: "M7 1l1.8 3.9 4.2.5-3.1 2.9.8 4.2L7 10.4l-3.7 2.1.8-4.2L1 5.4l4.2-.5z",
  bowtie: "M1.5 2.5L7 6l5.5-3.5v9L7 8l-5.5 3.5z",
  hexagram: "M7 .5l1.9 3.3h3.7L10.8 7l1.8 3.2H8.9L7 13.5l-1.9-3.3H1.4L3.2 7 1.4 3.8h3.7z",
  "star-diamond": "M7 .5l1.8 4.7L13.5 7l-4.7 1.8L7 13.5 5.2 8.8.5 7l4.7-1.8z",
  hourglass: "M2.5 1.5h9L8 7l3.5 5.5h-9L6 7z",
};

const mark = (key) =>
  make("svg", { class: "mark", viewBox: "0 0 14 14", "aria-hidden": "true" },
    make("path", { d: SHAPES[data.models[key][3]], fill: modelColour(key) }));
const model = (key) => make("span", { class: "model" }, mark(key), data.models[key][0]);

/** The address of a file of a run, for this page. */
const address = (run, file) => `${run.path}/${file}`.split("/").map((part) => encodeURIComponent(part.toWellFormed?.() ?? part)).join("/");
const settingOf = (one) => [one.recipe, one.setting].filter(Boolean).join("; ");

function passes(run) {
  if (chosen.family && run.family !== chosen.family) return false;
  if (chosen.status && run.status !== chosen.status) return false;
  if (chosen.recipe && run.recipe !== chosen.recipe) return false;
  if (run.model && chosen.hidden.has(run.model)) return false;
  const words = chosen.text.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return true;
  const label = run.model ? data.models[run.model][0] : "";
  const told = [run.name, run.subject, run.model, label, run.recipe, run.setting, STATUS[run.status], `seed ${run.seed}`];
  const text = told.join(" ").toLowerCase();
  return words.every((word) => text.includes(word));
}

const shownRuns = () => data.runs.filter(passes);
const anyShown = (places) => places.some((place) => passes(data.runs[place]));
/** Settings with a run that passes the filter; those that are tested by name come last. */
function shownGroups() {
  const last = (group) => (group.named ? 1 : 0);
  return data.groups.filter((group) => anyShown(group.runs)).sort((a, b) => last(a) - last(b) ||
    natural.compare(a.subject, b.subject) || natural.compare(a.model, b.model) || a.dash - b.dash);
}
/** The columns of the tables by name, each with its table. */
const shownColumns = () => data.tables.flatMap((table) =>
  table.columns.filter((column) => anyShown(column.runs)).map((column) => ({ ...column, table })));
