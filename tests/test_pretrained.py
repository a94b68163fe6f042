"""Models in folders: what is kept, what comes back, and what is said of folders that hold no such model."""

from __future__ import annotations

import inspect
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import memnet
from experiments.config.plugins import find, find_model
from memnet.pretrained import CONFIG, WEIGHTS, Pretrained
from memnet.state import state_tensors
from tests.own_cell import LeakyCell
from tests.stories import MAX_WORDS, VOCAB
from tests.test_as_modules import STORIES
from tests.test_sequence_models import INPUT, MODELS, OUTPUT, input_of


class Leaky(memnet.SequenceModule):
    """A LeakyCell over time."""

    cell_type = LeakyCell


class Wide(memnet.GRU):
    """A GRU that hands options on."""

    def __init__(self, input_size: int, output_size: int, *, width: int = 3, **options: Any) -> None:
        super().__init__(input_size, output_size, hidden_size=2 * width, **options)


class Tied(Pretrained):
    """Two names of one weight, which is read at once, and sizes of every form."""

    def __init__(
        self, sizes: list[int], pair: tuple[int, int], *, more: Sequence[int] = (), most: list[tuple[int, int]] | None
    ) -> None:
        super().__init__()
        self.table = nn.Embedding(*sizes)
        self.output = nn.Linear(*reversed(sizes), bias=False)
        self.output.weight = self.table.weight
        self.sum = float(self.table.weight.detach().sum())
        self.given = sizes, pair, more, most


OTHERS: dict[str, Callable[[], Pretrained]] = {
    "own": lambda: Leaky(INPUT, OUTPUT, leak=0.25),
    "own-options": lambda: Wide(INPUT, OUTPUT, width=2, num_layers=2),
    "own-cell": lambda: memnet.SequenceModule(LeakyCell(INPUT, output_size=3), OUTPUT),
    "lstm-of-a-cell": lambda: memnet.LSTM(LeakyCell(INPUT), OUTPUT),
    "ntm-of-a-cell": lambda: memnet.NTM(INPUT, OUTPUT, controller=LeakyCell(23, leak=0.75), num_slots=6),
    "key-value-memory": lambda: memnet.KeyValueMemory(4, num_hops=3),
    "entnet-tied": lambda: memnet.EntNet(VOCAB, max_words=MAX_WORDS, embedding_size=4, keys=[3, 1]),
    "language-model": lambda: memnet.LanguageModel(memnet.NTM(7, 7, hidden_size=5, num_slots=6, slot_size=4)),
    "encoder-decoder": lambda: memnet.EncoderDecoder(7, 8, embedding_size=3, hidden_size=4, reverse=True),
    "attention": lambda: memnet.AttentionEncoderDecoder(7, 8, embedding_size=3, hidden_size=4, scores="dot"),
    "picture-encoder": lambda: memnet.PictureEncoder(8, (2, 3)),
    "token-reader": lambda: memnet.TokenReader(memnet.GRU(5, 4), 7),
    "product-keys": lambda: memnet.ProductKeyMemory(5, 4, num_keys=3, key_size=4, num_heads=2, num_read=2),
    "episodic-memory": lambda: memnet.EpisodicMemory(4, 5, num_steps=2),
    "tied": lambda: Tied([3, 2], (5, 6), more=(7,), most=None),
    "captioner": lambda: memnet.Captioner(7, image_size=8, filters=2, feature_size=3, hidden_size=4, film=True),
}
ALL: dict[str, Callable[[], Any]] = MODELS | STORIES | OTHERS


def kept(folder: Path, name: str = "gru", **changed: Any) -> Path:
    """A folder with a model as others write it, whose settings may be changed by hand."""
    ALL[name]().save_pretrained(folder)
    save_file(load_file(folder / WEIGHTS), folder / WEIGHTS)
    settings = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(settings | changed))
    return folder


