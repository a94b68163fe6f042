"""A job that is quick, for suites: python light_worker.py RUN CONFIG ABOUT SECONDS.

It has files and a lock as `train` has.

Whatever should never be, two at work on one run or a run done twice, is written to RUN/trouble.
"""

import fcntl
import json
import os
import sys
import time
from pathlib import Path

STEPS = 10


def main(run: Path, config: str, about: str, seconds: float) -> None:
    run.mkdir(parents=True, exist_ok=True)
    with (run / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            (run / "trouble").write_text("two at once")
            raise
        put(run / "config.yaml", config)
        put(run / "about.json", about)
        step = int((run / "checkpoint.safetensors").read_text()) if (run / "checkpoint.safetensors").exists() else 0
        with (run / "starts").open("a") as starts:
            starts.write(f"{step}\n")
        for now in range(step + 1, STEPS + 1):
            time.sleep(seconds / STEPS)
            put(run / "checkpoint.safetensors", str(now))
        (run / ".result.part").write_text(json.dumps({"steps": STEPS, "run": run.name}))
        try:
            os.link(run / ".result.part", run / "result.json")  # which must not be there
        except FileExistsError:
            (run / "trouble").write_text("twice")
            raise


def put(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.{os.getpid():08x}.part")  # named as the halves of files of real runs are
    part.write_text(text)
    part.replace(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], float(sys.argv[4]))
