"""The command `suite` with jobs of so many seconds that learn nothing: python -m tests.light_suite SECONDS SUITE ..."""

import json
import sys

from experiments.__main__ import run
from experiments.config.form import to_yaml
from experiments.domains.sequences.about import about
from experiments.suite import cluster
from experiments.suite.jobs import SuiteJob
from experiments.suite.queue import SuiteQueue
from tasks import TASKS
from tests import light_worker

SECONDS = sys.argv.pop(1)


def light(queue: SuiteQueue, job: SuiteJob) -> list[str]:
    place = queue.folder.train_args(job, queue.place)[-1]
    told = json.dumps(about(job.config, TASKS[job.config.task.name](), parameters=1, last_step=light_worker.STEPS))
    return [sys.executable, "-I", "-S", str(light_worker.__file__), place, to_yaml(job.config), told, SECONDS]


if __name__ == "__main__":
    SuiteQueue.command = light  # type: ignore[method-assign]
    cluster.SEND_EVERY = 0.3
    sys.exit(run(["suite", *sys.argv[1:]]))
