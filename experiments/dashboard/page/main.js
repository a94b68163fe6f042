// Numbers, best runs, settings and runs; the filter; light and dark; newer data from the server.

function drawCards() {
  const runs = shownRuns();
  const count = (status) => runs.filter((run) => run.status === status).length;
  const judged = runs.filter((run) => run.judged && run.copy_of === null);
  const copies = runs.filter((run) => run.copy_of !== null).length;
  const solved = judged.filter((run) => run.to_solve !== null).length;
  const lost = count("damaged") + count("diverged");
  const cards = [
    [runs.length, runs.length === data.runs.length ? "runs" : `of ${data.runs.length} runs`],
    [count("done"), "finished"],
    [count("running"), "running"],
    [count("stopped"), "stopped"],
    [lost, "diverged or half-written", lost ? "warn" : ""],
    ...(copies ? [[copies, copies === 1 ? "copy, left out" : "copies, left out", "warn"]] : []),
    [judged.length ? `${solved} of ${judged.length}` : "–", "solved their task"],
  ];
  byId("cards").replaceChildren(...cards.map(([value, words, kind]) =>
    make("div", { class: `card ${kind ?? ""} ${value === 0 ? "none" : ""}` }, make("b", {}, String(value)), make("span", {}, words))));
}

const runLink = (place, words) => make("a", { href: `#run-${place}`, title: data.runs[place].name }, words ?? data.runs[place].name);

function drawBests() {
  const cards = [...bestRuns(), ...bestStories()];
  byId("best").hidden = cards.length === 0;
  byId("best").querySelector(".bests").replaceChildren(...cards);
}

/** For each task whose tests have no names, and each way to read it, the runs that are ahead, each in its own way. */
function bestRuns() {
  const runs = shownRuns().filter((run) => run.subject && !run.named);
  const subjectOf = (run) => run.subject + readingOf(run);
  const subjects = [...new Set(runs.map(subjectOf))].sort(natural.compare);
  return subjects.map((subject) => {
    const own = runs.filter((run) => subjectOf(run) === subject);
    const unit = ` ${own[0].unit}`;
    const facts = [
      ["lowest validation", ahead(own, "valid", -1), (run) => digits(run.valid) + unit],
      ["solved first, after", ahead(own, "to_solve", -1), (run) => digits(run.to_solve)],
      ["no error up to length", ahead(own, "exact_to", 1), (run) => digits(run.exact_to), (run) => `${digits(run.exact_of)} tests`],
    ].filter(([, run]) => run);
    const lines = facts.map(([words, run, value, of]) => make("div", {}, make("dt", {}, words), make("dd", {},
      make("b", {}, value(run), of ? make("small", {}, ` of ${of(run)}`) : null),
      make("span", {}, mark(run.model), runLink(data.runs.indexOf(run), run.name.split("/").slice(-2).join("/"))))));
    return make("article", { class: "best" }, make("h3", {}, subject), lines.length ? make("dl", {}, ...lines) : make("p", { class: "soft" }, "nothing measured yet"));
  });
}

/** The run with the lowest (-1) or highest (1) of a number, the first among equals. */
function ahead(runs, name, sign) {
  const known = runs.filter((run) => run[name] !== null);
  return known.length ? known.reduce((best, run) => (sign * (run[name] - best[name]) > 0 ? run : best)) : null;
}

/** For each set of test questions and way to read the setting with the most tasks, among equals with the lowest mean error. */
function bestStories() {
  const best = new Map();
  for (const column of shownColumns()) {
    const one = { column, ...storyScore(column) };
    const key = dataName(column, column.tested_on) + readingOf(column);
    const other = best.get(key);
    if (!other || one.tasks > other.tasks || (one.tasks === other.tasks && one.mean < other.mean)) best.set(key, one);
  }
  return [...best].sort(([a], [b]) => natural.compare(a, b)).map(([stories, one]) => {
    const lines = [
      [one.tasks === 1 ? `${one.name} of 1 task` : `mean ${one.name} of ${one.tasks} tasks`, `${digits(one.mean)}`],
      ...(one.solved === null ? [] : [["solved", `${one.solved} of ${one.tasks}`]]),
      ...(one.paper === null ? [] : [["mean in the paper", `${digits(one.paper)}`]]),
    ].map(([words, value], k) => make("div", {}, make("dt", {}, words),
      make("dd", {}, make("b", {}, value), k ? null : make("span", {}, mark(one.column.model), settingOf(one.column)))));
    return make("article", { class: "best" }, make("h3", {}, stories), make("dl", {}, ...lines));
  });
}