def test_every_public_model_is_kept_here() -> None:
    public = {
        one
        for one in (getattr(memnet, name) for name in memnet.__all__)
        if inspect.isclass(one) and issubclass(one, Pretrained)
    }
    assert public - {type(make()) for make in ALL.values()} == {memnet.StoryModel}


@pytest.mark.parametrize("name", ALL)
def test_a_model_comes_back_as_it_was(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = ALL[name]()
    model.save_pretrained(tmp_path / "some" / "folder")
    again = type(model).from_pretrained(tmp_path / "some" / "folder")
    assert type(again) is type(model)
    assert repr(again.train(model.training)) == repr(model)
    assert again.settings() == model.settings()
    assert again.state_dict().keys() == model.state_dict().keys()
    for key, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[key], tensor), key
    assert sorted(one.name for one in (tmp_path / "some" / "folder").iterdir()) == [CONFIG, WEIGHTS]
    if isinstance(model, memnet.SequenceModule):
        output, state = model.float()(input_of().float())
        output_again, state_again = again.float()(input_of().float())
        torch.testing.assert_close(output_again, output)
        torch.testing.assert_close(state_tensors(state_again), state_tensors(state))


def test_a_model_comes_back_for_use_with_its_numbers_as_they_were(tmp_path: Path) -> None:
    model = MODELS["ntm-learned-start"]().double()
    model.save_pretrained(tmp_path)
    again = memnet.NTM.from_pretrained(tmp_path)
    assert not again.training
    assert {one.dtype for one in again.state_dict().values()} == {torch.float64}
    assert all(one.requires_grad for one in again.parameters())


def test_lists_and_tuples_come_back_as_the_constructor_has_them(tmp_path: Path) -> None:
    model = Tied([3, 2], (5, 6), more=(7,), most=[(8, 9)])
    model.save_pretrained(tmp_path)
    assert Tied.from_pretrained(tmp_path).given == ([3, 2], (5, 6), (7,), [[8, 9]])


def test_a_folder_is_overwritten_as_a_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept(tmp_path, "gru")

    def full(*_: Any) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as context:
        context.setattr(os, "replace", full)
        with pytest.raises(OSError, match="no space left"):
            ALL["lstm"]().save_pretrained(tmp_path)
    assert memnet.GRU.from_pretrained(tmp_path).input_size == INPUT
    assert sorted(one.name for one in tmp_path.iterdir()) == [CONFIG, WEIGHTS]
    config = (tmp_path / CONFIG).read_bytes()
    ALL["lstm"]().save_pretrained(tmp_path)
    assert memnet.LSTM.from_pretrained(tmp_path).input_size == INPUT
    (tmp_path / CONFIG).write_bytes(config)
    with pytest.raises(ValueError, match=r"config.json is not what model.safetensors was written with"):
        memnet.LSTM.from_pretrained(tmp_path)


