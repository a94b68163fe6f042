// Learning curves and errors by length: one panel a task, colours and marks by model.

const DASHES = ["solid", "dot", "dashdot", "dash"];
const PANELS_AT_FIRST = 6;
// Panels that wait to be drawn, one after the other, so that the page answers in between.
const waiting = new Map();

function drawNext() {
  const [next] = waiting;
  if (!next) return;
  waiting.delete(next[0]);
  setTimeout(drawNext);
  next[1]();
}

/** The library takes longer than all the rest: it starts when the first screen is there. */
function startCharts() {
  startLibrary();
  drawCharts();
}

/** Draw every chart again. */
function drawCharts() {
  if (typeof Plotly === "undefined") return;
  const idle = waiting.size === 0;
  const groups = shownGroups();
  layPanels("curves", groups.filter((group) => group.curves[chosen.part]), curvePanel);
  layPanels("lengths", overLengths(groups), lengthPanel);
  if (idle) setTimeout(drawNext);
}

function layPanels(id, groups, draw) {
  const section = byId(id);
  const subjects = [...new Set(groups.map((group) => group.subject))];
  const shown = chosen.all[id] ? subjects : subjects.slice(0, PANELS_AT_FIRST);
  const place = section.querySelector(".panels");
  const kept = new Map([...place.querySelectorAll(".panel")].map((panel) => [panel.dataset.subject, panel]));
  const panels = shown.map((subject) => {
    const panel = kept.get(subject) ?? make("article", { class: "panel", "data-subject": subject },
      make("h3", {}, subject), make("div", { class: "plot", role: "img" }), make("div", { class: "keys" }));
    const own = groups.filter((group) => group.subject === subject);
    waiting.set(panel, () => draw(panel, own));
    return panel;
  });
  for (const [subject, panel] of kept) {
    if (shown.includes(subject)) continue;
    waiting.delete(panel);
    Plotly.purge(panel.querySelector(".plot"));
  }
  place.replaceChildren(...panels, ...(panels.length ? [] : [make("p", { class: "soft" }, "No values for these runs yet.")]));
  const more = section.querySelector(".more");
  more.hidden = subjects.length <= PANELS_AT_FIRST;
  more.textContent = chosen.all[id] ? "Show fewer" : `Show all ${subjects.length} tasks`;
}

/** What is drawn for one setting: a band where there are several seeds, a line, and marks. */
function lineAndBand(group, x, values, several, name, dash, unit, scale) {
  const ink = modelColour(group.model);
  const traces = [];
  const y = values.middle.map(scale.put);
  if (several) {
    const known = x.map((_, k) => k).filter((k) => values.middle[k] !== null);
    const back = [...known].reverse();
    traces.push({
      x: [...known, ...back].map((k) => x[k]),
      y: [...known.map((k) => scale.put(values.high[k] ?? scale.top)), ...back.map((k) => scale.put(values.low[k]))],
      fill: "toself", fillcolor: ink + "2e", mode: "lines", line: { width: 0 }, hoverinfo: "skip",
    });
  }
  traces.push({
    x, y, name, customdata: values.middle, mode: "lines+markers",
    line: { color: ink, width: 2, dash: DASHES[dash % DASHES.length] },
    marker: { color: ink, symbol: data.models[group.model][3], size: 7, maxdisplayed: 9 },
    hovertemplate: `<b>${plain(name)}</b><br>%{x:,.4~g}: %{customdata:.4~g} ${unit}<extra></extra>`,
  });
  return traces;
}

/** Words of an axis in lines for which a panel is high enough. */
const inLines = (words) => words.replaceAll(/[<>&]/g, " ").replaceAll(/(.{18,}?) /g, "$1<br>");

const plain = (text) => text.replace(/[<>&%]/g, " ");

