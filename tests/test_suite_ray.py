"""A suite on a Ray cluster of two machines, one of which is killed in the middle."""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.forked import ROOT, Forked
from tests.test_suite import results, suite_file

pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[ray]'")


@pytest.mark.slow
def test_all_jobs_are_done_though_a_machine_is_lost(tmp_path: Path) -> None:
    out = tmp_path / "out"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "RAY_AUTH_MODE": "disabled"}
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    nodes = [sys.executable, "-m", "tests.two_nodes"]
    with (
        subprocess.Popen(nodes, cwd=ROOT, env=environment, text=True, **streams) as cluster,
        contextlib.ExitStack() as ending,
    ):
        assert cluster.stdin is not None
        assert cluster.stdout is not None
        ending.callback(cluster.stdin.close)
        environment["RAY_ADDRESS"] = cluster.stdout.readline().strip()
        args = ("3", suite_file(tmp_path), "--seeds", 3, "--on", "ray", "--out", out)
        with Forked("tests.light_suite", *args, environment=environment, stderr=subprocess.STDOUT) as suite:
            while sum(not path.with_name("result.json").exists() for path in out.glob("*/checkpoint.safetensors")) < 2:
                assert suite.poll() is None, suite.communicate()[0]
                time.sleep(0.05)
            cluster.stdin.write("kill\n")
            cluster.stdin.flush()
            said = suite.communicate(timeout=120)[0]
    assert suite.returncode == 0, said
    assert results(out) == [f"copy-gru-s{seed}" for seed in range(3)]
    assert list(out.glob("*/trouble")) == []
    assert "its machine was lost" in said
    starts = [list(map(int, path.read_text().split())) for path in out.glob("*/starts")]
    assert sorted(map(len, starts)) == [1, 1, 2]
    assert max(starts, key=len)[1] > 0  # it went on from its checkpoint on the other machine
