// A sequence over time: what went in and came out, where the heads were, and what steered them.

// Pixels over every chart for its title, and beside all of them; page.css places the cursor by the same.
const TITLE = 22;
const MARGIN = { l: 48, r: 8, t: 4, b: 40 };
const LINES = [
  ["gate", "Gate: 1 finds by content, 0 stays"],
  ["shift", "Shift: slots onward"],
  ["sharpening", "Sharpening"],
  ["strength", "Key strength"],
];
// From this weight on a head is at a slot.
const AT = 0.5;

/** A scale of colours from nothing to all, or from minus to plus through nothing. */
const ramp = (name) => [[0, colour("card")], [1, colour(name)]];
const bothWays = () => [[0, colour("minus")], [0.5, colour("card")], [1, colour("plus")]];
const limits = (values) => {
  const most = peak(values) || 1;
  return { colorscale: bothWays(), zmin: -most, zmax: most };
};
const bitLook = (values) => (values.some((value) => value < 0) ? limits(values) : { colorscale: ramp("ink"), zmin: 0, zmax: Math.max(1, peak(values)) });

/** The average offset of a shift, (time, offset), over time. */
function meanShift(shift) {
  const reach = (shift.shape[1] - 1) / 2;
  return inRows(shift.values, shift.shape[1]).map((row) => row.reduce((sum, share, k) => sum + share * (k - reach), 0));
}

/** What is drawn under one another: {key, title, height, and z with names of its rows, or lines}. */
function rowsOf(view, panel) {
  const rows = [];
  const bits = (title, array, names, more = {}) => rows.push({
    key: title, title, height: Math.max(34, Math.min(array.shape[1] * 9, 120)), z: overTime(array), names, unit: "channel", ...bitLook(array.values), ...more,
  });
  if (panel.words) {
    bits("Answer, as it would be given at each word", panel.output, panel.answers, { height: 16 * panel.answers.length });
  } else {
    bits("Input", view.input, view.channels.input);
    bits("Target", view.target, view.channels.output, { scored: view.mask });
    bits("Output", panel.output, view.channels.output, { scored: view.mask, wrong: panel.wrong_at });
  }
  return [...rows, ...(panel.heads ? headRows(panel) : stateRows(panel))];
}

function headRows(panel) {
  const rows = [];
  const heads = inOrder(panel.heads);
  const most = largest(heads.map((head) => peak(head.weights.values)));
  const { shown, row, rows: count } = panel.slots;
  for (const head of heads) {
    rows.push({
      key: `${head.kind} ${heads.filter((one) => one.kind === head.kind).indexOf(head)}`,
      title: `${head.name[0].toUpperCase()}${head.name.slice(1)}: weights over the slots`,
      height: heads.length > 2 ? 100 : 150, z: overTime(head.weights), names: shown.map(String), unit: "slot", first: row, count,
      colorscale: ramp(head.kind), zmin: 0, zmax: most > 0 && most < AT ? most : 1, end: endOfRing(panel.slots), passes: passesOf(head, panel.slots),
    });
  }
  for (const [name, title] of LINES) {
    const lines = heads.filter((head) => head[name]).map((head) => ({
      name: head.name, ink: head.kind, y: Array.from(name === "shift" ? meanShift(head[name]) : head[name].values),
    }));
    if (lines.length) rows.push({ key: title, title, height: 46, lines });
  }
  return rows;
}

const stateRows = (panel) => panel.states.map((state) => ({
  key: state.name, title: state.name[0].toUpperCase() + state.name.slice(1), height: 96, z: overTime(state.values), names: null, unit: "unit",
  ...(state.gate ? { colorscale: ramp("gate"), zmin: 0, zmax: 1 } : limits(state.values.values)),
}));

/** Between which rows, of a stretch that goes over the end of the memory, the first slot follows the last; null for none. */
function endOfRing({ shown, row }) {
  const first = shown.findIndex((slot, k) => k && slot < shown[k - 1]);
  return first < 0 ? null : row + first - 0.5;
}