function curvePanel(panel, groups) {
  const part = chosen.part;
  const unit = groups[0].unit;
  const runs = groups.flatMap((group) => group.runs.map((place) => [group, data.runs[place]])).filter(([, run]) => passes(run));
  const papers = groups.filter((group) => group.published);
  let seen = groups.flatMap((group) => ["low", "middle", "high"].flatMap((line) => group.curves[part][line]));
  if (chosen.singles) seen = seen.concat(runs.flatMap(([, run]) => run.curves[part][1]));
  const end = largest(groups.flatMap((group) => group.curves[part].x));
  seen = seen.concat(papers.flatMap((group) => group.published[1].filter((_, k) => group.published[0][k] <= end)));
  const scale = makeScale(seen, chosen.log);
  const traces = [];
  for (const group of groups) {
    const { x, ...values } = group.curves[part];
    traces.push(...lineAndBand(group, x, values, group.runs.length > 1, titleOf(group), group.dash, unit, scale));
    if (!chosen.singles) continue;
    const line = { x: [], y: [] };
    for (const [of, run] of runs) {
      if (of !== group) continue;
      line.x.push(...run.curves[part][0], null);
      line.y.push(...run.curves[part][1].map(scale.put), null);
    }
    traces.unshift({ ...line, mode: "lines", opacity: 0.45, hoverinfo: "skip", line: { color: modelColour(group.model), width: 1 } });
  }
  for (const group of papers) {
    traces.push({
      x: group.published[0], y: group.published[1].map(scale.put), customdata: group.published[1], mode: "lines", opacity: 0.75,
      line: { color: modelColour(group.model), width: 1.5, dash: "longdash" },
      hovertemplate: `paper, ${plain(data.models[group.model][0])}<br>%{x:,.4~g}: %{customdata:.4~g} bits<extra></extra>`,
    });
  }
  const ends = groups.map((group) => `${titleOf(group)} ends at ${digits(group.curves[part].middle.at(-1))} ${unit}`);
  draw(panel, traces, scale, `Learning curves of ${groups[0].subject}: ${ends.join("; ")}`, {
    x: { title: { text: `thousand ${groups[0].examples} seen` }, range: [0, end * 1.02 || 1] },
    y: { title: { text: inLines(groups[0].words) } },
  });
  keys(panel, groups.map((group) => [group, group.dash, settingOf(group)]));
}

/** Which score of a setting is drawn over length: the chosen one where its tests have it, else its own. */
const scoreOf = (group) => (group.tests.some((one) => one.scores[chosen.score]) ? chosen.score : group.score);

function lengthSeries(group) {
  return group.tests.map((one) => ({ ...one, values: one.scores[scoreOf(group)] })).filter((one) => one.values);
}

/** The settings with such tests on tasks that were tested at more than one length. */
function overLengths(groups) {
  const tested = groups.filter((group) => lengthSeries(group).length);
  const lengths = (subject) => tested.filter((group) => group.subject === subject).flatMap((group) => lengthSeries(group).flatMap((one) => one.x));
  return tested.filter((group) => new Set(lengths(group.subject)).size > 1);
}

function lengthPanel(panel, groups) {
  const series = groups.flatMap((group) => lengthSeries(group).map((one, k) => ({ ...one, group, dash: group.dash + k })));
  const score = scoreOf(groups[0]);
  const papers = groups.filter((group) => group.published_tests?.score === score);
  const seen = [...series.flatMap((one) => [...one.values.low, ...one.values.middle, ...one.values.high]),
    ...papers.flatMap((group) => group.published_tests.y)];
  const scale = makeScale(seen, true);
  const traces = series.flatMap((one) =>
    lineAndBand(one.group, one.x, one.values, one.seeds > 1, `${titleOf(one.group)}${labelOf(one)}`, one.dash, "", scale));
  for (const group of papers) {
    traces.push({
      x: group.published_tests.x, y: group.published_tests.y.map(scale.put), customdata: group.published_tests.y,
      mode: "lines+markers", opacity: 0.75, marker: { size: 6, symbol: "circle-open", color: modelColour(group.model) },
      line: { color: modelColour(group.model), width: 1.5, dash: "longdash" },
      hovertemplate: `paper, ${plain(data.models[group.model][0])}<br>length %{x}: %{customdata:.4~g}<extra></extra>`,
    });
  }
  const lengths = [...new Set(series.flatMap((one) => one.x))].sort((a, b) => a - b);
  const span = Math.log10(lengths.at(-1) / lengths[0]);
  const ticks = [];
  for (const length of lengths) {
    if (!ticks.length || Math.log10(length / ticks.at(-1)) > span / 7) ticks.push(length);
  }
  const words = data.scores[score] ?? groups[0].words;
  draw(panel, traces, scale, `Error by length of ${groups[0].subject}: ${words}`, {
    x: {
      title: { text: `length of the tests, ${groups[0].length_unit}` }, type: "log", tickvals: ticks, ticktext: ticks.map(String), tickangle: 0,
      range: [Math.log10(lengths[0]) - span * 0.05, Math.log10(lengths.at(-1)) + span * 0.05],
    },
    y: { title: { text: inLines(words) } },
  });
  keys(panel, series.map((one) => [one.group, one.dash, settingOf(one.group) + labelOf(one)]));
}

