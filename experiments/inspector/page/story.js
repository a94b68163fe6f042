// Questions about stories: the list of them, the answers, and what was looked at, sentence by sentence.

// Numbers that would be rounded to 0.00 are left out.
const SEEN = 0.005;

/** The buttons of the questions with these numbers, by task. */
function questionList(questions, numbers, chosenOne, choose) {
  const parts = [];
  numbers.forEach((k, place) => {
    const asked = questions[k];
    if (!place || asked.about !== questions[numbers[place - 1]].about) parts.push(make("h3", {}, asked.about));
    const verdicts = asked.panels.map((panel) => make("span", { class: panel.right ? "right" : "wrong" }, panel.right ? "✓" : "✗"));
    const told = asked.panels.map((panel, number) => `${data.runs[number].name}: ${panel.right ? "right" : "wrong"}`).join(", ");
    parts.push(make("button", { type: "button", class: "question", "aria-pressed": String(k === chosenOne), onclick: () => choose(k) },
      make("span", { "aria-hidden": "true" }, ...verdicts), make("span", {}, asked.question, make("span", { class: "soft" }, ` ${asked.answer}`)), make("span", { class: "spoken" }, `; ${told}`)));
  });
  return parts;
}

/** The model's answers with their probabilities, the best first. */
function answerList(panel, right) {
  return make("ol", { class: "answers" }, ...panel.answers.map((word, k) => {
    const chance = panel.chances.values[k];
    const verdict = word === right ? make("span", { class: "right" }, " ✓ right") : k === 0 ? make("span", { class: "wrong" }, " ✗ wrong") : null;
    return make("li", {}, make("span", { class: "word" }, word, verdict), make("span", { class: "share", "aria-hidden": "true" }, make("i", { style: `width: ${100 * chance}%` })), make("span", { class: "number" }, fixed(chance)));
  }));
}

const cell = (value, kind, words) => make("td", { class: `look ${kind}`, style: `--h: ${Math.min(value, 1)}`, title: `${words}: ${fixed(value, 3)}` }, value >= SEEN ? fixed(value) : "");

/** Sentences or words and what was looked at for each, by hop, by slot, by word; below what is told of the columns. */
function lookTable({ kind, axis, over, rows, columns, values, below, marked }) {
  const gates = kind === "gate";
  const called = (name) => (over === "slot" && /^\d+$/.test(name) ? `slot ${name}` : name);
  const body = rows.map((name, row) => make("tr", { class: marked.includes(row) ? "support" : null },
    make("th", { scope: "row" }, make("span", { class: "unit" }, `${row + 1} `), name, marked.includes(row) ? make("span", { class: "spoken" }, ", supporting fact") : null),
    ...Array.from(atStep(values, row), (value, column) => cell(value, kind, `${called(columns[column])}, ${axis} ${row + 1}`))));
  const last = below && make("tr", {}, make("th", { scope: "row" }, below.name), ...columns.map((name, column) => cell(Math.max(below.values.values[column], 0), "read", called(name))));
  return make("table", { class: `looks ${gates ? "gates" : "hops"}` },
    make("thead", {}, make("tr", {}, make("th", { scope: "col" }, `${axis === "sentence" ? "story" : axis}; ${gates ? "gate of every" : "attention by"} ${over}`),
      ...columns.map((name) => make("th", { scope: "col" }, name)))),
    make("tbody", {}, ...body), make("tfoot", {}, last));
}

/** What a reader hears, word by word. */
const tokenList = (panel, choose) => panel.words.map((word, step) => make("button", { type: "button", tabindex: "-1", onclick: () => choose(step) }, word));
