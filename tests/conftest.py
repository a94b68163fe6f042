"""For all tests: one thread a process, since pytest runs as many processes as there are cores; signals that work."""

import os
import signal

os.environ.setdefault("OMP_NUM_THREADS", "1")
# A shell ignores it in what it starts in the background, and so would all processes that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
# So does nohup a closed terminal.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
