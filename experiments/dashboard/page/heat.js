// Scores by task where tasks have names: a column for each setting, the paper's column beside it.

function drawHeat() {
  const columns = shownColumns();
  byId("named").hidden = columns.length === 0;
  const tables = data.tables.map((table) => [table, columns.filter((column) => column.table === table)]).filter(([, own]) => own.length);
  byId("named").querySelector(".tables").replaceChildren(...tables.map(([table, own]) => heatTable(table, own)));
  const sources = new Map(columns.filter((column) => column.published).map(({ published }) => [published.name + published.source, published]));
  byId("papers").replaceChildren(
    make("p", {}, "Of several restarts and seeds one is chosen by what it learned from; × marks a failed task. " +
      "Published numbers stand beside runs with the same settings and data alone. Models that read word by word stand last: " +
      "their scores are not to be compared with those of models that get whole sentences."),
    ...[...sources.values()].map((paper) => make("p", {}, `${paper.name}: ${paper.source}; ${paper.protocol}.`)));
}

function heatTable(table, columns) {
  const shades = columns.flatMap((column) => [{ column }, ...(column.published ? [{ column, paper: column.published }] : [])]);
  const tasks = table.tasks.filter(([task]) => columns.some((column) => column.cells[task]));
  const head = make("tr", {}, make("th", { scope: "col" }, `${table.family}, ${table.score.words}`), ...shades.map(heatHead));
  const body = tasks.map(([task, name]) => make("tr", {}, make("th", { scope: "row", title: name }, `${task} ${name}`),
    ...shades.map((shade) => heatCell(shade, task))));
  const foot = [["Mean", (errors) => digits(mean(errors))],
    ...(table.failed_above === null ? [] : [[`Failed, above ${table.failed_above} %`, failedOf(table)]])];
  return make("div", { class: "scroll", role: "region", "aria-label": `${table.family} by ${table.by}`, tabindex: 0 },
    make("table", { class: "heat" }, make("thead", {}, head), make("tbody", {}, ...body),
      make("tfoot", {}, ...foot.map(([words, sum]) => make("tr", {}, make("th", { scope: "row" }, words),
        ...shades.map((shade) => make("td", {}, sum(errorsOf(shade)))))))));
}

const isFailed = (table, error) => table.failed_above !== null && error > table.failed_above;
const errorAt = ({ column, paper }, task) => (paper ? paper.errors[task] : column.cells[task]?.[chosen.cell]) ?? null;
const errorsOf = (shade) => Object.keys(shade.column.cells).map((task) => errorAt(shade, task)).filter((error) => error !== null);
const failedOf = (table) => (errors) => `${errors.filter((error) => isFailed(table, error)).length} of ${errors.length}`;

function heatHead({ column, paper }) {
  if (paper) {
    return make("th", { scope: "col" }, make("span", {}, "published"), make("br"), make("b", {}, paper.name));
  }
  const stories = column.trained_on === column.tested_on ? column.tested_on : `${column.trained_on} → ${column.tested_on}`;
  return make("th", { scope: "col" }, make("b", { class: "model" }, mark(column.model), data.models[column.model][0]),
    make("br"), settingOf(column), make("br"), stories + (column.joint ? ", jointly" : "") + readingOf(column));
}

function heatCell(shade, task) {
  const error = errorAt(shade, task);
  if (error === null) return make("td", { class: "none" }, "–");
  const strength = Math.sqrt(Math.min(error, 100) / 100);
  const failed = isFailed(shade.column.table, error);
  const names = ["error", failed ? "failed" : "", shade.paper ? "paper" : ""].join(" ");
  const cell = shade.column.cells[task];
  const spread = cell.deviation === null ? "" : ` ± ${digits(cell.deviation)}`;
  const title = shade.paper ? `${shade.paper.name}, ${shade.paper.source}`
    : `chosen ${digits(cell.chosen)}, mean ${digits(cell.mean)}${spread}, best ${digits(cell.best)} of ${cell.restarts} restarts; run ${data.runs[cell.run].name}`;
  return make("td", { class: names, style: `--h: ${strength.toFixed(3)}`, title }, error.toFixed(1),
    failed ? make("span", { class: "spoken" }, " failed") : null);
}
