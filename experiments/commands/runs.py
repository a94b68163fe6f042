"""What `python -m experiments` does with one run, whatever its domain: train, evaluate, show."""

import os
from collections.abc import Sequence

from experiments.config.registry import TASKS, entry


def train(args: Sequence[str]) -> int:
    """Train, test and draw. Returns the exit code, see run_training."""
    if args and not args[0].startswith("-") and not {"=", ":"} & {*args[0]}:
        # Before whatever is needed to train is imported.
        entry(args[0], TASKS, "task")
    from experiments.config.command_line import parse_train, spelled_out
    from experiments.report.summary import seeds_text
    from experiments.training.running import prepare, run_training
    from experiments.training.together import find_group, resume_seeds, train_seeds

    args = spelled_out(args)
    if (group := find_group(args)) is not None:
        return resume_seeds(group, args, seeds_text)
    # W&B's agents give every option to every model.
    config = parse_train(args, lenient="WANDB_SWEEP_ID" in os.environ)
    prepare(config.run.device, config.run.threads)
    if config.where.seeds is None:
        return run_training(config)
    return train_seeds(config, args, seeds_text)


def evaluate(args: Sequence[str]) -> int:
    """Test a run and print the table."""
    from experiments.config.command_line import parse
    from experiments.runs.about import read_about
    from experiments.runs.folder import RunFolder
    from experiments.training.domain import domain_of_run
    from experiments.training.running import prepare

    domain = domain_of_run(args)
    options = parse(domain.EvaluateOptions, "evaluate", args, flags=True)
    options.check()
    prepare(options.device, options.threads)
    folder = RunFolder(options.run)
    with folder.locked(shared=True):
        about = read_about(folder.path)
        found = domain.test(folder, options)
        print(found.told(about, domain.MORE))
        folder.keep_tests(found.rows)
    return 0


def show(args: Sequence[str]) -> int:
    """Draw a run's figures and print where they are."""
    from experiments.config.command_line import parse
    from experiments.runs.about import read_about
    from experiments.runs.folder import RunFolder
    from experiments.training.domain import domain_of_run
    from experiments.training.running import prepare

    domain = domain_of_run(args)
    options = parse(domain.ShowOptions, "show", args)
    options.check()
    prepare("cpu", 1)
    folder = RunFolder(options.run)
    with options.drawn():
        files = domain.draw(folder, read_about(folder.path), options)
    print(*files, sep="\n")
    return 0
