"""The command line: python -m experiments COMMAND ..."""

import gc
import io
import sys
from collections.abc import Callable, Sequence

HELP = """usage: python -m experiments COMMAND ...

  train TASK [options]    train a model until it solves the task, test it
  train babi --task 1-20  train on stories and questions, or world-model
  train text --text FILE  train a character-level language model on any text
  train translate         train on two invented languages, or your own files
  train captions          train on pictures with captions; moving-captions has
                          films, caption-story stories
  train TASK --seeds 10   several seeds at once, each in a run folder of its own
  train --resume RUN      continue a run, bit for bit, or several seeds
  evaluate RUN [options]  test a run at other lengths or with more memory
  translate RUN [TEXT]    translate sentences, or lines of the standard input
  sample RUN [options]    let a model of text write, from a prompt
  describe RUN [IMAGE]    put new pictures of shapes, or your own, into words
  ask RUN                 tell a model of stories a story and ask it questions
  show RUN [options]      draw a run's figures again
  summarize RUN ...       put runs that differ in their seed, or on stories
                          their tasks, together in one result
  report FOLDER           put many runs into tables for a README or a paper
  results                 all results beside the published numbers, as a page
  benchmark [MODEL ...]   time models beside their floor and eager PyTorch, or
                          measure their memory
  speed                   everything that was asked of their speed, as a result
  suite SUITE [options]   many trainings: tasks x models x recipes x seeds;
                          published/... are the papers' tables; none: a list
  sync RUN ...            give W&B clean runs from their folders
  dashboard [FOLDER]      all runs below a folder on one page, a file or served;
                          `push` makes W&B's own
  inspect RUN [RUN2]      step through what a run's memory did, on one page
  keep RUN FOLDER         its trained model alone, for others to use
  gradients [options]     how far gradients reach back in untrained networks
  recipes                 the named settings that --recipe takes

`python -m experiments COMMAND --help` lists the options of a command,
`python -m tasks list` the tasks.
"""


def main(args: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 2 for a user's mistake, told in one line on stderr."""
    from experiments.base.files import UserError
    from experiments.base.provenance import running

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that has no such letter, or a name of a file that is none: escaped, never an error.
            stream.reconfigure(errors="backslashreplace")
    args = list(sys.argv[1:] if args is None else args)
    if not args or args[0] in ("-h", "--help"):
        print(HELP, end="")
        return 0 if args else 2
    try:
        with running(args):
            return _command(args[0])(args[1:])
    except UserError as error:
        return _refuse(error)
    # Before the next, which imports tasks, and those need the extra, too.
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in ("experiments", "memnet", "tasks"):
            raise
        print(f"error: {error.name} is not installed; pip install -e '.[experiments]' brings it", file=sys.stderr)
        return 2
    except _no_text() as error:
        return _refuse(error)
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        print(f"error: {error.strerror or error}{place}", file=sys.stderr)
        return 2
    except (MemoryError, OverflowError, RuntimeError) as error:
        from experiments.base.memory import shortage

        if (told := shortage(error)) is None:
            raise
        print(f"error: {told}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


def _command(name: str) -> Callable[[Sequence[str]], int]:
    from experiments.config.registry import COMMANDS, at, entry

    command: Callable[[Sequence[str]], int] = at(entry(name, COMMANDS, "command"))
    return command


def _no_text() -> type[Exception]:
    """The error for what is no text, which only a command that has read one raises."""
    from tasks.reading import TextError

    return TextError


def _refuse(error: Exception) -> int:
    from experiments.base.processes import let_first_tell

    let_first_tell()
    print(f"error: {error}", file=sys.stderr)
    return 2


def run(args: Sequence[str] | None = None) -> int:
    """Run the command that this process was started for, see `main`, whoever reads what it says."""
    from experiments.base.stopping import Stopped, outlive_readers

    outlive_readers()
    # What torch and matplotlib bring is no garbage, and was looked through six hundred times.
    gc.set_threshold(50_000)
    try:
        code = main(args)
        print(end="", flush=True)
    except Stopped as stop:
        return stop.exit_code
    return code


if __name__ == "__main__":
    # sys.exit and no raise SystemExit: the tracker reads the exit code there.
    sys.exit(run())