def test_what_cannot_be_written_is_named_before_anything_is(tmp_path: Path) -> None:
    class Scaled(Leaky):
        """By a tensor."""

        def __init__(self, scale: Tensor) -> None:
            super().__init__(LeakyCell(INPUT), OUTPUT)

    class Many(Leaky):
        """By any number of sizes."""

        def __init__(self, *sizes: int) -> None:
            super().__init__(*sizes)

    class Local(LeakyCell):
        """A cell that no module has."""

    def leaky(input_size: int, hidden_size: int) -> memnet.Cell:
        return LeakyCell(input_size, hidden_size)

    with pytest.raises(TypeError, match=r"Scaled was built with a scale that cannot be written: tensor\(2\)"):
        Scaled(torch.tensor(2)).save_pretrained(tmp_path / "model")
    with pytest.raises(TypeError, match="NTM was built with a controller that cannot be written: <function"):
        memnet.NTM(INPUT, OUTPUT, controller=leaky).save_pretrained(tmp_path / "model")
    with pytest.raises(TypeError, match="Many takes sizes by position alone, but settings go by name"):
        Many(INPUT, OUTPUT).save_pretrained(tmp_path / "model")
    with pytest.raises(TypeError, match=r"cannot be written: tests.*<locals>.Local, which is not what is found by"):
        memnet.NTM(INPUT, OUTPUT, controller=Local).save_pretrained(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_classes_of_one_name_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(
        "import tests.own_cell\nclass LeakyCell(tests.own_cell.LeakyCell):\n    '''Another one.'''\n"
    )
    mine = find(f"{tmp_path}/mine.py:LeakyCell", {}, "cell")
    for cell in (mine, LeakyCell):
        memnet.NTM(INPUT, OUTPUT, controller=cell).save_pretrained(tmp_path)
        # A model of the cell's own name.
        assert issubclass(find_model(f"{tmp_path}/mine.py:LeakyCell"), memnet.SequenceModule)
        assert type(memnet.NTM.from_pretrained(tmp_path).cell.controller) is cell
    kept(tmp_path, "ntm-of-a-cell", controller={"class": "LeakyCell", "settings": {"input_size": 23}})
    with pytest.raises(ValueError, match=r"several classes of modules are called 'LeakyCell': tests\.own_.*, user"):
        memnet.NTM.from_pretrained(tmp_path)
    monkeypatch.delattr(sys.modules[mine.__module__], "LeakyCell")
    assert type(memnet.NTM.from_pretrained(tmp_path).cell.controller) is LeakyCell


# ------------------------------------------------------------------------------------------------- what is no model


def test_folders_that_hold_no_model(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds no model: it has no config.json and no model.safetensors"):
        memnet.GRU.from_pretrained(tmp_path)
    (kept(tmp_path / "cut") / WEIGHTS).unlink()
    with pytest.raises(FileNotFoundError, match=r"it has no model.safetensors"):
        memnet.GRU.from_pretrained(tmp_path / "cut")


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (b"", "Expecting value"),
        (b"\xff\xfe\x00", "codec can't decode"),
        (b"[]", "it must hold a mapping, not a list"),
        (b"[" * 100_000, "recursion"),
        (b"{}", "missing a required argument: 'input_size'"),
        (b'{"input_size": 3, "output_size": 2, "num_slots": 7}', "unexpected keyword argument 'num_slots'"),
        (b'{"input_size": 3, "output_size": 2, "hidden_size": 0}', "hidden_size must be at least 1, not 0"),
        (b'{"input_size": 3, "output_size": 2, "hidden_size": null}', "NoneType"),
        (b'{"input_size": 3, "output_size": 2, "hidden_size": 1%s}' % (b"0" * 18), "Storage size"),
        (b'{"input_size": 3, "output_size": 2, "hidden_size": 1%s}' % (b"0" * 30), "at most 64 bits, not 100"),
        (
            b'{"input_size": {"class": "Popen", "settings": {"args": "ls"}}, "output_size": 2}',
            "no class of modules 'Po",
        ),
        (b'{"input_size": {}, "output_size": 2}', "no class of modules None: import it first"),
    ],
)
def test_settings_that_are_none_are_named(config: bytes, told: str, tmp_path: Path) -> None:
    (kept(tmp_path) / CONFIG).write_bytes(config)
    with pytest.raises(ValueError, match="tells of no GRU: ") as error:
        memnet.GRU.from_pretrained(tmp_path)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_a_model_of_another_class_is_named(tmp_path: Path) -> None:
    ALL["ntm-lstm"]().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="holds a NTM, not a LSTM"):
        memnet.LSTM.from_pretrained(tmp_path)


