"""Runs a command that ends with the process that started it: python tied.py PARENT COMMAND ...

However that process (its id is PARENT) dies, the system sends the command SIGTERM, at which a training saves its
checkpoint and ends. This is so on Linux; elsewhere the command goes on to its own end.
"""

import ctypes
import os
import signal
import sys

# From <linux/prctl.h>; it outlasts execv.
_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Become the command."""
    parent, *command = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != int(parent):  # it died before
            sys.exit(128 + signal.SIGTERM)
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
