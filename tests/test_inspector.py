"""The inspector without a browser: its arrays, what it takes from the models, its server, and what it refuses."""

import base64
import http.client
import json
import shutil
import signal
import socket
import struct
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from experiments.__main__ import main
from experiments.base.files import UserError
from experiments.base.seeds import generator_for
from experiments.inspector.arrays import pack
from experiments.inspector.command import InspectorServer, open_runs
from experiments.inspector.inspector import Choice, Inspector
from experiments.inspector.watch import shared_slots
from experiments.training.loading import load_run
from tasks.babi.encoding import pad
from tests.dashboard_page import Reader, data_of
from tests.inspected_runs import sequence_run, story_run, world_run
from tests.running import TINY, start

LIBRARY = 4_900_000  # plotly, about


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    sequence_run(folder / "ntm")
    sequence_run(folder / "lstm", "--model", "lstm", "--num-layers", "2")
    sequence_run(folder / "dnc", "--model", "dnc")
    sequence_run(folder / "recall", "--addressing", "content", task="associative-recall")
    story_run(folder / "memn2n", "memn2n")
    story_run(folder / "kv", "kv-window")
    story_run(folder / "entnet", "entnet", task="1-2")
    story_run(folder / "reader", "ntm")
    story_run(folder / "q4", "memn2n", task="4")
    world_run(folder / "world")
    return folder


def unpack(packed: dict[str, Any]) -> np.ndarray:
    """What decode.js does."""
    changes = np.frombuffer(zlib.decompress(base64.b64decode(packed["data"])), "<i2").reshape(packed["shape"])
    whole = np.cumsum(changes, axis=0, dtype="<i2")
    return np.where(whole == -32768, np.nan, whole * packed["scale"])


def close(packed: dict[str, Any], expected: Any) -> bool:
    expected = np.asarray(expected, dtype=float)
    return bool(np.allclose(unpack(packed), expected, atol=0.51 * packed["scale"], equal_nan=True))


def test_arrays_keep_three_digits_or_their_largest_number_and_what_is_not_finite() -> None:
    values = np.random.default_rng(0).uniform(-1, 1, (7, 3, 2))
    assert pack(values)["scale"] == 1e-3
    assert close(pack(values), values)
    # Differences of the largest numbers do not fit in what they are kept in.
    jumps = np.array([3e4, -3e4, 3e4, np.nan, np.inf, -3e4, 0])
    assert close(pack(jumps), np.where(np.isfinite(jumps), jumps, np.nan))
    assert pack(torch.zeros(0, 4))["shape"] == [0, 4]
    still = pack(np.ones((1000, 128)))
    assert len(still["data"]) < 2000


def test_bits_are_wrong_where_the_model_is_wrong_however_its_outputs_are_rounded(runs: Path) -> None:
    inspector = open_runs([str(runs / "ntm")])
    shown: Any = inspector.first
    model = shown.model
    with torch.no_grad():
        model.readout.weight.mul_(1e-5)
        model.readout.bias.copy_(torch.tensor([1e-4, -1e-4] * 4))
    (view,) = inspector.view(inspector.choices([4], [2], []).combined()[0])["questions"]
    (panel,) = view["panels"]
    assert (unpack(panel["output"]) == 0.5).all()
    batch = shown.task.sample(1, length=4, generator=generator_for("test", 2, 4))
    says = torch.tensor([True, False] * 4)
    assert panel["wrong_at"] == (((batch.target[0] > 0.5) != says) & batch.mask[0, :, None]).nonzero().tolist()
    assert 0 < len(panel["wrong_at"]) < 32
    assert (panel["right"], panel["verdict"]) == (False, f"{len(panel['wrong_at'])} of 32 answered bits wrong")