/** Where a head was shifted from one edge of a whole memory to the other, [step, row before, row]. */
function passesOf(head, { shown, total, row }) {
  const found = [];
  if (!head.shift || shown.length < total) return found;
  const reach = (head.shift.shape[1] - 1) / 2;
  let before = null;
  for (let step = 0; step < head.weights.shape[0]; step += 1) {
    const weights = atStep(head.weights, step);
    const best = argmax(weights);
    const now = weights[best] >= AT ? best : null;
    if (now !== null && before !== null && Math.abs(now - before) > total / 2 && total - Math.abs(now - before) <= reach) found.push([step, row + before, row + now]);
    before = now;
  }
  return found;
}

/** The rows of every panel with their places: those of one key stand beside one another, as tall and on one scale. */
function rowsOfAll(view, panels) {
  const all = panels.map((panel) => rowsOf(view, panel));
  const common = all[0].map((row) => row.key).filter((key) => all.every((rows) => rows.some((row) => row.key === key)));
  const feet = all.map(() => 0);
  for (const row of all.flat()) if (!common.includes(row.key)) share([row]);
  const put = (row, column) => {
    row.top = feet[column] + TITLE;
    feet[column] = row.top + row.height;
  };
  for (const key of [...common, null]) {
    all.forEach((rows, column) => rows.slice(rows.findLastIndex((row) => "top" in row) + 1, key === null ? rows.length : rows.findIndex((row) => row.key === key))
      .forEach((row) => put(row, column)));
    if (key === null) break;
    const same = all.map((rows) => rows.find((row) => row.key === key));
    feet.fill(largest(feet));
    share(same);
    same.forEach(put);
  }
  return all;
}

/** One height and one scale for rows that are to be compared. */
function share(rows) {
  const height = largest(rows.map((row) => row.height));
  const lowest = rows.reduce((low, row) => (row.zmin < low.zmin ? row : low));
  const scale = { colorscale: lowest.colorscale, zmin: lowest.zmin, zmax: largest(rows.map((row) => row.zmax)) };
  for (const row of rows) Object.assign(row, { height }, row.lines ? {} : scale);
  if (!rows[0].lines) return;
  const known = [0, ...rows.flatMap((row) => row.lines.flatMap((line) => line.y)).filter(Number.isFinite)];
  const room = 0.06 * (largest(known) - smallest(known) || 1);
  for (const row of rows) row.range = [smallest(known) - room, largest(known) + room];
}

/** Write heads first: what is read was written before. */
const inOrder = (heads) => [...heads.filter((head) => head.kind === "write"), ...heads.filter((head) => head.kind === "read")];

/** The channels that are wrong at a step; [step, channel] of all are in the page. */
const wrongAt = (panel, step) => panel.wrong_at.filter(([then]) => then === step).map(([, channel]) => channel);

/** [first, last] of every stretch of steps that are not scored. */
function unscored(mask) {
  const found = [];
  mask.values.forEach((scored, step) => {
    if (scored) return;
    if (found.length && found.at(-1)[1] === step - 1) found.at(-1)[1] = step;
    else found.push([step, step]);
  });
  return found;
}

