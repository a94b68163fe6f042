"""Seeds of one setting in one result: how many solved, and their tests."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.base.curves import Curve, columns, curve_of_rows
from experiments.base.files import UserError
from experiments.base.statistics import deviation
from experiments.base.tables import marked
from experiments.runs.about import About, Score, recipe_words
from experiments.runs.folder import RunFolder
from experiments.runs.tests import TestRow, interval_words, name_of

# Of more scores those alone are in the text by which a task is solved and learned.
_MOST_SCORES = 5


class Member(NamedTuple):
    """One of the runs, as its files tell it."""

    folder: RunFolder
    about: About
    result: dict[str, Any]
    tests: list[TestRow]
    rows: list[dict[str, Any]]


def same_seed(members: Sequence[Member]) -> None:
    """UserError where two runs have one seed."""
    seeds = [one.about["seed"] for one in members]
    if len(set(seeds)) < len(seeds):
        raise UserError(f"two of the runs have the same seed, {next(one for one in seeds if seeds.count(one) > 1)}")


def seed_result(members: Sequence[Member]) -> dict[str, Any]:
    """What OUT.json has of the runs."""
    about = members[0].about
    key = f"valid/{about['curve']['metric']}"
    curves = {f"seed {one.about['seed']}": curve_of_rows(one.rows, key) for one in members}
    papers = [one for one in about["references"] if one["kind"] == "published"]
    return {
        "trained_on": about["data"],
        **({"state_floats": about["state_floats"]} if "state_floats" in about else {}),
        "seeds": [_seed(one) for one in members],
        "tests": tests_of(members),
        "curve": _against_published(curves, [(x, y) for one in papers for x, y in one["curve"]]),
        "published": {"statement": about["published"], "tests": papers[0]["tests"] if papers else {}},
        "curves": curves,
    }


def _seed(one: Member) -> dict[str, Any]:
    """How one run went; of a run that has not ended, how far it is."""
    valid = [row for row in one.rows if f"valid/{one.about['curve']['metric']}" in row]
    last = valid[-1] if valid else {}
    return {
        "seed": one.about["seed"],
        "finished": bool(one.result),
        "command": one.result.get("command"),
        "resumed_by": one.result.get("resumed_by", []),
        "sequences": one.rows[-1]["sequences"] if one.rows else 0,
        "sequences_to_solve": one.result.get("sequences_to_solve"),
        "begun": one.result.get("begun", 1),
        **({"left_out": left} if (left := one.result.get("left_out")) else {}),
        "last_validation": {key: value for key, value in last.items() if key.startswith("valid/")},
        "versions": one.result.get("versions"),
    }


def tests_of(members: Sequence[Member]) -> list[dict[str, Any]]:
    """For every test that all runs took: conditions, baselines, each score by seed, mean, deviation, best, worst."""
    by_test: dict[str, list[tuple[int, TestRow]]] = {}
    for one in members:
        for row in one.tests:
            by_test.setdefault(repr((row["on"], row["at"], row["count"])), []).append((one.about["seed"], row))
    high = {score["name"] for score in members[0].about["tests"]["scores"] if score["best"] == "high"}
    tests = []
    for rows in by_test.values():
        if len(rows) < len(members):
            continue
        _, first = rows[0]
        test: dict[str, Any] = {name: first[name] for name in ("on", "at", "count", "baselines")}
        test["scores"] = {
            name: _of_seeds({str(seed): row["scores"][name] for seed, row in rows}, name in high)
            for name in first["scores"]
            if all(name in row["scores"] for _, row in rows)
        }
        tests.append(test)
    return tests


def _of_seeds(by_seed: dict[str, float], high: bool) -> dict[str, Any]:
    values = list(by_seed.values())
    best, worst = (max(values), min(values)) if high else (min(values), max(values))
    return {
        "by_seed": by_seed,
        "mean": statistics.fmean(values),
        "deviation": deviation(values),
        "best": best,
        "worst": worst,
    }


def _against_published(curves: dict[str, Curve], published: Curve) -> list[dict[str, Any]]:
    """The median validation of our seeds and the paper's, at the same numbers of sequences."""
    ends = [curve[-1][0] for curve in curves.values() if curve]
    rows = []
    for thousands, value in published if ends else []:
        if thousands > max(ends):
            break
        at = [_value_at(curve, thousands) for curve in curves.values() if curve]
        rows.append({"thousand_sequences": thousands, "ours": statistics.median(at), "paper": value})
    return rows