def test_a_view_of_an_ntm_holds_its_trace(runs: Path) -> None:
    inspector = open_runs([str(runs / "ntm"), str(runs / "lstm")])
    choices = inspector.choices([4], [2], [9])
    (choice,) = choices.combined()
    (view,) = inspector.view(choice)["questions"]
    _, task, model = load_run(runs / "ntm")
    model.num_slots = 9
    batch = task.sample(1, length=4, generator=generator_for("test", 2, 4))
    trace = model.trace(batch.input)
    assert close(view["input"], batch.input[0])
    assert close(view["target"], batch.target[0])
    assert close(view["mask"], batch.mask[0])
    panel, other = view["panels"]
    assert close(panel["output"], trace.output[0].sigmoid().detach())
    wrong = int(task.metrics(trace.output, batch)["wrong_bits"])
    assert panel["verdict"] == f"{wrong} of 32 answered bits wrong"
    assert close(panel["memory"], trace.memory[0].detach())
    assert panel["slots"] == {"total": 9, "shown": list(range(9)), "row": 0, "rows": 9}
    assert [head["name"] for head in panel["heads"]] == ["read head 1", "read head 2", "write head"]
    weights = torch.cat([trace.read_weights, trace.write_weights], 2)[0]
    for number, head in enumerate(panel["heads"]):
        assert close(head["weights"], weights[:, number].detach())
        for name in ("gate", "shift", "sharpening", "strength"):
            assert close(head[name], getattr(trace.heads, name)[0, :, number].detach())
    network = load_run(runs / "lstm")[2]
    watched = network.trace(batch.input)
    states = {state["name"]: state["values"] for state in other["states"]}
    assert close(states["hidden state, layer 1"], watched.states[0].hidden[0].detach())
    assert close(states["cell state, layer 2"], watched.states[1].cell[0].detach())
    assert close(states["forget gate, layer 2"], watched.gates[1].forget[0].detach())
    # The next view has the slots it was trained with again.
    assert inspector.view(choice._replace(slots=None))["questions"][0]["panels"][0]["slots"]["total"] == 16


@pytest.mark.parametrize(
    ("used", "shown"),
    [
        # Of (slots, first used, last used) by model: (first shown, how many, in which row), and rows of all.
        ([(128, 60, 79), (128, 90, 99)], ([(58, 44, 0), (58, 44, 0)], 44)),
        # The shortest stretch of both goes over the end of the ring, though neither's own does.
        ([(128, 100, 109), (128, 5, 14)], ([(98, 47, 0)] * 2, 47)),
        ([(128, 60, 79), (16, 2, 5)], ([(0, 82, 0), (0, 16, 0)], 82)),
        ([(128, 120, 139), (256, 4, 9)], ([(118, 24, 0), (246, 24, 0)], 24)),
        ([(16, 2, 5), (256, 250, 259)], ([(0, 16, 8), (248, 24, 0)], 24)),
    ],
)
def test_two_memories_are_shown_over_the_same_slots(used: Any, shown: Any) -> None:
    memories = []
    for slots, first, last in used:
        weights = np.zeros((5, 2, slots), dtype=np.float32)
        weights[:, :, np.arange(first, last + 1) % slots] = 0.5
        memories.append(weights)
    stretches = shared_slots(memories)
    found = [(one["shown"][0], len(one["shown"]), one["row"]) for one in stretches]
    assert (found, stretches[0]["rows"]) == shown
    assert all(one["rows"] == stretches[0]["rows"] for one in stretches)
    for weights, one in zip(memories, stretches, strict=True):
        assert one["total"] == weights.shape[2]
        assert set(np.flatnonzero(weights.any((0, 1)))) <= set(one["shown"])


def test_of_a_large_memory_the_used_slots_are_shown(runs: Path) -> None:
    inspector = open_runs([str(runs / "ntm")])
    panel = inspector.view(inspector.choices([3], [0], [500]).combined()[0])["questions"][0]["panels"][0]
    shown = panel["slots"]["shown"]
    assert len(shown) < 500
    assert panel["memory"]["shape"] == [7, len(shown), 6]
    assert 0 in shown