const readingOf = (column) => (column.by_word ? ", word by word" : "");
const dataName = ({ family }, words) => (words.toLowerCase().startsWith(family) ? words : `${family} tasks, ${words}`);

function storyScore(column) {
  const errors = Object.values(column.cells).map((cell) => cell.chosen);
  const papers = column.published ? Object.values(column.published.errors) : [];
  return {
    tasks: errors.length, mean: mean(errors), name: column.table.score.heading,
    solved: column.table.failed_above === null ? null : errors.filter((error) => !isFailed(column.table, error)).length,
    paper: papers.length === errors.length ? mean(papers) : null,
  };
}

function drawSettings() {
  const groups = shownGroups();
  const rows = groups.filter((group) => !group.named).map(groupRow);
  rows.push(...shownColumns().map(columnRow), ...untestedRows(groups));
  fillTable("settings", rows);
}

/** Fill the table of a section. */
function fillTable(id, rows) {
  const table = byId(id).querySelector("table");
  table.tBodies[0].replaceChildren(...(rows.length ? rows : [emptyRow(table.tHead.rows[0].cells.length)]));
  nameCells(table);
}

const emptyRow = (width) => make("tr", {}, make("td", { class: "empty", colspan: width }, "No run passes the filter."));
const settingCells = (task, one) => [
  make("td", { class: "task" }, task), make("td", {}, model(one.model)), make("td", { class: "setting" }, settingOf(one)),
];

function share(part, whole, words) {
  return make("td", {}, make("span", { class: "share", "aria-hidden": "true" },
    make("i", { style: `width: ${(100 * part) / whole}%` })), `${part} of ${whole}${words}`);
}

function runsWords(places) {
  const states = places.map((place) => data.runs[place].status);
  const open = Object.keys(STATUS).filter((status) => status !== "done" && states.includes(status));
  const parts = open.map((status) => `${states.filter((one) => one === status).length} ${STATUS[status]}`);
  return `${places.length}${parts.length ? ` (${parts.join(", ")})` : ""}`;
}

const copiesWords = (copies) => (copies ? `, ${copies} ${copies === 1 ? "copy" : "copies"} left out` : "");

function groupRow(group) {
  const solve = make("td", { class: "number" }, digits(group.to_solve));
  if (group.quartiles) solve.append(make("span", { class: "unit" }, ` (${group.quartiles.map((one) => digits(one)).join("–")})`));
  const best = make("td", { class: "number" }, group.best ? runLink(group.best.run, digits(group.best.value)) : "–");
  if (group.best) best.append(make("span", { class: "unit" }, ` ${group.unit}`));
  const solved = group.solved === null ? make("td", { class: "soft" }, "no criterion") : share(group.solved, group.runs.length, " seeds");
  return make("tr", {}, ...settingCells(group.subject, group), make("td", {}, runsWords(group.runs) + copiesWords(group.copies)), solved, solve, best);
}

function columnRow(column) {
  const score = storyScore(column);
  const unit = ` ${column.table.score.unit}` + (score.paper === null ? "" : `, paper ${digits(score.paper)}`);
  const stories = column.trained_on === column.tested_on ? column.tested_on : `${column.trained_on} → ${column.tested_on}`;
  return make("tr", {}, ...settingCells(dataName(column, stories) + readingOf(column), column),
    make("td", {}, runsWords(column.runs)), score.solved === null ? make("td", { class: "soft" }, "no criterion") : share(score.solved, score.tasks, " tasks"),
    make("td", { class: "number" }, "–"), make("td", { class: "number" }, digits(score.mean), make("span", { class: "unit" }, unit)));
}

/** Settings whose tests have names, of which no run has been tested. */
function untestedRows(groups) {
  const tested = new Set(data.tables.flatMap((table) => table.columns).flatMap((column) => column.runs));
  const waiting = new Map();
  for (const group of groups) {
    if (!group.named || group.runs.some((place) => tested.has(place))) continue;
    const name = `${group.family} ${group.model} ${settingOf(group)}`;
    waiting.set(name, [...(waiting.get(name) ?? []), group]);
  }
  return [...waiting.values()].map((same) => {
    const task = same.length === 1 ? same[0].subject : `${same[0].family}, ${same.length} tasks`;
    return make("tr", {}, ...settingCells(task, same[0]), make("td", {}, runsWords(same.flatMap((group) => group.runs))),
      make("td", { class: "soft", colspan: 3 }, "not tested yet"));
  });
}

function testCell(run) {
  if (!run.test) return make("td", { class: "number" }, "–");
  return make("td", { class: "number" }, digits(run.test.value), make("span", { class: "unit" }, ` ${run.test.words}`));
}

