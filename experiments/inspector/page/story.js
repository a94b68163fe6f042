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

/** Sentences and what was looked at: attention by hop, or gates by slot with the question's look below. */
function lookTable(panel) {
  const gates = panel.gates;
  const columns = gates ? panel.slots_named.map((name) => `slot ${name}`) : Array.from({ length: panel.attention.shape[0] }, (_, hop) => `hop ${hop + 1}`);
  const value = (row, column) => (gates ? atStep(gates, row)[column] : atStep(panel.attention, column)[row]);
  const rows = panel.sentences.map((sentence, row) => make("tr", { class: panel.supports.includes(row) ? "support" : null },
    make("th", { scope: "row" }, make("span", { class: "unit" }, `${row + 1} `), sentence, panel.supports.includes(row) ? make("span", { class: "spoken" }, ", supporting fact") : null),
    ...columns.map((name, column) => cell(value(row, column), gates ? "gate" : "read", `${name}, sentence ${row + 1}`))));
  const heads = columns.map((name) => make("th", { scope: "col" }, gates ? name.replace("slot ", "") : name));
  return make("table", { class: `looks ${gates ? "gates" : "hops"}` },
    make("thead", {}, make("tr", {}, make("th", { scope: "col" }, gates ? "story; gate of every slot" : "story; attention by hop"), ...heads)),
    make("tbody", {}, ...rows), make("tfoot", {}, lastRow(panel, columns)));
}

/** Where an EntNet's question looked; what of the attention went to empty slots, if any did. */
function lastRow(panel, columns) {
  if (panel.gates) {
    return make("tr", {}, make("th", { scope: "row" }, "where the question looked"), ...columns.map((name, column) => cell(panel.look.values[column], "read", name)));
  }
  const rest = columns.map((_, hop) => 1 - atStep(panel.attention, hop).reduce((sum, weight) => sum + weight, 0));
  if (!rest.some((one) => one >= 2 * SEEN)) return null;
  return make("tr", {}, make("th", { scope: "row" }, "empty slots of the memory"), ...columns.map((name, hop) => cell(Math.max(rest[hop], 0), "read", name)));
}

/** What a reader hears, word by word. */
const tokenList = (panel, choose) => panel.words.map((word, step) => make("button", { type: "button", tabindex: "-1", onclick: () => choose(step) }, word));