def test_heads_that_address_by_content_alone_have_no_gate_and_no_shift(runs: Path) -> None:
    inspector = open_runs([str(runs / "recall")])
    heads = inspector.view(inspector.choices([], [], []).combined()[0])["questions"][0]["panels"][0]["heads"]
    assert all(set(head) == {"kind", "name", "weights", "strength"} for head in heads)


def test_heads_tell_how_much_they_found_otherwise_than_by_content(runs: Path) -> None:
    inspector = open_runs([str(runs / "dnc")])
    heads = inspector.view(inspector.choices([], [], []).combined()[0])["questions"][0]["panels"][0]["heads"]
    ways = {head["kind"]: head["ways"] for head in heads}
    assert {kind: list(found) for kind, found in ways.items()} == {
        "read": ["going back", "going on"],
        "write": ["allocation"],
    }
    for found in ways.values():
        total = sum(unpack(shares) for shares in found.values())
        assert ((total > 0) & (total < 1)).all()


def story_tensors(panel: dict[str, Any], question: str, vocabulary: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """The story as sentences, or as the one that a reader hears."""
    words = question.strip("?").split()
    told = panel["grid"]["rows"] if "grid" in panel else [" ".join(panel["words"][: -1 - len(words)])]
    story = pad([[vocabulary.number(word) for word in sentence.split()] for sentence in told])
    asked = pad([[vocabulary.number(word) for word in words]])
    return story.unsqueeze(0), asked


@pytest.mark.parametrize("name", ["memn2n", "kv", "entnet", "reader"])
def test_a_view_of_a_story_holds_its_trace(runs: Path, name: str) -> None:
    inspector = open_runs([str(runs / name)])
    questions = inspector.view(inspector.choices([], [], []).combined()[0])["questions"]
    assert len(questions) == 12
    assert len({question["about"] for question in questions}) == (2 if name == "entnet" else 1)
    _, vocabulary, model = load_run(runs / name)
    model.backend = "eager"
    for asked in questions[:3]:
        (panel,) = asked["panels"]
        trace = model.trace(*story_tensors(panel, asked["question"], vocabulary))
        chances = trace.logits[0].detach().softmax(-1)
        best = [vocabulary.number(word) for word in panel["answers"]]
        assert close(panel["chances"], chances[best])
        assert chances[best[0]] == chances[1 : len(vocabulary)].max()
        assert panel["right"] == (panel["answers"][0] == asked["answer"])
        if name == "entnet":
            assert close(panel["grid"]["values"], trace.gates[0].detach())
            assert close(panel["grid"]["below"]["values"], trace.attention[0].detach())
            assert (panel["grid"]["kind"], panel["grid"]["columns"]) == ("gate", ["0", "1", "2", "3"])
        elif name == "reader":
            assert panel["words"][-1] == "?"
            assert close(panel["memory"], trace.sequence.memory[0].detach())
            assert close(panel["output"], trace.sequence.output[0].detach().softmax(-1)[:, best])
        else:
            assert close(panel["grid"]["values"], trace.attention[0].T.detach())
        for fact in panel["grid"]["marked"] if name != "reader" else ():
            assert asked["question"].split()[-1].strip("?") in panel["grid"]["rows"][fact] or name == "entnet"


def test_questions_are_wrong_up_to_one_half(runs: Path) -> None:
    inspector = open_runs([str(runs / "reader")])
    first, second = (inspector.view(choice) for choice in inspector.choices([], [], []).combined())
    rights = [question["panels"][0]["right"] for question in first["questions"]]
    assert rights.count(True) >= 1
    assert rights.count(False) >= 6
    assert [one["question"] for one in first["questions"]] != [one["question"] for one in second["questions"]]


def test_runs_on_stories_are_compared_where_they_share_a_task(runs: Path) -> None:
    inspector = open_runs([str(runs / "entnet"), str(runs / "memn2n")])
    questions = inspector.view(inspector.choices([], [], []).combined()[0])["questions"]
    assert {question["about"] for question in questions} == {"task 1, single-supporting-fact"}
    for asked in questions:
        first, second = asked["panels"]
        assert first["grid"]["rows"] == second["grid"]["rows"]


def test_stories_with_words_that_the_other_run_never_saw_are_refused(runs: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(runs / "memn2n", tmp_path / "other"))
    vocabulary = other / "vocabulary.json"
    vocabulary.write_text(vocabulary.read_text().replace("kitchen", "cellar"))
    inspector = open_runs([str(runs / "memn2n"), str(other)])
    with pytest.raises(UserError, match=r"do not fit a run on babi-q1-memn2n: .*'kitchen'"):
        inspector.view(inspector.choices([], [], []).combined()[0])


def test_the_world_models_stories_have_the_length_that_is_asked_for(runs: Path) -> None:
    inspector = open_runs([str(runs / "world")])
    choices = inspector.choices([], [], [])
    assert choices.length == [6, 12]
    questions = inspector.view(choices.combined()[-1])["questions"]
    assert {len(question["panels"][0]["grid"]["rows"]) for question in questions} == {12}


def test_the_page_is_one_small_file(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(runs / "ntm"), "--length", "3", "5"]) == 0
    out = runs / "ntm" / "inspect.html"
    assert capsys.readouterr().out == f"{out}\n"
    text = out.read_text()
    reader = Reader()
    reader.feed(text)
    assert all(address.startswith(("#", "data:")) for address in reader.addresses)
    assert len(text) < LIBRARY + 200_000
    data = data_of(text)
    assert data["choices"] == {"length": [3, 5], "seed": [0, 1], "slots": [None, 32]}
    assert list(data["views"]) == [f"{a}/{b}/{c}" for a in (3, 5) for b in (0, 1) for c in ("", 32)]
    assert main(["inspect", str(runs / "ntm"), str(runs / "lstm"), "--length", "3", "--seed", "0"]) == 0
    assert (runs / "ntm" / "inspect-lstm.html").is_file()