def _value_at(curve: Curve, thousands: float) -> float:
    """A curve's last value at or before a number of sequences, its first where there is none."""
    x, y = columns(curve)
    return float(y[max(int(np.searchsorted(x, thousands, side="right")) - 1, 0)])


def seed_text(result: Mapping[str, Any], about: About) -> str:
    """The result for reading."""
    seeds, what = result["seeds"], f"{about['subject']}, {about['model_words']}, {recipe_words(about)}"
    lines = [f"# {marked(what)}, {len(seeds)} seed{'s' * (len(seeds) > 1)}", ""]
    own = [one["command"] for one in seeds if one["command"]] if not result["made_by"] else []
    lines += ["Made by", "", "```", *(result["made_by"].splitlines() or own), result["summarized_by"], "```", ""]
    commits = sorted({(one["versions"] or {}).get("commit", "unfinished")[:12] for one in seeds})
    lines += [
        f"torch {result['versions']['torch']}, Python {result['versions']['python']}, commits {', '.join(commits)}; "
        f"trained on {marked(result['trained_on'])}."
    ]
    if "state_floats" in result:
        lines += ["", f"The state of a sequence holds {result['state_floats']:,} numbers."]
    lines += ["", *solving(seeds, about), ""]
    if result["tests"]:
        lines += [*test_lines(result["tests"], about), ""]
    optimal = [one["scores"].get("optimal_bits_per_sequence") for one in result["tests"]]
    lines += [f"Optimal estimator on the same sequences: {one['mean']:.2f} bits." for one in optimal if one]
    if result["curve"]:
        unit = about["curve"]["unit"]
        lines += [
            f"| thousand {about['examples']} | ours, median on validation, {unit}, of ended seeds the last "
            f"| paper, {unit} (digitised) |",
            "|---|---|---|",
        ]
        chosen = _thinned(result["curve"])
        lines += [f"| {row['thousand_sequences']:.0f} | {row['ours']:.3g} | {row['paper']:.3g} |" for row in chosen]
        lines += [""]
    lines += [result["published"]["statement"]] if result["published"]["statement"] else []
    words = {score["name"]: score["words"] for score in about["tests"]["scores"]}
    for one in about["references"]:
        what = words.get(one["score"], one["score"])
        lines += [f"Published {what} at {place}: {value}." for place, value in one["tests"].items()]
    return "\n".join(lines).rstrip() + "\n"


def solving(seeds: Sequence[Mapping[str, Any]], about: About) -> list[str]:
    """How many seeds solved, and after how much; where nothing says what solved is, their last validations."""
    solved_by = about["solved"]
    lost = [f"{one['seed']} ({one['left_out']:,})" for one in seeds if one.get("left_out")]
    left_out = [f"Updates left out, since their gradients were no numbers: {', '.join(lost)}."] if lost else []
    if solved_by is None:
        key, unit = f"valid/{about['curve']['metric']}", about["curve"]["unit"]
        return [
            f"Seed {one['seed']}: {one['sequences']:,} {about['examples']}"
            f"{'' if one['finished'] else ' (stopped by time)'}, "
            f"validation {one['last_validation'].get(key, float('nan')):.3g} {unit}."
            for one in seeds
        ] + left_out
    solved = sorted(one["sequences_to_solve"] for one in seeds if one["sequences_to_solve"] is not None)
    criterion = f"(under {solved_by['under']} {solved_by['unit']} in validation)"
    lines = [f"Solved {criterion}: {len(solved)} of {len(seeds)} seeds."]
    if len(solved) > 1:
        first, middle, third = np.percentile(solved, [25, 50, 75])
        lines.append(f"Sequences to solve: median {middle:,.0f}, quartiles {first:,.0f} and {third:,.0f}.")
    each = [f"{one['seed']}: {one['sequences_to_solve'] or 'not solved'}" for one in seeds]
    told = [*lines, "By seed: " + ", ".join(each) + "."]
    times = {one["seed"]: one["begun"] - 1 for one in seeds if one["begun"] > 1}
    if again := [f"{seed} ({'once' if count == 1 else f'{count} times'})" for seed, count in times.items()]:
        told.append(f"Begun again with new weights, all sequences counted: {', '.join(again)}.")
    return told + left_out


