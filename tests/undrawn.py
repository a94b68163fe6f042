"""`python -m tests.undrawn ...` is `python -m experiments ...` without figures, in the jobs of a suite, too."""

import sys

import pytest

from experiments.__main__ import run
from tests.unpainted import leave_jobs_undrawn, leave_undrawn, leave_unpainted

if __name__ == "__main__":
    for leave in (leave_unpainted, leave_undrawn, leave_jobs_undrawn):
        leave(pytest.MonkeyPatch())
    sys.exit(run(sys.argv[1:]))
