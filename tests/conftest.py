"""For all tests: one thread a process, since pytest runs as many processes as there are cores; Ctrl-C that works."""

import os
import signal

os.environ.setdefault("OMP_NUM_THREADS", "1")
# A shell ignores it in what it starts in the background, and so would all processes that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