def test_weights_that_do_not_belong_to_the_settings_are_named(tmp_path: Path) -> None:
    weights = load_file(kept(tmp_path) / WEIGHTS)

    def told(tensors: dict[str, Tensor]) -> str:
        save_file(tensors, tmp_path / WEIGHTS)
        with pytest.raises(ValueError, match="does not hold the weights of this GRU: ") as error:
            memnet.GRU.from_pretrained(tmp_path)
        return str(error.value).partition("GRU: ")[2]

    less = {name: one for name, one in weights.items() if not name.startswith("cell")}
    assert told(less) == "it lacks cell.bias_hh, cell.bias_ih, cell.weight_hh and 1 more"
    assert told(weights | {"more": torch.zeros(1)}) == "it has more, too"
    assert told(weights | {"readout.bias": torch.zeros(7)}) == f"readout.bias is (7,) where ({OUTPUT},) is expected"
    # Nor is memory asked for that the weights do not need.
    kept(tmp_path, hidden_size=10**6)
    with pytest.raises(ValueError, match=r"cell.bias_hh is \(15,\) where \(3000000,\) is expected"):
        memnet.GRU.from_pretrained(tmp_path)
    kept(tmp_path, "tied", sizes=[2, 3])
    with pytest.raises(ValueError, match=r"output.weight is \(3, 2\) where \(2, 3\) is expected"):
        Tied.from_pretrained(tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a pickle", b"\x08" + bytes(7) + b"{}      ", b"\xff" * 64])
def test_files_that_hold_no_weights_are_named(content: bytes, tmp_path: Path) -> None:
    (kept(tmp_path) / WEIGHTS).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{WEIGHTS} (holds no|does not hold the) weights") as error:
        memnet.GRU.from_pretrained(tmp_path)
    assert "\n" not in str(error.value)


# ------------------------------------------------------------------------------------------------- the Hub


def test_a_model_of_the_hub_is_had_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept(tmp_path)
    asked = []

    def download(name: str, file: str, **options: Any) -> str:
        asked.append((name, file, options["revision"], options["local_files_only"]))
        return str(tmp_path / file)

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(hf_hub_download=download))
    model = memnet.GRU.from_pretrained("someone/gru", revision="v1", local_files_only=True)
    assert model.input_size == INPUT
    assert asked == [("someone/gru", file, "v1", True) for file in (CONFIG, WEIGHTS)]


def test_names_that_are_neither_a_folder_nor_on_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*_: Any, **__: Any) -> str:
        raise OSError("404\nnot found")

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(hf_hub_download=download))
    with pytest.raises(FileNotFoundError, match=r"someone/gru is no folder, and no model .* that can be had: 404 n"):
        memnet.GRU.from_pretrained("someone/gru")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(FileNotFoundError, match=r"is no folder; models .* need pip install 'memnet-torch\[hub\]'"):
        memnet.GRU.from_pretrained("someone/gru")


def test_the_real_hub_is_asked_without_a_line_on_the_network(tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub", reason="without the extra hub")
    for name in ("someone/gru", "no/such/folder", str(tmp_path / "none")):
        with pytest.raises(FileNotFoundError, match="is no folder, and no model of the Hugging Face Hub"):
            memnet.GRU.from_pretrained(name, local_files_only=True, cache_dir=tmp_path)


def test_folders_are_those_of_the_mixin_of_the_hub(tmp_path: Path) -> None:
    hub = pytest.importorskip("huggingface_hub", reason="without the extra hub")

    class Theirs(hub.PyTorchModelHubMixin, memnet.LSTM):  # type: ignore[misc, name-defined]
        """An LSTM whose files the mixin reads and writes."""

    ours, theirs = memnet.LSTM(INPUT, OUTPUT, hidden_size=5, skip=True, num_layers=2), tmp_path / "theirs"
    ours.save_pretrained(tmp_path / "ours")
    read = Theirs.from_pretrained(tmp_path / "ours")
    read.save_pretrained(theirs)
    again = memnet.LSTM.from_pretrained(theirs)
    for model in (read, again):
        torch.testing.assert_close(model(input_of().float())[0], ours(input_of().float())[0])
