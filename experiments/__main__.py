"""The command line: python -m experiments COMMAND ..."""

import gc
import io
import sys
from collections.abc import Callable, Sequence


def main(args: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 2 for a user's mistake, told in one line on stderr."""
    from experiments.base.files import UserError
    from experiments.base.provenance import running

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that has no such letter, or a name of a file that is none: escaped, never an error.
            stream.reconfigure(errors="backslashreplace")
    args = list(sys.argv[1:] if args is None else args)
    try:
        if not args or args[0] in ("-h", "--help"):
            print(_help(), end="")
            return 0 if args else 2
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


def _help() -> str:
    from experiments.config.registry import HELP

    return HELP


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
