"""`python -m tests.forked_jobs ...`, in a Forked, is `python -m experiments ...` whose jobs are forked from it, too."""

import subprocess
import sys
from types import SimpleNamespace

from experiments.__main__ import run
from experiments.base import processes
from tests.forked import ForkedJob

if __name__ == "__main__":
    processes.subprocess = SimpleNamespace(Popen=ForkedJob, DEVNULL=subprocess.DEVNULL)  # type: ignore[assignment]
    sys.exit(run(sys.argv[1:]))
