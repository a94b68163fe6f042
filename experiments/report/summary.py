"""Many seeds of one setting as one result, with the published numbers beside it."""

import dataclasses
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from experiments.base.files import UserError, write_whole
from experiments.base.names import model_label
from experiments.base.progress import working
from experiments.base.provenance import command_line, without_places
from experiments.base.statistics import deviation
from experiments.base.terminal import page
from experiments.config.command_line import parse
from experiments.config.parts import NOT_SETTING, TrainConfig
from experiments.domains.sequences.models import make_task, training_lengths
from experiments.domains.sequences.pictures import measure_of
from experiments.domains.stories.config import StoryConfig
from experiments.domains.stories.summary import summarize_stories
from experiments.figures import figure_name, save_figure, seeds_figure
from experiments.figures.drawing import DrawingOptions
from experiments.figures.paper_curves import Curve, columns, curve_of_rows
from experiments.report.plain_summary import summarize_plain
from experiments.runs.folder import RunFolder, versions
from experiments.runs.metrics import read_metrics
from experiments.runs.papers import paper_curve, paper_statement, paper_tests
from tasks import Score, Task


@dataclasses.dataclass(frozen=True)
class SummarizeOptions(DrawingOptions):
    """Put runs together that differ only in their seed (on stories: seed or tasks): OUT.json, OUT.md and a figure."""

    runs: tyro.conf.Positional[tuple[str, ...]]
    """The folders of the runs."""
    out: str = "summary"
    """Path of the files to write, without an ending."""
    made_by: str = ""
    """The commands that made the runs, as a reader would type them, to be kept in the result."""


def summarize(args: Sequence[str]) -> int:
    """Write a result, print its text, and say where the files are."""
    options = parse(SummarizeOptions, "summarize", args)
    if not options.runs:
        raise UserError("summarize needs at least one run folder")
    if not Path(options.out).parent.is_dir():
        raise UserError(f"--out {options.out}: expected the path of files in a folder that exists")
    folders = [RunFolder(run) for run in options.runs]
    configs = [folder.read_config() for folder in folders]
    stories = [config for config in configs if isinstance(config, StoryConfig)]
    sequences = [config for config in configs if isinstance(config, TrainConfig)]
    kinds = list(dict.fromkeys(config.kind for config in configs))
    if len(kinds) > 1:
        raise UserError(f"runs on {kinds[0]} and runs on {kinds[1]} cannot be one result")
    origin = {
        "made_by": options.made_by,
        "summarized_by": command_line("summarize", *options.runs, "--out", options.out),
    }
    if stories:
        with options.drawn():
            text = summarize_stories(folders, stories, out=options.out, origin=origin)
    elif sequences:
        with options.drawn():
            text = _summarize_sequences(folders, sequences, out=options.out, origin=origin)
    else:
        own = (*NOT_SETTING, "seeds")
        text = summarize_plain(folders, configs, own, out=options.out, origin=origin)
    print(page(text), end="")
    print(f"{options.out}.md\n{options.out}.json", file=sys.stderr)
    return 0


def seeds_text(folders: Sequence[RunFolder], configs: Sequence[TrainConfig]) -> str:
    """What `summarize` says of solving and tests, for runs that differ in their seed alone."""
    seeds = [_seed_result(folder, config) for folder, config in zip(folders, configs, strict=True)]
    task = make_task(configs[0].task)
    return "\n".join([*_solving(seeds, configs[0], task), "", *_test_lines(_tests(folders, configs, task), task)])


@working("putting the runs together")
def _summarize_sequences(
    folders: Sequence[RunFolder], configs: Sequence[TrainConfig], *, out: str, origin: Mapping[str, str]
) -> str:
    for folder, config in zip(folders, configs, strict=True):
        _same_setting(configs[0], config, folder)
    seeds = [config.seed for config in configs]
    if len(set(seeds)) < len(seeds):
        raise UserError(f"two of the runs have the same seed, {next(one for one in seeds if seeds.count(one) > 1)}")
    task = make_task(configs[0].task)
    key = f"valid/{task.curve.name}"
    curves = {
        f"seed {config.seed}": curve_of_rows(read_metrics(folder.metrics), key)
        for folder, config in zip(folders, configs, strict=True)
    }
    published = paper_curve(configs[0])
    result: dict[str, Any] = without_places(
        {
            **origin,
            "versions": versions(),
            "config": {key: value for key, value in configs[0].saved().items() if key != "seed"},
            "seeds": [_seed_result(folder, config) for folder, config in zip(folders, configs, strict=True)],
            "tests": _tests(folders, configs, task),
            "curve": _against_published(curves, published),
            "published": {"statement": paper_statement(configs[0]), "bits": paper_tests(configs[0])},
            "curves": curves,
        }
    )
    text = _text(result, configs[0], task)
    write_whole(f"{out}.json", json.dumps(result, indent=1) + "\n")
    write_whole(f"{out}.md", text)
    title = f"{configs[0].task}, {model_label(configs[0])}, recipe {configs[0].recipe}"
    figure = seeds_figure(
        curves,
        {model_label(configs[0]): published},
        title,
        model=model_label(configs[0]),
        measure=measure_of(task.curve),
        target_bits=0.1 if task.answer == "bits" else None,
        baseline=task.baselines(training_lengths(configs[0], task)[1]).get(f"baseline_{task.curve.name}"),
    )
    save_figure(figure, figure_name(out))
    return text


