// One step: the memory itself, or the state, the numbers of the heads, and what happens in words.

/** Draw what there is at this step of a panel's trace; most: the largest number in any panel's memory. */
function drawStep(parts, view, panel, step, most) {
  parts.words.replaceChildren(...inWords(view, panel, step).map((line) => make("p", {}, ...line)));
  if (panel.words) markWord(parts.tokens, step);
  else parts.bits.replaceChildren(bitTable(view, panel, step));
  if (!panel.heads) {
    drawState(parts.now, panel, step);
    return;
  }
  parts.heads.replaceChildren(headTable(panel, step));
  drawMemory(parts.now, panel, step, most);
}

const fixed = (value, count = 2) => value.toFixed(count).replace("-", "−");

function bitTable(view, panel, step) {
  const scored = view.mask.values[step] > 0;
  const wrong = wrongAt(panel, step);
  const row = (name, array, names, cell) => make("tr", {}, make("th", { scope: "row" }, name),
    ...Array.from(atStep(array, step), (value, k) => cell(value, k, names[k])));
  const shown = (value, name, digitsOf, more = "") => make("td", {
    class: `bit ${more}`, title: name, style: `--h: ${Math.min(Math.abs(value), 1)}`,
  }, fixed(value, digitsOf));
  const whole = (values) => (values.every(Number.isInteger) ? 0 : 2);
  const [input, target] = [atStep(view.input, step), atStep(view.target, step)];
  return make("table", { class: "bits" }, make("tbody", {},
    row("input", view.input, view.channels.input, (value, k, name) => shown(value, name, whole(input))),
    row("target", view.target, view.channels.output, (value, k, name) => (scored ? shown(value, name, whole(target)) : make("td", { class: "bit none" }, "·"))),
    row("output", panel.output, view.channels.output, (value, k, name) => shown(value, name, 2, !scored ? "none" : wrong.includes(k) ? "wrong" : ""))));
}

function headTable(panel, step) {
  const columns = [["gate", "gate"], ["strength", "strength"], ["sharpening", "sharpening"]].filter(([name]) => panel.heads[0][name]);
  const rows = inOrder(panel.heads).map((head) => {
    const weights = atStep(head.weights, step);
    const best = argmax(weights);
    return make("tr", {}, make("th", { scope: "row", class: head.kind }, head.name),
      make("td", { class: "number" }, String(panel.slots.shown[best]), make("span", { class: "unit" }, ` ${fixed(weights[best])}`)),
      ...columns.map(([name]) => make("td", { class: "number" }, fixed(atStep(head[name], step)[0]))),
      head.shift ? make("td", {}, shiftBars(head, step)) : null);
  });
  const heads = ["head", "slot, weight", ...columns.map(([, words]) => words), ...(panel.heads[0].shift ? [`shift by ${offsetsOf(panel.heads[0]).join(", ")}`] : [])];
  const table = make("table", { class: "heads rows" }, make("thead", {}, make("tr", {}, ...heads.map((words, k) => make("th", { scope: "col", class: k && k <= columns.length + 1 ? "number" : null }, words)))),
    make("tbody", {}, ...rows));
  nameCells(table);
  return table;
}

/** The offsets of a head's shift in words, "−1". */
function offsetsOf(head) {
  const count = head.shift.shape[1];
  return Array.from({ length: count }, (_, k) => k - (count - 1) / 2).map((by) => `${by > 0 ? "+" : ""}${by}`.replace("-", "−"));
}

/** The shares of a shift, offset by offset. */
const shiftBars = (head, step) => make("span", { class: `shift ${head.kind}` }, ...Array.from(atStep(head.shift, step), (share, k) =>
  make("span", { title: `shift by ${offsetsOf(head)[k]}`, style: `--h: ${share}` }, fixed(share))));

/** What the heads do, in words: [[parts of a line], ...]. */
function inWords(view, panel, step) {
  if (panel.words) return wordsOfReader(panel, step);
  const scored = view.mask.values[step] > 0;
  const on = Array.from(atStep(view.input, step), (value, k) => (value && !/^bit/.test(view.channels.input[k]) ? view.channels.input[k] : null)).filter(Boolean);
  const start = scored ? ["It answers."] : [on.length ? `It reads: ${on.join(" and ")}.` : atStep(view.input, step).some(Boolean) ? "It reads a vector." : "It reads nothing and need not answer."];
  if (scored) {
    const [wrong, count] = [wrongAt(panel, step).length, view.channels.output.length];
    if (view.kind === "bits") start.push(wrong ? ` ${wrong} of ${count} bits are wrong.` : ` All ${count} bits are right.`);
    else start.push(wrong ? " Its answer is wrong." : " Its answer is right.");
  }
  return [start, ...(panel.heads ? inOrder(panel.heads).map((head) => wordsOfHead(panel, head, step)) : [])];
}

