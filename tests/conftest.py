"""For all tests: one thread a process, since pytest runs as many processes as there are cores."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