def _same_setting(first: TrainConfig, other: TrainConfig, folder: RunFolder) -> None:
    for name, value in first.saved().items():
        if name not in NOT_SETTING and other.saved()[name] != value:
            raise UserError(f"{folder.path} has {name} {other.saved()[name]!r}, the first run {value!r}")


def _seed_result(folder: RunFolder, config: TrainConfig) -> dict[str, Any]:
    """How one run went; of a run that has not ended, how far it is."""
    rows = read_metrics(folder.metrics)
    result = folder.read_result()
    valid = [row for row in rows if "valid/exact_share" in row]
    last = valid[-1] if valid else {}
    return {
        "seed": config.seed,
        "finished": bool(result),
        "sequences": rows[-1]["sequences"] if rows else 0,
        "sequences_to_solve": result.get("sequences_to_solve"),
        "begun": result.get("begun", 1),
        "last_validation": {key: value for key, value in last.items() if key.startswith("valid/")},
        "versions": result.get("versions"),
    }


def _tests(folders: Sequence[RunFolder], configs: Sequence[TrainConfig], task: Task) -> list[dict[str, Any]]:
    """For every test that all runs took: each seed's scores, mean, deviation and best."""
    by_test: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for folder, config in zip(folders, configs, strict=True):
        for row in folder.read_tests(config):
            key = tuple(row[name] for name in ("num_slots", "repeats", "length", "seed", "sequences"))
            by_test.setdefault(key, []).append(row | {"run_seed": config.seed})
    tests = []
    for (num_slots, repeats, length, _, sequences), rows in by_test.items():
        if len(rows) < len(folders):
            continue
        test: dict[str, Any] = {"length": length, "num_slots": num_slots, "repeats": repeats, "sequences": sequences}
        for name in dict.fromkeys(score.name for score in (task.exact, *task.scores)):
            if not all(name in row for row in rows):
                continue
            values = [row[name] for row in rows]
            test[name] = {
                "by_seed": {str(row["run_seed"]): row[name] for row in rows},
                "mean": statistics.fmean(values),
                "deviation": deviation(values),
                "best": max(values) if name == task.exact.name else min(values),
            }
        told = ("optimal_bits_per_sequence", *task.baselines(length))
        test |= {name: rows[0][name] for name in told if name in rows[0]}
        tests.append(test)
    return tests


def _against_published(curves: dict[str, Curve], published: Curve) -> list[dict[str, Any]]:
    """Median validation bits of our seeds and the paper's, at the same numbers of sequences."""
    ends = [curve[-1][0] for curve in curves.values() if curve]
    rows = []
    for thousands, bits in published if ends else []:
        if thousands > max(ends):
            break
        at = [_value_at(curve, thousands) for curve in curves.values() if curve]
        rows.append({"thousand_sequences": thousands, "ours": statistics.median(at), "paper": bits})
    return rows


def _value_at(curve: Curve, thousands: float) -> float:
    """A curve's last value at or before a number of sequences, its first where there is none."""
    x, y = columns(curve)
    return float(y[max(int(np.searchsorted(x, thousands, side="right")) - 1, 0)])