function wordsOfReader(panel, step) {
  const last = step === panel.words.length - 1;
  const chances = atStep(panel.output, step);
  const best = argmax(chances);
  const heard = last ? ["It hears the question mark and answers ", make("b", {}, panel.answers[best]), ` (${fixed(chances[best])}).`]
    : ["It hears ", make("b", {}, panel.words[step]), "."];
  return [heard, ...(panel.heads ? inOrder(panel.heads).map((head) => wordsOfHead(panel, head, step)) : [])];
}

function wordsOfHead(panel, head, step) {
  const weights = atStep(head.weights, step);
  const best = argmax(weights);
  const name = make("b", { class: head.kind }, head.name[0].toUpperCase() + head.name.slice(1));
  const sharp = weights[best] >= AT;
  const at = sharp ? ` at slot ${panel.slots.shown[best]} (${fixed(weights[best])})` : ` spread over several slots, most at slot ${panel.slots.shown[best]} (${fixed(weights[best])})`;
  const line = [name, at, howItMoved(head, weights, best, step, panel.slots)];
  if (head.kind === "read" && sharp) {
    const when = lastWritten(panel, best, step);
    if (when !== null) line.push(when === step ? ", which is being written" : `, written at ${panel.words ? "word" : "step"} ${when}`);
  }
  return [...line, "."];
}

/** How a head came to where it is: in a way that has a share of its own, by content, or by a shift from where it was. */
function howItMoved(head, weights, best, step, slots) {
  if (head.ways) {
    const shares = Object.entries(head.ways).map(([way, values]) => [way, atStep(values, step)[0]]);
    const rest = 1 - shares.reduce((sum, [, share]) => sum + share, 0);
    const [way] = [...shares, ["content", rest]].find(([, share]) => share > 0.5) || ["more ways than one"];
    return `, found by ${way}`;
  }
  const gate = head.gate ? atStep(head.gate, step)[0] : head.shift ? 0 : 1;
  if (gate > 0.5) return ", found by content";
  if (!step) return "";
  const before = argmax(atStep(head.weights, step - 1));
  const moved = best - before;
  // Round the end of the memory.
  const whole = ((moved + slots.total + Math.floor(slots.total / 2)) % slots.total) - Math.floor(slots.total / 2);
  const past = whole * (slots.shown[best] - slots.shown[before]) < 0 ? ", over the end of the ring" : "";
  return whole ? `, ${Math.abs(whole)} slot${Math.abs(whole) > 1 ? "s" : ""} ${whole > 0 ? "on" : "back"}${past}` : ", where it was";
}

/** The last step up to this one at which some write head had most of its weight on a slot; null for none. */
function lastWritten(panel, slot, step) {
  const writers = panel.heads.filter((head) => head.kind === "write");
  for (let then = step; then >= 0; then -= 1) {
    if (writers.some((head) => atStep(head.weights, then)[slot] >= AT)) return then;
  }
  return null;
}

/** The memory between the weightings of those who write and those who read. */
function drawMemory(place, panel, step, most) {
  const { shown, total, row, rows } = panel.slots;
  const width = panel.memory.shape[2];
  const names = shown.map(String);
  const height = Math.max(220, Math.min(rows * 12, 430));
  const end = endOfRing(panel.slots);
  const bars = (kind, axis) => panel.heads.filter((head) => head.kind === kind).map((head) => ({
    type: "bar", orientation: "h", x: atStep(head.weights, step), y0: row, dy: 1, xaxis: axis, marker: { color: colour(kind) }, width: 0.9, name: head.name,
    text: names, textposition: "none", hovertemplate: `${head.name}, slot %{text}: %{x:.3f}<extra></extra>`,
  }));
  const traces = [...bars("write", "x"), {
    type: "heatmap", z: inRows(atStep(panel.memory, step), width), y0: row, dy: 1, xaxis: "x2", colorscale: bothWays(), zmin: -most, zmax: most, showscale: false,
    text: names.map((name) => Array(width).fill(name)), hovertemplate: "slot %{text}, element %{x}: %{z:.3f}<extra></extra>",
  }, ...bars("read", "x3")];
  const count = (kind) => panel.heads.filter((head) => head.kind === kind).length;
  const side = { ...axisLook(), tickvals: [1], fixedrange: true };
  const title = (text, x, anchor, ink) => ({ text, xref: "paper", yref: "paper", x, y: 1, xanchor: anchor, yanchor: "bottom", showarrow: false, font: { size: 12, color: colour(ink) } });
  place.style.height = `${height + 58}px`;
  Plotly.react(place, traces, {
    ...chartLook(), height: height + 58, margin: { l: 40, r: 8, t: 22, b: 36 }, barmode: "stack", bargap: 0, dragmode: false,
    xaxis: { ...side, domain: [0, 0.2], range: [count("write"), 0], title: { text: "weight" } },
    xaxis2: { ...axisLook(), domain: [0.22, 0.78], range: [-0.5, width - 0.5], title: { text: "element" }, fixedrange: true, showgrid: false },
    xaxis3: { ...side, domain: [0.8, 1], range: [0, count("read")], title: { text: "weight" } },
    yaxis: { ...axisLook(), ...heatAxis({ z: shown, names, height, first: row, count: rows }), showgrid: false, fixedrange: true },
    annotations: [title("written", 0, "left", "write"), title(shown.length < total ? `memory, ${shown.length} of ${total} slots` : `memory, ${total} slots`, 0.5, "center", "ink"), title("read", 1, "right", "read")],
    shapes: [{ type: "rect", xref: "paper", yref: "paper", x0: 0.22, x1: 0.78, y0: 0, y1: 1, line: { color: colour("line"), width: 1 } },
      ...(end === null ? [] : [endLine(end, "y")])],
  }, { displayModeBar: false, responsive: true });
  place.setAttribute("aria-label", `Memory at step ${step}, with the weightings of the heads`);
}

