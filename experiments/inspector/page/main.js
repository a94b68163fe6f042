// What is chosen, the step in time, and the panels of the runs.

// The step is null until one is shown: of what is read word by word to its end that, else the first.
const state = { question: 0, step: null, wrongOnly: false, playing: null };
const NAMES = { length: "Length", seed: "Seed", slots: "Slots" };
const SECONDS_A_STEP = 0.35;
const views = new Map();
// What is on the page now: the view, the example, those in the list, of every panel that has steps how it shows one,
// the steps at which one can be, and the largest number in any memory.
let shown = { view: null, about: null, questions: [], panels: [], steps: 0, stops: [], most: 1 };
let asked = 0;
// The question that the server is working on, and what ends it.
let working = { key: null, stop: new AbortController() };

const keyOf = (one = state) => Object.keys(NAMES).map((name) => one[name] ?? "").join("/");

/** What is chosen, from the page or from the server, which leaves off what was asked before; kept once it is there. */
function viewOf(key) {
  if (working.key !== key) working.stop.abort();
  if (!views.has(key)) {
    const loaded = data.views[key] ? unpack(data.views[key]) : fromServer(key).then(unpack);
    views.set(key, loaded);
    loaded.catch(() => views.delete(key));
  }
  return views.get(key);
}

async function fromServer(key) {
  working = { key, stop: new AbortController() };
  const query = new URLSearchParams(Object.keys(NAMES).map((name) => [name, state[name] ?? ""]));
  const answer = await fetch(`view.json?${query}`, { cache: "no-store", signal: working.stop.signal });
  if (!answer.ok) throw new Error((await answer.text()).trim());
  return answer.json();
}

async function show() {
  const mine = (asked += 1);
  const status = byId("status");
  status.className = "";
  status.textContent = data.live ? "computing …" : "";
  try {
    const view = await viewOf(keyOf());
    if (mine !== asked) return;
    status.textContent = "";
    layOut(view);
  } catch (error) {
    if (mine !== asked) return;
    status.className = "trouble";
    status.textContent = error instanceof TypeError ? "the server is gone" : error.message;
  }
}

/** Draw all panels anew for a view, at the step where one is as far as there is one. */
function layOut(view) {
  const wrong = wrongIn(view);
  const several = view.questions.length > 1;
  const only = filter(wrong.length, several ? "answers" : "steps");
  const all = (count) => Array.from({ length: count }, (_, k) => k);
  const questions = several && only ? wrong : all(view.questions.length);
  if (!questions.includes(state.question)) state.question = questions[0];
  document.body.toggleAttribute("data-several", several);
  byId("questions").replaceChildren(...(several ? questionList(view.questions, questions, state.question, chooseQuestion) : []));
  if (!several) markChoices();
  const about = view.questions[state.question];
  const panels = about.panels.map((panel, number) => ({ panel, ...layPanel(number, about, panel) }));
  byId("panels").replaceChildren(...panels.map((one) => one.article));
  byId("panels").toggleAttribute("data-alike", new Set(panels.map(({ panel }) => Boolean(panel.heads))).size === 1);
  const moving = panels.filter((one) => one.parts);
  const steps = Math.max(0, ...moving.map((one) => one.panel.output.shape[0]));
  const most = largest([0, ...moving.map((one) => (one.panel.memory ? peak(one.panel.memory.values) : 0))]) || 1;
  shown = { view, about, questions, panels: moving, steps, stops: only && !several ? wrong : all(steps), most };
  byId("time").hidden = byId("hint").hidden = !steps;
  byId("slider").max = Math.max(steps - 1, 0);
  if (!steps) return;
  const rows = rowsOfAll(about, moving.map((one) => one.panel));
  moving.forEach(({ panel, parts }, number) => drawTime(parts.over, rows[number], panel, goTo));
  goTo(state.step ?? (moving[0].panel.words ? Infinity : 0));
}

/** The questions that some model answered wrong, or the steps at which one did. */
function wrongIn(view) {
  if (view.questions.length > 1) return view.questions.map((_, k) => k).filter((k) => view.questions[k].panels.some((panel) => panel.right === false));
  const steps = new Set(view.questions[0].panels.flatMap((panel) => panel.wrong_at.map(([step]) => step)));
  return [...steps].sort((a, b) => a - b);
}

/** Tell how many wrong ones there are; whether only they are shown. */
function filter(count, what) {
  byId("wrong").disabled = !count;
  byId("wrong").nextElementSibling.textContent = `Wrong ${what} only (${count})`;
  return state.wrongOnly && count > 0;
}

/** A cross at every length, seed and number of slots at which some model answers wrong, as far as they are in the page. */
function markChoices() {
  for (const option of document.querySelectorAll("#choices option")) {
    const name = option.parentElement.id;
    const view = data.views[keyOf({ ...state, [name]: option.value || null })];
    option.textContent = inWordsOf(option.value) + (view?.questions[0].panels.some((panel) => panel.right === false) ? " ✗" : "");
  }
}