def _text(result: dict[str, Any], config: TrainConfig, task: Task) -> str:
    """The result for reading."""
    seeds = result["seeds"]
    lines = [
        f"# {config.task}, {model_label(config)}, recipe {config.recipe}, {len(seeds)} seed{'s' * (len(seeds) > 1)}",
        "",
    ]
    if result["made_by"]:
        lines += ["Made by", "", "```", *result["made_by"].splitlines(), result["summarized_by"], "```", ""]
    commits = sorted({(one["versions"] or {}).get("commit", "unfinished") for one in seeds})
    lines += [
        f"torch {result['versions']['torch']}, Python {result['versions']['python']}, commits {', '.join(commits)}."
    ]
    lines += ["", *_solving(seeds, config, task), ""]
    if result["tests"]:
        lines += [*_test_lines(result["tests"], task), ""]
        optimal = [test for test in result["tests"] if "optimal_bits_per_sequence" in test]
        lines += [
            f"Optimal estimator on the same sequences: {one['optimal_bits_per_sequence']:.2f} bits." for one in optimal
        ]
    if result["curve"]:
        lines += [
            "| thousand sequences | ours, median bits/seq on validation, of ended seeds the last "
            "| paper, bits/seq (digitised) |",
            "|---|---|---|",
        ]
        chosen = _thinned(result["curve"])
        lines += [f"| {row['thousand_sequences']:.0f} | {row['ours']:.3g} | {row['paper']:.3g} |" for row in chosen]
        lines += [""]
    lines += [result["published"]["statement"]]
    bits = result["published"]["bits"]
    lines += [f"Published bits per sequence at {length}: {value}." for length, value in bits.items()]
    return "\n".join(lines) + "\n"


def _solving(seeds: Sequence[dict[str, Any]], config: TrainConfig, task: Task) -> list[str]:
    if config.solved_at is None:
        shown = dict.fromkeys((task.curve, task.criterion))
        values = [
            [f"{one['last_validation'].get(f'valid/{score.name}', float('nan')):.3g} {score.unit}" for score in shown]
            for one in seeds
        ]
        return [
            f"Seed {one['seed']}: {one['sequences']:,} sequences{'' if one['finished'] else ' (stopped by time)'}, "
            f"validation {', '.join(words)}."
            for one, words in zip(seeds, values, strict=True)
        ]
    solved = sorted(one["sequences_to_solve"] for one in seeds if one["sequences_to_solve"] is not None)
    criterion = f"(under {config.solved_at} {task.criterion.unit} in validation)"
    lines = [f"Solved {criterion}: {len(solved)} of {len(seeds)} seeds."]
    if len(solved) > 1:
        first, middle, third = np.percentile(solved, [25, 50, 75])
        lines.append(f"Sequences to solve: median {middle:,.0f}, quartiles {first:,.0f} and {third:,.0f}.")
    each = [f"{one['seed']}: {one['sequences_to_solve'] or 'not solved'}" for one in seeds]
    told = [*lines, "By seed: " + ", ".join(each) + "."]
    if again := [f"{one['seed']} ({one['begun']} times)" for one in seeds if one["begun"] > 1]:
        told.append(f"Begun again with new weights, all sequences counted: {', '.join(again)}.")
    return told


def _test_lines(tests: Sequence[dict[str, Any]], task: Task) -> list[str]:
    """The table of tests: exact sequences, the criterion and the curve's score, with their baselines."""
    scores = list(dict.fromkeys((task.criterion, task.curve)))
    names = ["length", "slots", "sequences", f"{task.exact.heading}, mean ± sd", "best seed", "seeds at 100 %"]
    for score in scores:
        names += [f"{score.heading}, mean ± sd"]
        names += ["baseline"] if any(f"baseline_{score.name}" in test for test in tests) else []
    head = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    return [*head, *(_test_line(test, scores) for test in tests)]


def _test_line(test: dict[str, Any], scores: Sequence[Score]) -> str:
    def spread(name: str, percent: bool = False) -> str:
        scale, unit = (100, " %") if percent else (1, "")
        deviation = test[name]["deviation"]
        after = "" if deviation is None else f" ± {scale * deviation:.3g}"
        return f"{scale * test[name]['mean']:.4g}{after}{unit}"

    shares = test["exact_share"]["by_seed"].values()
    length = f"{test['length']}" + (f" x {test['repeats']}" if test["repeats"] else "")
    perfect = f"{sum(share == 1 for share in shares)} of {len(shares)}"
    cells = [length, str(test["num_slots"] or "no memory"), str(test["sequences"]), spread("exact_share", True)]
    cells += [f"{100 * test['exact_share']['best']:.4g} %", perfect]
    for score in scores:
        baseline = test.get(f"baseline_{score.name}")
        cells += [spread(score.name), *([] if baseline is None else [f"{baseline:.4g}"])]
    return "| " + " | ".join(cells) + " |"


def _thinned(rows: Sequence[dict[str, Any]], most: int = 12) -> Sequence[dict[str, Any]]:
    """At most so many rows, evenly, the last always."""
    step = -(-len(rows) // most)
    return [*rows[:-1:step], rows[-1]]
