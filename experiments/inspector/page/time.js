// A sequence over time: what went in and came out, where the heads were, and what steered them.

// Pixels over every chart for its title, and beside all of them; page.css places the cursor by the same.
const TITLE = 22;
const MARGIN = { l: 48, r: 8, t: 4, b: 40 };
const LINES = [
  ["gate", "Gate: 1 looks up by content, 0 stays where it was"],
  ["shift", "Shift: slots onward"],
  ["sharpening", "Sharpening"],
  ["strength", "Key strength"],
];

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

/** What is drawn under one another: {title, height, and z with names of its rows, or lines}. */
function rowsOf(view, panel) {
  const rows = [];
  const bits = (title, array, names, more = {}) => rows.push({
    title, height: Math.max(34, Math.min(array.shape[1] * 9, 120)), z: overTime(array), names, unit: "channel", ...bitLook(array.values), ...more,
  });
  if (panel.words) {
    bits("Answer, as it would be given at each word", panel.output, panel.answers, { height: 16 * panel.answers.length });
  } else {
    bits("Input", view.input, data.channels.input);
    bits("Target", view.target, data.channels.output, { scored: view.mask });
    bits("Output", panel.output, data.channels.output, { scored: view.mask, wrong: panel.wrong_at });
  }
  return [...rows, ...(panel.heads ? headRows(panel) : stateRows(panel))];
}

function headRows(panel) {
  const rows = [];
  const heads = inOrder(panel.heads);
  const most = largest(heads.map((head) => peak(head.weights.values)));
  for (const head of heads) {
    rows.push({
      title: `${head.name[0].toUpperCase()}${head.name.slice(1)}: weights over the slots`,
      height: heads.length > 2 ? 100 : 150, z: overTime(head.weights), names: panel.slots.shown.map(String), unit: "slot",
      colorscale: ramp(head.kind), zmin: 0, zmax: most > 0 && most < 0.5 ? most : 1,
    });
  }
  for (const [name, title] of LINES) {
    const lines = heads.filter((head) => head[name]).map((head) => ({
      name: head.name, ink: head.kind, y: Array.from(name === "shift" ? meanShift(head[name]) : head[name].values),
    }));
    if (lines.length) rows.push({ title, height: 46, lines });
  }
  return rows;
}

const stateRows = (panel) => panel.states.map((state) => ({
  title: state.name[0].toUpperCase() + state.name.slice(1), height: 96, z: overTime(state.values), names: null, unit: "unit",
  ...(state.gate ? { colorscale: ramp("gate"), zmin: 0, zmax: 1 } : limits(state.values.values)),
}));

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

/** Draw everything over time; `choose` is told which step was clicked. */
function drawTime(place, view, panel, choose) {
  const rows = rowsOf(view, panel);
  const steps = panel.output.shape[0];
  const total = rows.reduce((sum, row) => sum + row.height + TITLE, 0);
  const layout = {
    ...chartLook(), height: total + MARGIN.t + MARGIN.b, margin: MARGIN, dragmode: false, annotations: [], shapes: [],
    xaxis: { ...axisLook(), automargin: false, title: { text: panel.words ? "word" : "time step" }, range: [-0.5, steps - 0.5], ...(steps < 8 ? { dtick: 1 } : {}), anchor: `y${rows.length}`, showgrid: false, fixedrange: true },
  };
  const traces = [];
  let top = 0;
  rows.forEach((row, number) => {
    const axis = number ? `y${number + 1}` : "y";
    const domain = [1 - (top + TITLE + row.height) / total, 1 - (top + TITLE) / total].map((one) => Math.max(one, 0));
    top += TITLE + row.height;
    layout.annotations.push({ text: row.title, xref: "paper", yref: "paper", x: 0, y: domain[1], xanchor: "left", yanchor: "bottom", showarrow: false, font: { size: 12, color: colour("ink") } });
    layout[`yaxis${number ? number + 1 : ""}`] = { ...axisLook(), automargin: false, domain, fixedrange: true, showgrid: Boolean(row.lines), ...(row.lines ? { nticks: 3, rangemode: "tozero" } : heatAxis(row)) };
    layout.shapes.push({ type: "rect", xref: "paper", yref: "paper", x0: 0, x1: 1, y0: domain[0], y1: domain[1], line: { color: colour("line"), width: 1 } });
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

/** Row 0 on top, as many names as there is room for. */
function heatAxis(row) {
  const count = row.z.length;
  const every = row.names ? Math.ceil((count * 13) / row.height) : 1;
  const ticks = row.names ? row.names.map((_, k) => k).filter((k) => k % every === 0) : null;
  const named = ticks ? { tickvals: ticks, ticktext: ticks.map((k) => short(row.names[k])) } : { nticks: 4 };
  return { range: [count - 0.5, -0.5], tickfont: { size: 9.5 }, ...named };
}

const short = (name) => (name.length > 8 ? `${name.slice(0, 7)}…` : name);
const plain = (text) => text.replace(/[<>&%]/g, " ");

function heatTraces(row, axis, steps) {
  const names = row.z.map((_, k) => plain(row.names ? row.names[k] : String(k)));
  const heat = {
    type: "heatmap", yaxis: axis, z: row.z, colorscale: row.colorscale, zmin: row.zmin, zmax: row.zmax, showscale: false, hoverongaps: false,
    text: names.map((name) => Array(steps).fill(name)), hovertemplate: `step %{x}, ${row.unit} %{text}: %{z:.3f}<extra></extra>`,
  };
  if (!row.wrong?.length) return [heat];
  const marks = { color: colour("bad"), symbol: "x-thin", size: 7, line: { color: colour("bad"), width: 2 } };
  return [heat, { mode: "markers", yaxis: axis, x: row.wrong.map(([step]) => step), y: row.wrong.map(([, channel]) => channel), marker: marks, hoverinfo: "skip" }];
}

const lineTraces = (row, axis) => row.lines.map((line) => ({
  y: line.y, yaxis: axis, mode: "lines", line: { color: colour(line.ink), width: 1.7, shape: "hvh" }, name: line.name,
  hovertemplate: `${line.name}, step %{x}: %{y:.3f}<extra></extra>`,
}));