const labelOf = (one) => (one.label ? `, ${one.label}` : "");
const titleOf = (group) => `${data.models[group.model][0]}, ${settingOf(group)}`;

/** The lines' meaning within a panel, where one model has several. */
function keys(panel, lines) {
  const models = lines.map(([group]) => group.model);
  const several = lines.filter(([group]) => models.indexOf(group.model) !== models.lastIndexOf(group.model));
  panel.querySelector(".keys").replaceChildren(...several.map(([group, dash, words]) => make("span", {},
    make("svg", { viewBox: "0 0 28 10", "aria-hidden": "true" }, make("line", {
      x1: 0, x2: 28, y1: 5, y2: 5, stroke: modelColour(group.model), "stroke-width": 2,
      "stroke-dasharray": { solid: null, dot: "2 3", dashdot: "8 3 2 3", dash: "8 4" }[DASHES[dash % DASHES.length]],
    })), words)));
}

/** A vertical axis for these values: on a log scale zero stands below the smallest, and is called 0. */
function makeScale(values, log) {
  const known = values.filter((value) => value !== null && value !== undefined);
  const top = Math.max(largest(known), 0);
  const positive = known.filter((value) => value > 0);
  if (!log || !positive.length) {
    return { put: (value) => value, top: top * 2, axis: { type: "linear", range: [-0.02 * (top || 1), 1.06 * (top || 1)] } };
  }
  const least = Math.max(smallest(positive), top / 1e7);
  const zeros = known.some((value) => value < least);
  const low = Math.floor(Math.log10(least) + 1e-9);
  const high = Math.log10(top);
  const floor = 10 ** (Math.log10(least) - Math.max(0.3, 0.1 * (high - Math.log10(least))));
  const steps = high - Math.log10(least) < 3 ? [1, 2, 5] : [1];
  const every = Math.max(1, Math.round((high - low) / 6));
  const ticks = [];
  for (let power = low; power <= high + 1e-9; power += every) {
    for (const step of steps) {
      const value = step * 10 ** power;
      if (value >= least * 0.7 && value <= top * 1.2 && (!zeros || value > floor * 1.6)) ticks.push(value);
    }
  }
  if (zeros && !ticks.length) ticks.push(top);
  const words = ticks.map(decade);
  if (zeros) {
    ticks.unshift(floor);
    words.unshift("0");
  }
  const bottom = Math.log10(zeros ? floor : least);
  const room = 0.05 * (high - bottom || 1);
  return {
    put: (value) => (value === null || value === undefined ? null : Math.max(value, zeros ? floor : least)),
    top: top * 10,
    axis: { type: "log", range: [bottom - room, high + room], ...(zeros || ticks.length > 2 ? { tickvals: ticks, ticktext: words } : { nticks: 6 }) },
  };
}

function decade(value) {
  const power = Math.round(Math.log10(value));
  if (value >= 1e-3) return value.toLocaleString("en", { maximumSignificantDigits: 2 });
  return "10" + String(power).replace(/[-\d]/g, (sign) => ({ "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" })[sign]);
}

function draw(panel, traces, scale, words, axes) {
  const plot = panel.querySelector(".plot");
  const touch = matchMedia("(pointer: coarse)").matches;
  Plotly.react(plot, traces, {
    ...chartLook(), margin: { l: 52, r: 10, t: 8, b: 42 }, dragmode: touch ? false : "zoom",
    xaxis: { ...axisLook(), ...axes.x }, yaxis: { ...axisLook(), ...scale.axis, ...axes.y },
  }, { displayModeBar: false, responsive: true });
  plot.setAttribute("aria-label", words);
}