/** Draw everything over time, rows as from `rowsOfAll`; `choose` is told which step was clicked. */
function drawTime(place, rows, panel, choose) {
  const steps = panel.output.shape[0];
  const total = rows.at(-1).top + rows.at(-1).height;
  const layout = {
    ...chartLook(), height: total + MARGIN.t + MARGIN.b, margin: MARGIN, dragmode: false, annotations: [], shapes: [],
    xaxis: { ...axisLook(), automargin: false, title: { text: panel.words ? "word" : "time step" }, range: [-0.5, steps - 0.5], ...(steps < 8 ? { dtick: 1 } : {}), anchor: `y${rows.length}`, showgrid: false, fixedrange: true },
  };
  const traces = [];
  rows.forEach((row, number) => {
    const axis = number ? `y${number + 1}` : "y";
    const domain = [1 - (row.top + row.height) / total, 1 - row.top / total].map((one) => Math.max(one, 0));
    layout.annotations.push({ text: row.title, xref: "paper", yref: "paper", x: 0, y: domain[1], xanchor: "left", yanchor: "bottom", showarrow: false, font: { size: 12, color: colour("ink") } });
    layout[`yaxis${number ? number + 1 : ""}`] = { ...axisLook(), automargin: false, domain, fixedrange: true, showgrid: Boolean(row.lines), ...(row.lines ? { nticks: 3, range: row.range } : heatAxis(row)) };
    layout.shapes.push({ type: "rect", xref: "paper", yref: "paper", x0: 0, x1: 1, y0: domain[0], y1: domain[1], line: { color: colour("line"), width: 1 } });
    if (row.end !== null && row.end !== undefined) layout.shapes.push(endLine(row.end, axis));
    for (const [first, last] of row.scored ? unscored(row.scored) : []) {
      layout.shapes.push({ type: "rect", x0: first - 0.5, x1: last + 0.5, yref: "paper", y0: domain[0], y1: domain[1], fillcolor: colour("line"), opacity: 0.6, line: { width: 0 } });
    }
    traces.push(...(row.lines ? lineTraces(row, axis) : heatTraces(row, axis, steps)));
  });
  place.style.height = `${layout.height}px`;
  Plotly.react(place, traces, layout, { displayModeBar: false, responsive: true });
  place.removeAllListeners("plotly_click");
  place.on("plotly_click", ({ points }) => choose(Math.round(points[0].x)));
}

/** A dashed line between the last slot and the first. */
const endLine = (end, axis, x = [0, 1]) => ({ type: "line", xref: "paper", x0: x[0], x1: x[1], yref: axis, y0: end, y1: end, line: { color: colour("ink"), width: 1, dash: "dash" } });

/** Row 0 on top, as many names as there is room for. */
function heatAxis({ z, names, height, first = 0, count = z.length }) {
  const every = names ? Math.ceil((count * 13) / height) : 1;
  const ticks = names ? names.map((_, k) => k).filter((k) => k % every === 0) : null;
  const named = ticks ? { tickvals: ticks.map((k) => first + k), ticktext: ticks.map((k) => short(names[k])) } : { nticks: 4 };
  return { range: [count - 0.5, -0.5], tickfont: { size: 9.5 }, ...named };
}

const short = (name) => (name.length > 8 ? `${name.slice(0, 7)}…` : name);
const plain = (text) => text.replace(/[<>&%]/g, " ");

function heatTraces(row, axis, steps) {
  const names = row.z.map((_, k) => plain(row.names ? row.names[k] : String(k)));
  const traces = [{
    type: "heatmap", yaxis: axis, z: row.z, y0: row.first ?? 0, dy: 1, colorscale: row.colorscale, zmin: row.zmin, zmax: row.zmax, showscale: false, hoverongaps: false,
    text: names.map((name) => Array(steps).fill(name)), hovertemplate: `step %{x}, ${row.unit} %{text}: %{z:.3f}<extra></extra>`,
  }];
  const marks = (points, symbol, line) => ({ mode: "markers", yaxis: axis, x: points.map(([x]) => x), y: points.map(([, y]) => y), marker: { symbol, size: 7, color: line.color, line }, hoverinfo: "skip" });
  if (row.wrong?.length) traces.push(marks(row.wrong, "x-thin", { color: colour("bad"), width: 2 }));
  for (const [step, before, now] of row.passes ?? []) {
    traces.push({ ...marks([[step - 1, before], [step, now]], before > now ? "triangle-down" : "triangle-up", { color: colour("ink"), width: 1 }), name: "end of the ring" });
  }
  return traces;
}

const lineTraces = (row, axis) => row.lines.map((line) => ({
  y: line.y, yaxis: axis, mode: "lines", line: { color: colour(line.ink), width: 1.7, shape: "hvh" }, name: line.name,
  hovertemplate: `${line.name}, step %{x}: %{y:.3f}<extra></extra>`,
}));