// Pixels between two maps of a state, over the first and under the last, and of a row of units.
const APART = 80;
const OUTSIDE = { t: 22, b: 36 };
const UNITS = 30;

/** What is kept at this step: the units of every kind of state one under the other, then every memory as a map. */
function drawState(place, panel, step) {
  const maps = stateMaps(panel, step);
  if (!maps.length) return;
  const inner = maps.reduce((sum, map) => sum + map.height + APART, -APART);
  const height = inner + OUTSIDE.t + OUTSIDE.b;
  const layout = { ...chartLook(), height, margin: { l: 8, r: 8, ...OUTSIDE }, dragmode: false, annotations: [] };
  let top = 0;
  const traces = maps.map((map, k) => {
    const number = k ? k + 1 : "";
    const domain = [1 - (top + map.height) / inner, 1 - top / inner].map((one) => Math.max(one, 0));
    top += map.height + APART;
    layout[`xaxis${number}`] = { ...axisLook(), title: { text: map.across }, showgrid: false, fixedrange: true, anchor: `y${number}` };
    layout[`yaxis${number}`] = { ...axisLook(), domain, range: [map.z.length - 0.5, -0.5], showgrid: false, fixedrange: true, anchor: `x${number}`, ...map.ticks };
    layout.annotations.push({ text: map.title, xref: "paper", yref: "paper", x: 0, y: domain[1], xanchor: "left", yanchor: "bottom", showarrow: false, font: { size: 12, color: colour("ink") } });
    return { type: "heatmap", xaxis: `x${number}`, yaxis: `y${number}`, z: map.z, colorscale: bothWays(), zmin: -map.most, zmax: map.most, showscale: false, ...map.look };
  });
  place.style.height = `${height}px`;
  Plotly.react(place, traces, layout, { displayModeBar: false, responsive: true });
  place.setAttribute("aria-label", `State at step ${step}`);
}

/** {title, height, z, most, across, ticks, look} of everything that is drawn of a state. */
function stateMaps(panel, step) {
  const units = panel.states.filter((state) => !state.axes);
  const names = units.map((state) => state.name);
  const maps = panel.states.filter((state) => state.axes).map(({ name, values, axes: [down, across], width }) => {
    const z = inRows(atStep(values, step), width);
    const most = peak(values.values) || 1;
    return {
      title: `${name[0].toUpperCase()}${name.slice(1)}, from −${fixed(most)} to ${fixed(most)}`, height: Math.max(90, Math.min(z.length * 12, 300)), z, most, across,
      ticks: { title: { text: down }, nticks: 4 }, look: { hovertemplate: `${down} %{y}, ${across} %{x}: %{z:.3f}<extra></extra>` },
    };
  });
  if (!units.length) return maps;
  return [{
    title: "State at this step, from −1 to 1", height: UNITS * units.length, z: units.map((state) => atStep(state.values, step)), most: 1, across: "unit", ticks: { tickvals: names.map((_, k) => k), ticktext: names },
    look: { ygap: 2, text: names.map((name, k) => Array(units[k].values.shape[1]).fill(plain(name))), hovertemplate: "%{text}, unit %{x}: %{z:.3f}<extra></extra>" },
  }, ...maps];
}

function markWord(tokens, step) {
  tokens.querySelector("[aria-current]")?.removeAttribute("aria-current");
  tokens.children[step]?.setAttribute("aria-current", "true");
}
