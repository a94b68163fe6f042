"""The dashboard's server: the page, new data when there is any, the runs' small files, and nothing else."""

import http.client
import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from experiments.__main__ import main
from experiments.base.files import UserError
from experiments.dashboard.command import PageServer
from tests.dashboard_page import data_of
from tests.made_up_runs import metrics, suite
from tests.running import start


@contextmanager
def served(folder: Path) -> Iterator[http.client.HTTPConnection]:
    with PageServer(folder, 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=10)
        try:
            yield connection
        finally:
            connection.close()
            server.shutdown()
            thread.join()


def ask(connection: http.client.HTTPConnection, place: str, **headers: str) -> tuple[int, bytes, str | None]:
    connection.request("GET", place, headers=headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content, answer.getheader("ETag")


def test_the_server_gives_the_page_new_data_and_the_runs_small_files(tmp_path: Path) -> None:
    suite(tmp_path / "runs")
    (tmp_path / "result.json").write_text("secret")
    (tmp_path / "runs" / "copy-s0" / "weights.safetensors").write_text("large")
    os.symlink(tmp_path / "result.json", tmp_path / "runs" / "copy-s0" / "figures" / "config.yaml")
    with served(tmp_path / "runs") as connection:
        status, content, _ = ask(connection, "/")
        assert status == 200
        assert data_of(content.decode())["live"] is True
        status, content, tag = ask(connection, "/data.json")
        assert (status, json.loads(content)["live"]) == (200, True)
        assert tag is not None
        assert ask(connection, "/data.json", **{"If-None-Match": tag})[:2] == (304, b"")
        (tmp_path / "runs" / "copy-stopped" / "metrics.jsonl").write_text(metrics([1.0]))
        assert ask(connection, "/data.json", **{"If-None-Match": tag})[0] == 200
        picture = (tmp_path / "runs" / "copy-s0" / "figures" / "learning-curve.png").read_bytes()
        assert ask(connection, "/copy-s0/figures/learning-curve.png")[:2] == (200, picture)
        (tmp_path / "runs" / "copy-s0" / "inspect.html").write_text("memory")
        assert ask(connection, "/copy-s0/inspect.html")[:2] == (200, b"memory")
        assert b"name: copy" in ask(connection, "/stories%2F../copy-s0/config.yaml")[1]
        for place in ("/../result.json", "/%2e%2e/result.json", "/copy-s0/weights.safetensors", "/copy-s0"):
            assert ask(connection, place)[0] == 404, place
        assert ask(connection, "/copy-s0/figures/config.yaml")[0] == 404
        assert ask(connection, "/%00config.yaml")[0] == 404
        assert ask(connection, "/", Host="evil.example")[0] == 403
        for path in tmp_path.glob("runs/**/config.yaml"):
            path.unlink()
        status, content, _ = ask(connection, "/data.json")
        assert (status, b"config.yaml" in content) == (503, True)


def test_a_port_that_is_taken_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    suite(tmp_path)
    with PageServer(tmp_path, 0) as server:
        port = server.server_address[1]
        assert main(["dashboard", str(tmp_path), "--serve", "--port", str(port)]) == 2
    assert f"error: --port {port} " in capsys.readouterr().err
    with pytest.raises(UserError, match="no such folder"):
        PageServer(tmp_path / "none", 0)


def test_serving_from_the_command_line_until_ctrl_c(tmp_path: Path) -> None:
    suite(tmp_path)
    process = start("dashboard", tmp_path, "--serve", "--port", 0)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("http://127.0.0.1:"), process.communicate()[1]
    connection = http.client.HTTPConnection("127.0.0.1", int(line.split("/")[2].split(":")[1]), timeout=10)
    assert ask(connection, "/data.json")[0] == 200
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=20)[1] == "stopped\n"
    assert process.returncode == 0