def test_lines(tests: Sequence[Mapping[str, Any]], about: About) -> list[str]:
    """The table of tests: the first score with its best and worst seed, and others, with their baselines.

    Of a share of the sequences an interval is told, Wilson's for those of one seed: all are tested on the same ones.
    """
    first, *others = about["tests"]["scores"]
    if len(others) >= _MOST_SCORES:
        told = [about["solved"]["metric"].removeprefix("valid/") if about["solved"] else "", about["curve"]["metric"]]
        others = [one for one in others if one["name"] in told]
    share = first["format"].endswith("%")
    slots = any(test["at"].get("num_slots") for test in tests)
    names = [about["tests"]["by"], *(["slots"] if slots else []), about["tests"]["examples"]]
    names += [f"{first['heading']}, mean ± sd", *(["95 %"] if first.get("counted") else [])]
    names += ["best seed", "worst seed", *(["seeds at 100 %"] if share else [])]
    for score in others:
        names += [f"{score['heading']}, mean ± sd"]
        names += ["baseline"] if any(score["name"] in test["baselines"] for test in tests) else []
    head = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    return [*head, *(_test_line(test, about, others, slots) for test in tests if first["name"] in test["scores"])]


def _test_line(test: Mapping[str, Any], about: About, others: Sequence[Score], slots: bool) -> str:
    first, at, by = about["tests"]["scores"][0], test["at"], about["tests"]["by"]
    share, scores = first["format"].endswith("%"), test["scores"]
    texts = [value for name, value in at.items() if isinstance(value, str) and name != by]
    cells = [
        ", ".join([name_of(at[by], about["tests"]) + (f" x {at['repeats']}" if at.get("repeats") else ""), *texts])
    ]
    cells += [str(at.get("num_slots") or "no memory")] if slots else []
    cells += [str(test["count"]), _spread(scores[first["name"]], share)]
    own, values = scores[first["name"]], scores[first["name"]]["by_seed"].values()
    cells += [interval_words(own["mean"], test["count"])] if first.get("counted") else []
    cells += [f"{100 * own[one]:.4g} %" if share else f"{own[one]:.4g}" for one in ("best", "worst")]
    cells += [f"{sum(value == 1 for value in values)} of {len(values)}"] if share else []
    for score in others:
        baseline = test["baselines"].get(score["name"])
        told = scores.get(score["name"])
        cells += ["-" if told is None else _spread(told), *([] if baseline is None else [f"{baseline:.4g}"])]
    return "| " + " | ".join(cells) + " |"


def _spread(told: Mapping[str, Any], percent: bool = False) -> str:
    scale, unit = (100, " %") if percent else (1, "")
    after = "" if told["deviation"] is None else f" ± {scale * told['deviation']:.3g}"
    return f"{scale * told['mean']:.4g}{after}{unit}"


def _thinned(rows: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
    """At most 12 rows, evenly, and the last."""
    step = -(-len(rows) // 12)
    return [*rows[:-1:step], rows[-1]]