/** The empty places of one run's panel; `parts` only where there are steps. */
function layPanel(number, about, panel) {
  const run = data.runs[number];
  const facts = [run.model, `seed ${run.seed}`, run.step === null ? null : `not finished, checkpoint of step ${run.step}`].filter(Boolean).join(", ");
  const article = make("article", { class: "panel run" }, make("header", {}, make("h2", { title: run.path }, run.name), make("p", { class: "soft" }, facts)));
  const part = (kind, more = {}) => make("div", { class: kind, ...more });
  if (!about.input) article.append(make("p", { class: "asked" }, about.question, " "));
  article.append(panel.answers ? answerList(panel, about.answer) : verdict(panel));
  if (panel.grid) {
    article.append(make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "What was looked at" }, lookTable(panel.grid)),
      make("p", { class: "note" }, panel.grid.marked.length ? "● A fact that gives the answer. " : null, panel.grid.kind === "gate"
        ? "Green: how far a sentence opened the gate of a slot. Blue: the slots the question looked at."
        : "Blue: how much each was weighted."));
  }
  if (!panel.output) return { article };
  const plot = (words) => part("plot", { role: "img", "aria-label": words });
  const parts = { words: part("words"), cursor: part("cursor"), over: plot("Over time"), now: plot("This step"), bits: part("scroll"), heads: part("scroll"), tokens: part("tokens") };
  if (panel.words) parts.tokens.append(...tokenList(panel, goTo));
  const table = panel.words ? parts.tokens : parts.bits;
  const over = part("over");
  over.append(parts.over, parts.cursor);
  const step = part("step");
  step.append(parts.now, ...(panel.heads ? [parts.heads] : []));
  const halves = part("halves");
  halves.append(over, step);
  const lead = part("lead");
  lead.append(parts.words, table);
  article.append(lead, halves);
  return { article, parts };
}

const verdict = ({ right, verdict: told }) => make("p", { class: right === false ? "wrong" : right ? "right" : null }, `${right === false ? "✗ " : right ? "✓ " : ""}${told}`);

/** Show a step, in all panels; the nearest one that can be shown. */
function goTo(step) {
  state.step = shown.stops.reduce((best, one) => (Math.abs(one - step) < Math.abs(best - step) ? one : best), shown.stops.at(-1));
  byId("slider").value = state.step;
  byId("step").textContent = `${state.step} of ${shown.steps - 1}`;
  for (const { panel, parts } of shown.panels) {
    const steps = panel.output.shape[0];
    const own = Math.min(state.step, steps - 1);
    parts.cursor.style.cssText = `--step: ${own}; --steps: ${steps}`;
    drawStep(parts, shown.about, panel, own, shown.most);
  }
}

/** So many steps on of those that are shown. */
const move = (by) => goTo(shown.stops[shown.stops.indexOf(state.step) + by] ?? state.step);

function chooseQuestion(number) {
  play(false);
  state.question = number;
  state.step = null;
  layOut(shown.view);
  byId("questions").querySelector("[aria-pressed=true]").focus();
}

function play(on = state.playing === null) {
  clearInterval(state.playing);
  state.playing = null;
  if (on) {
    if (state.step === shown.stops.at(-1)) goTo(0);
    state.playing = setInterval(() => {
      move(1);
      if (state.step === shown.stops.at(-1)) play(false);
    }, 1000 * SECONDS_A_STEP);
  }
  byId("play").textContent = on ? "Pause" : "Play";
}

const inWordsOf = (value) => (value === null || value === "" ? "as trained" : String(value));

/** A list of what is in the page, or, with a server behind it, any number. */
function control(name) {
  const values = data.choices[name];
  const change = ({ target }) => {
    if (!target.reportValidity()) return;
    play(false);
    state[name] = target.value === "" ? null : Number(target.value);
    show();
  };
  const field = data.live
    ? make("input", { type: "number", id: name, min: name === "seed" ? 0 : 1, step: 1, required: name !== "slots", placeholder: inWordsOf(null), value: values[0] ?? "", onchange: change })
    : make("select", { id: name, onchange: change }, ...values.map((value) => make("option", { value: value ?? "" }, inWordsOf(value))));
  const unit = name === "length" && data.unit ? ` (${data.unit})` : "";
  return make("label", {}, NAMES[name] + unit, field);
}

function makeControls() {
  for (const [name, values] of Object.entries(data.choices)) {
    state[name] = values[0];
    if (data.asks.includes(name) && (data.live || values.length > 1)) byId("choices").append(control(name));
  }
}

const STEPS = { ArrowLeft: () => move(-1), ArrowRight: () => move(1), Home: () => goTo(0), End: () => goTo(shown.steps - 1) };

/** Arrow keys step in time, up and down from question to question; fields and scrolled tables keep theirs. */
function onKey(event) {
  if (event.altKey || event.ctrlKey || event.metaKey || event.target.closest("select, input, .scroll")) return;
  const question = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  if (STEPS[event.key] && shown.steps) {
    play(false);
    STEPS[event.key]();
  } else if (event.key === " " && shown.steps && !event.target.closest("button, a")) {
    play();
  } else if (question && shown.questions.length > 1) {
    const next = shown.questions[shown.questions.indexOf(state.question) + question];
    if (next !== undefined) chooseQuestion(next);
  } else {
    return;
  }
  event.preventDefault();
}

function listen() {
  addEventListener("keydown", onKey);
  byId("slider").addEventListener("input", ({ target }) => {
    play(false);
    goTo(Number(target.value));
  });
  byId("play").addEventListener("click", () => play());
  byId("back").addEventListener("click", () => move(-1));
  byId("on").addEventListener("click", () => move(1));
  byId("wrong").addEventListener("change", ({ target }) => {
    play(false);
    state.wrongOnly = target.checked;
    if (shown.view) layOut(shown.view);
  });
}

document.body.dataset.runs = data.runs.length;
byId("title").textContent = data.title;
document.title = `memnet inspector: ${data.title}`;
startTheme(() => shown.view && layOut(shown.view));
makeControls();
listen();
addEventListener("load", () => setTimeout(() => {
  startLibrary();
  show();
}));