// Of each column of the table of runs: its name, what it is sorted by, and its cell.
const COLUMNS = [
  ["name", "Run", (run) => run.name, nameCell],
  ["subject", "Task", (run) => run.subject ?? null, (run) => make("td", { class: "words" }, run.subject ?? "–")],
  ["model", "Model", (run) => (run.model ? data.models[run.model][0] : null), (run) => make("td", {}, run.model ? model(run.model) : "–")],
  ["recipe", "Recipe", (run) => run.recipe ?? null, (run) => make("td", { class: "words" }, run.recipe ?? "–")],
  ["seed", "Seed", (run) => run.seed ?? null, (run) => make("td", { class: "number" }, digits(run.seed))],
  ["status", "Status", (run) => STATUS[run.status], (run) => make("td", {}, make("span", { class: `status ${run.status}` }, STATUS[run.status]))],
  ["sequences", "Sequences", (run) => run.sequences ?? null, (run) => make("td", { class: "number" }, digits(run.sequences))],
  ["solved", "To solve", (run) => run.to_solve ?? null, (run) => make("td", { class: "number" }, run.judged && run.to_solve === null ? "not yet" : digits(run.to_solve))],
  ["valid", "Validation", (run) => run.valid ?? null, (run) => amount(run.valid, run.unit)],
  ["test", "Test", (run) => run.test?.value ?? null, testCell],
];
const NUMBERS = new Set(["seed", "sequences", "solved", "valid", "test"]);

function amount(value, unit) {
  const cell = make("td", { class: "number" }, digits(value));
  if (value !== null && value !== undefined) cell.append(make("span", { class: "unit" }, ` ${unit}`));
  return cell;
}

