"""Running the command line, inside this process or as a person does."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TINY = [
    "--hidden-size",
    "12",
    "--num-slots",
    "16",
    "--slot-size",
    "6",
    "--max-length",
    "3",
    "--batch-size",
    "4",
    "--valid-sequences",
    "6",
    "--test-sequences",
    "2",
    "--log-every",
    "3",
    "--valid-every",
    "5",
    "--checkpoint-every",
    "4",
    "--cooldown-steps",
    "6",
    "--tracker",
    "none",
]


def command(*args: object, **more: object) -> subprocess.CompletedProcess[str]:
    """Run `python -m experiments ...` in the checkout and wait for it."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", "experiments", *map(str, args)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
        **more,
    )


def start(*args: object) -> subprocess.Popen[str]:
    """Start `python -m experiments ...` in the checkout and go on."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "experiments", *map(str, args)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        stdin=subprocess.DEVNULL,
    )