def test_a_run_that_has_not_ended_is_looked_into_as_far_as_it_got(tmp_path: Path) -> None:
    run = tmp_path / "copy"
    assert main(["train", "copy", *TINY, "--steps", "2", "--out", str(run)]) == 0
    (run / "weights.safetensors").unlink()
    assert main(["inspect", str(run)]) == 0
    assert data_of((run / "inspect.html").read_text())["runs"][0]["step"] == 2
    (run / "checkpoint.safetensors").unlink()
    assert main(["inspect", str(run)]) == 2


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "takes one run's folder or two, not 0"),
        (["ntm", "lstm", "ntm"], "takes one run's folder or two, not 3"),
        (["nowhere"], "no run folder"),
        (["ntm", "recall"], "same task, not "),
        (["ntm", "memn2n"], "same task, not "),
        (["memn2n", "q4"], "bAbI tasks 1 and 4: expected runs with a task in common"),
        (["lstm", "--num-slots", "5"], "--num-slots 5: lstm has no slots that may be set"),
        (["memn2n", "--num-slots", "5"], "--num-slots 5: memn2n has no slots that may be set"),
        (["ntm", "--num-slots", "2"], "--num-slots 2: shift_range 1 needs at least 3 slots, not 2"),
        (["memn2n", "--length", "5"], "--length 5: the examples of bAbI 1, "),
        (["ntm", "--length", "0"], "--length must be at least 1, not 0"),
        (["ntm", "--seed", "-1"], "--seed must be at least 0, not -1"),
        (["recall", "--length", "1"], "associative-recall: length must be"),
        (["ntm", "--length", "10000000000"], "10,000,000,000 steps, the inspector shows at most 20,000; take a"),
        (["ntm", "--length", "1000", "--num-slots", "5000"], "--length 1000: 45,036,000 numbers of memory"),
        (["world", "--length", "3"], "world model: length must be"),
        (["world", "--length", "100000000"], "take a smaller --length"),
        (["ntm", "--out", "nowhere/page.html"], "expected the path of a file in a folder that exists"),
        (["ntm", "--out", "ntm"], "expected the path of a file"),
        (["ntm", "--out", "page.html", "--serve"], "a served page is no file"),
        (["ntm", "--serve", "--port", "70000"], "--port must be from 0 to 65535, not 70000"),
        (["ntm", "--lenght", "4"], "did you mean '--length'?"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], args: list[str], message: str
) -> None:
    monkeypatch.chdir(runs)
    before = sorted(runs.rglob("*"))
    assert main(["inspect", *args]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert message in told
    assert told.count("\n") == 1
    assert sorted(runs.rglob("*")) == before


@pytest.fixture
def connection(runs: Path) -> Iterator[http.client.HTTPConnection]:
    inspector = open_runs([str(runs / "ntm")])
    with InspectorServer(inspector, inspector.choices([3], [], []), 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=10)
        yield connection
        connection.close()
        server.shutdown()
        thread.join()


def ask(connection: http.client.HTTPConnection, place: str, **headers: str) -> tuple[int, str]:
    connection.request("GET", place, headers=headers)
    answer = connection.getresponse()
    content = answer.read().decode()
    connection.close()
    return answer.status, content


def test_the_server_computes_what_is_asked_for(connection: http.client.HTTPConnection, runs: Path) -> None:
    status, content = ask(connection, "/")
    assert status == 200
    assert data_of(content)["live"] is True
    assert list(data_of(content)["views"]) == ["3/0/"]
    status, content = ask(connection, "/view.json?length=5&seed=7&slots=40")
    view = json.loads(content)
    assert (status, view["questions"][0]["panels"][0]["slots"]["total"]) == (200, 40)
    inspector = open_runs([str(runs / "ntm")])
    (choice,) = inspector.choices([5], [7], [40]).combined()
    assert view == json.loads(json.dumps(inspector.view(choice)))
    for query, message in (
        ("length=0&seed=0&slots=", "length must be a whole number from 1"),
        ("length=3&seed=x&slots=", "seed must be a whole number from 0"),
        ("length=3&seed=0&slots=2", "at least 3 slots"),
        ("length=999999999999&seed=0&slots=", "take a smaller --length"),
        ("length=30000&seed=0&slots=3", "30,000 steps, the inspector shows at most 20,000; take a smaller --length"),
    ):
        status, content = ask(connection, f"/view.json?{query}")
        assert status == 503
        assert message in content
    assert ask(connection, "/config.yaml")[0] == 404
    assert ask(connection, "/", Host="evil.example")[0] == 403


def test_a_long_view_blocks_no_other_and_ends_with_its_reader(
    connection: http.client.HTTPConnection, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()
    view = Inspector.view

    def watched(self: Inspector, choice: Choice) -> dict[str, Any]:
        try:
            return view(self, choice)
        except ConnectionError:
            ended.set()
            raise

    monkeypatch.setattr(Inspector, "view", watched)
    impatient = http.client.HTTPConnection(connection.host, connection.port, timeout=10)
    impatient.request("GET", "/view.json?length=9000&seed=0&slots=")
    status, content = ask(connection, "/view.json?length=2&seed=0&slots=")
    assert (status, len(json.loads(content)["questions"][0]["panels"])) == (200, 1)
    assert not ended.is_set()
    impatient.close()
    assert ended.wait(20)
    with socket.create_connection((connection.host, connection.port)) as rude:
        rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # it hangs up amid its request
        rude.sendall(b"GET / HTTP/1.1\r\nHost: 127")
    assert ask(connection, "/")[0] == 200
    assert capfd.readouterr().err == ""


def test_serving_from_the_command_line_until_ctrl_c(runs: Path) -> None:
    process = start("inspect", runs / "ntm", "--serve", "--port", 0)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("http://127.0.0.1:"), process.communicate()[1]
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=20)[1] == "stopped\n"
    assert process.returncode == 0