function duration(seconds) {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  return seconds < 3600 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

const fileLink = (run, name, ...shown) => make("a", { href: address(run, name), target: "_blank", rel: "noopener" }, ...shown);

/** A figure, small, that leads to itself; its name alone where the page has no files beside it. */
function thumbnail(run, file) {
  const name = file.slice("figures/".length, -".png".length);
  const picture = make("img", { src: address(run, file), alt: "", loading: "lazy", onerror: () => picture.remove() });
  return fileLink(run, file, picture, make("span", {}, name));
}

function nameCell(run, place) {
  const open = chosen.open.has(run.name);
  return make("td", { class: "run" }, make("button", {
    type: "button", class: "disclose", "aria-expanded": String(open),
    onclick: () => {
      open ? chosen.open.delete(run.name) : chosen.open.add(run.name);
      drawRuns();
      document.querySelector(`#run-${place} .disclose`).focus();
    },
  }, run.name));
}

function detailsRow(run) {
  const lines = [
    ...run.troubles.map((trouble) => ["trouble", trouble]),
    ["folder", make("code", {}, run.path)],
    ["copy of", run.copy_of === null ? null : runLink(run.copy_of)],
    ["not as in the recipe", run.recipe ? run.setting || "nothing" : null],
    ["command", run.command ? make("code", {}, run.command) : null],
    ["versions", run.versions ? Object.entries(run.versions).map(([name, value]) => `${name} ${value}`).join(", ") : null],
    ["training time", run.seconds ? duration(run.seconds) : null],
    ["last change", run.changed.replace("T", " ")],
    ["files", make("span", { class: "links" }, ...run.files.map((name) => fileLink(run, name, name.split(".")[0])))],
    ["figures", run.figures.length ? make("span", { class: "thumbnails" }, ...run.figures.map((name) => thumbnail(run, name))) : null],
  ].filter(([, value]) => value);
  const list = make("dl", {}, ...lines.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
  return make("tr", { class: "details" }, make("td", { colspan: COLUMNS.length }, list));
}

function sortedRuns() {
  const value = COLUMNS.find(([key]) => key === chosen.sort.key)[2];
  const sign = chosen.sort.down ? -1 : 1;
  // Runs without a value come last in both directions; bits and other units are not compared.
  const units = [...new Set(["bits", ...data.runs.map((run) => run.unit)])];
  const rank = (run) => (value(run) === null ? units.length : chosen.sort.key === "valid" ? units.indexOf(run.unit) : 0);
  return shownRuns().sort((a, b) => {
    if (rank(a) !== rank(b)) return rank(a) - rank(b);
    const [left, right] = [value(a), value(b)];
    return sign * (typeof left === "number" ? left - right : natural.compare(left, right)) || natural.compare(a.name, b.name);
  });
}

function drawRuns() {
  const section = byId("runs");
  const places = new Map(data.runs.map((run, place) => [run, place]));
  const rows = sortedRuns().flatMap((run) => {
    const place = places.get(run);
    const open = chosen.open.has(run.name);
    const row = make("tr", { id: `run-${place}`, class: open ? "open" : null }, ...COLUMNS.map(([, , , cell]) => cell(run, place)));
    return open ? [row, detailsRow(run)] : [row];
  });
  fillTable("runs", rows);
  const count = shownRuns().length;
  byId("count").textContent = count === data.runs.length ? `(${count})` : `(${count} of ${data.runs.length})`;
  for (const head of section.querySelectorAll("th[data-key]")) {
    const own = head.dataset.key === chosen.sort.key;
    head.setAttribute("aria-sort", own ? (chosen.sort.down ? "descending" : "ascending") : "none");
  }
}

function makeHeads() {
  byId("runs").querySelector("thead tr").append(...COLUMNS.map(([key, words, value]) => {
    const kind = NUMBERS.has(key) ? "number" : null;
    const sort = () => {
      chosen.sort = { key, down: chosen.sort.key === key && !chosen.sort.down };
      drawRuns();
    };
    return make("th", { scope: "col", class: kind, "data-key": key }, make("button", { type: "button", onclick: sort }, words));
  }));
}

function drawLegend() {
  byId("legend").replaceChildren(...Object.keys(data.models).map((key) => make("button", {
    type: "button", "aria-pressed": String(!chosen.hidden.has(key)), "data-model": key,
    onclick: () => {
      chosen.hidden.has(key) ? chosen.hidden.delete(key) : chosen.hidden.add(key);
      drawAll();
      document.querySelector(`#legend [data-model="${key}"]`).focus();
    },
  }, mark(key), data.models[key][0])));
}

function fillChoices() {
  const drawn = Object.entries(data.scores);
  if (!(chosen.score in data.scores)) chosen.score = drawn.length ? drawn[0][0] : "";
  byId("score").replaceChildren(...drawn.map(([value, words]) => make("option", { value, selected: value === chosen.score }, words)));
  for (const name of ["family", "status", "recipe"]) {
    const values = [...new Set(data.runs.map((run) => run[name]).filter(Boolean))].sort(natural.compare);
    const words = (value) => (name === "status" ? STATUS[value] : value);
    byId(name).replaceChildren(make("option", { value: "" }, "all"),
      ...values.map((value) => make("option", { value, selected: value === chosen[name] }, words(value))));
  }
}

function drawSource() {
  const when = data.read_at.replace("T", " ").replace(/([+-]\d\d:\d\d)$/, " UTC$1");
  byId("source").textContent = `${data.folder}, read ${when}`;
  document.title = `memnet runs: ${data.folder.split("/").pop()}`;
}

function drawAll() {
  drawSource();
  drawLegend();
  drawCards();
  drawBests();
  drawSettings();
  drawHeat();
  drawRuns();
  drawCharts();
}

function listen() {
  for (const name of ["text", "family", "status", "recipe"]) {
    byId(name).addEventListener("input", (event) => {
      chosen[name] = event.target.value;
      drawAll();
    });
  }
  byId("clear").addEventListener("click", () => {
    Object.assign(chosen, { text: "", family: "", status: "", recipe: "", hidden: new Set() });
    byId("text").value = "";
    fillChoices();
    drawAll();
  });
  const redraw = { part: drawCharts, score: drawCharts, cell: drawHeat, log: drawCharts, singles: drawCharts };
  for (const [name, draw] of Object.entries(redraw)) {
    byId(name).addEventListener("change", ({ target }) => {
      chosen[name] = target.type === "checkbox" ? target.checked : target.value;
      draw();
    });
  }
  for (const name of ["curves", "lengths"]) {
    byId(name).querySelector(".more").addEventListener("click", () => {
      chosen.all[name] = !chosen.all[name];
      drawCharts();
    });
  }
}

const SECONDS_BETWEEN = 3;

/** Ask the server for newer data, for ever. */
async function stayFresh(version) {
  const fresh = byId("fresh");
  try {
    const answer = await fetch("data.json", { headers: version ? { "If-None-Match": version } : {}, cache: "no-store" });
    if (answer.status === 200) {
      data = await answer.json();
      version = answer.headers.get("ETag");
      fillChoices();
      drawAll();
    } else if (answer.status !== 304) throw new Error((await answer.text()).trim());
    fresh.className = "";
    fresh.textContent = "live";
  } catch (error) {
    fresh.className = "trouble";
    fresh.textContent = error instanceof TypeError ? "the server is gone" : error.message;
  }
  setTimeout(() => stayFresh(version), 1000 * SECONDS_BETWEEN);
}

startTheme(drawAll);
makeHeads();
fillChoices();
listen();
drawAll();
addEventListener("load", () => setTimeout(startCharts));
if (data.live) stayFresh(null);
