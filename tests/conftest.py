"""For all tests: one thread a process, since pytest runs as many processes as there are cores; signals that work;
figures painted only by tests of pictures, and drawn after a training only where a test asks for them; no waiting for
the disk.
"""

import gc
import os
import signal
from collections.abc import Iterator

import pytest

from tests.unpainted import leave_undrawn, leave_unforced, leave_unpainted

os.environ.setdefault("OMP_NUM_THREADS", "1")
# A shell ignores it in what it starts in the background, and so would all processes that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
# So does nohup a closed terminal.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
leave_unforced(pytest.MonkeyPatch())


def pytest_collection_finish() -> None:
    """What torch and thousands of tests keep lives to the end: it need not be searched for garbage again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def _painting(request: pytest.FixtureRequest) -> Iterator[None]:
    """Figures are painted in modules that are marked `pictures`, and built elsewhere, without those of trainings."""
    with pytest.MonkeyPatch.context() as patch:
        if request.node.get_closest_marker("pictures") is None:
            leave_unpainted(patch)
            leave_undrawn(patch)
        yield
