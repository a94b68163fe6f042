"""The memory figure shows what it was given: read back through matplotlib's objects, not by eye."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba

from experiments.figures.memory import Episode, memory_figure
from experiments.figures.style import VERMILION, save_figure
from memnet import NTM
from tasks import TASKS
from tests.figure_parts import crosses, episode, panels, shown, words

pytestmark = pytest.mark.pictures


def test_symbols_of_several_groups_are_judged_group_by_group() -> None:
    """One step with a right and a wrong symbol, one with both right, and one that is not scored."""
    targets = np.array([[1.0, 0, 0, 1], [0, 1, 1, 0], [0, 0, 0, 0]])
    outputs = np.array([[0.6, 0.4, 0.7, 0.3], [0.1, 0.9, 0.8, 0.2], [0.5, 0.5, 0.5, 0.5]])
    episode = Episode(targets, targets, outputs, np.array([True, True, False]), answer="symbols", groups=2)
    assert np.argwhere(episode.wrong).tolist() == [[0, 3]]
    assert episode.note == "1 of 4 scored symbols wrong"


def test_every_panel_shows_its_array() -> None:
    one = episode()
    named = panels(memory_figure(one, "copy"))
    for title, values in {
        "Inputs": one.inputs,
        "Targets": one.targets,
        "Outputs": one.outputs,
        "Added vectors": one.add[:, 0],
        "Read vectors": one.reads[:, 0],
        "Write weighting": one.write_weights[:, 0],
        "Read weighting": one.read_weights[:, 0],
    }.items():
        np.testing.assert_array_equal(shown(named[title]), values, err_msg=title)
        left, right, bottom, top = named[title].images[0].get_extent()
        assert (left, right, bottom, top) == (-0.5, 12.5, values.shape[1] - 0.5, -0.5)
        assert (named[title].get_xlim(), named[title].get_ylim()) == ((left, right), (bottom, top))
    assert len(named) == 7
    for title in ("Inputs", "Targets", "Outputs", "Write weighting", "Read weighting"):
        assert named[title].images[0].get_clim() == (0, 1)
    largest = max(np.abs(one.add).max(), np.abs(one.reads).max())
    assert named["Added vectors"].images[0].get_clim() == named["Read vectors"].images[0].get_clim()
    assert named["Read vectors"].images[0].get_clim() == (-largest, largest)


def test_wrong_bits_are_marked_where_they_are_and_only_there() -> None:
    one = episode()
    one.outputs[8, 3] = 1 - one.targets[8, 3]
    one.outputs[9, 0] = one.outputs[9, 1] = 0.5
    one.targets[9, :2] = 0, 1
    one.outputs[12, 7] = math.nan
    one.outputs[2, 1] = 1  # not scored
    figure = memory_figure(one)
    named = panels(figure)
    assert crosses(named["Outputs"]) == {(8, 3), (9, 0), (9, 1), (12, 7)}
    assert not crosses(named["Targets"])
    assert "4 of 48 scored bits wrong" in words(figure)
    assert "wrong bit" in words(figure)
    assert "not finite" in words(figure)
    clean = memory_figure(episode())
    assert "0 of 48 scored bits wrong" in words(clean)
    assert "wrong bit\n" not in words(clean)
    assert not crosses(panels(clean)["Outputs"])


def test_wrong_bits_of_a_crowded_single_channel_leave_its_outputs_to_be_seen() -> None:
    draw = np.random.default_rng(0)
    targets, outputs = draw.integers(0, 2, (199, 1)).astype(float), draw.random((199, 1))
    one = Episode(targets, targets, outputs, draw.random(199) < 0.9)
    figure = memory_figure(one)
    axes = panels(figure)["Outputs"]
    np.testing.assert_array_equal(shown(axes), outputs)
    assert not crosses(axes)
    (bars,) = [drawn for drawn in axes.collections if to_rgba(VERMILION) in map(tuple, drawn.get_facecolor())]
    boxes = [path.get_extents() for path in bars.get_paths()]
    marked = [any(box.x0 < step < box.x1 for box in boxes) for step in range(199)]
    np.testing.assert_array_equal(marked, one.wrong[:, 0])
    # The bars stay in the lower third of the row.
    assert all(0.15 < box.y0 < box.y1 <= 0.5 for box in boxes)
    assert "wrong bit\n" in words(figure)
    # Where steps are wide enough for crosses there are crosses.
    few = Episode(targets[:20], targets[:20], outputs[:20], one.mask[:20])
    assert crosses(panels(memory_figure(few))["Outputs"]) == set(zip(*np.nonzero(few.wrong), strict=True))


@pytest.mark.parametrize("steps", [1000, 10000])
def test_a_single_wrong_bit_of_a_long_sequence_is_a_pixel_wide(steps: int) -> None:
    bits = np.zeros((steps, 1))
    outputs = bits.copy()
    outputs[steps // 2] = 1
    axes = panels(memory_figure(Episode(bits, bits, outputs, np.ones(steps, bool))))["Outputs"]
    (box,) = [path.get_extents() for drawn in axes.collections for path in drawn.get_paths()]
    pixels = axes.transData.transform([(box.x0, 0), (box.x1, 0)])[:, 0]
    assert pixels[1] - pixels[0] == pytest.approx(1)
    assert box.x0 == steps // 2 - 0.5


def test_wrong_agrees_with_the_task() -> None:
    task = TASKS["copy"]()
    batch = task.sample(3, length=(1, 5), generator=torch.Generator().manual_seed(0))
    logits = torch.randn(batch.target.shape, generator=torch.Generator().manual_seed(1))
    expected = task.metrics(logits, batch)["wrong_bits"].tolist()
    arrays = (batch.input, batch.target, logits.sigmoid(), batch.mask)
    assert [Episode(*(array[k].numpy() for array in arrays)).wrong.sum() for k in range(3)] == expected


@pytest.mark.parametrize("mask", ["0110010", "000", "1"])
def test_unscored_steps_are_shaded(mask: str) -> None:
    scored = np.array([digit == "1" for digit in mask])
    bits = np.zeros((len(mask), 2))
    named = panels(memory_figure(Episode(bits, bits, bits, scored)))
    for title in ("Targets", "Outputs"):
        (spans,) = named[title].collections
        inside = [
            any(path.vertices[:, 0].min() < step < path.vertices[:, 0].max() for path in spans.get_paths())
            for step in range(len(mask))
        ]
        np.testing.assert_array_equal(inside, ~scored)
    assert not named["Inputs"].collections


def test_heads_have_panels_of_their_own() -> None:
    one = episode(heads=4, slots=30)
    one.add, one.write_weights = one.add[:, :2], one.write_weights[:, :2]
    named = panels(memory_figure(one))
    assert len(named) == 3 + 2 + 2 + 4 + 4
    np.testing.assert_array_equal(shown(named["Read weighting, head 3"]), one.read_weights[:, 2])
    np.testing.assert_array_equal(shown(named["Added vectors, head 2"]), one.add[:, 1])
    boxes = [axes.get_position() for axes in named.values()]
    assert not any(a.overlaps(b) for k, a in enumerate(boxes) for b in boxes[:k])


def slot_labels(axes: Axes) -> dict[int, int]:
    """What the slot axis says at each of its rows."""
    bottom, top = axes.get_ylim()
    format_tick = axes.yaxis.get_major_formatter()
    return {row: int(format_tick(row, 0)) for row in range(math.ceil(top), math.ceil(bottom))}


@pytest.mark.parametrize(("start", "first", "last"), [(40, 38, 48), (0, 0, 8), (124, 122, 4), (121, 119, 127)])
def test_of_a_large_memory_only_used_slots_are_shown_under_their_own_numbers(start: int, first: int, last: int) -> None:
    one = episode(slots=128, start=start)
    figure = memory_figure(one)
    for title, weights in (("Write weighting", one.write_weights), ("Read weighting", one.read_weights)):
        axes = panels(figure)[title]
        slots = list(slot_labels(axes).values())
        assert (slots[0], slots[-1], len(slots)) == (first, last, (last - first) % 128 + 1)
        np.testing.assert_array_equal(shown(axes), weights[:, 0][:, slots])
        # The row of the image at which a slot is written carries that slot's number.
        step, row = np.argwhere(shown(axes) == 1)[-1]
        assert slots[row] == weights[step, 0].argmax()
    stretch = f"{first} to {last}" if first < last else f"{first} to 127 and 0 to {last}"
    assert f"Shown are slots {stretch} of 128;" in words(figure)


def test_a_diffuse_weighting_shows_all_slots_on_a_scale_of_its_own() -> None:
    one = episode(slots=200)
    one.write_weights[:], one.read_weights[:] = 1 / 200, 1 / 200
    one.read_weights[3, 0, 7] = 0.008
    axes = panels(memory_figure(one))["Read weighting"]
    assert shown(axes).shape == (13, 200)
    assert axes.images[0].get_clim() == (0, 0.008)


def test_episodes_of_one_run_have_the_same_scales() -> None:
    spread = Episode(*3 * [np.ones((3, 2))], np.ones(3), write_weights=np.full((3, 1, 20), 0.1))
    one, other = episode(), episode(length=3, seed=1)
    one.add, one.inputs = 3 * one.add, -2 * one.inputs
    apart, together = (
        [panels(memory_figure(each, beside=beside)) for each in (one, other, spread)]
        for beside in ((), (one, other, spread))
    )
    for title in ("Inputs", "Targets", "Outputs", "Added vectors", "Read vectors", "Write weighting", "Read weighting"):
        scales = [
            {named[title].images[0].get_clim() for named in figures if title in named} for figures in (apart, together)
        ]
        assert len(scales[1]) == 1
        assert scales[0] >= scales[1]
    assert together[2]["Write weighting"].images[0].get_clim() == (0, 1)


def test_single_cells_of_a_huge_weighting_survive() -> None:
    steps, slots = 2001, 2048
    weights = np.zeros((steps, 1, slots))
    weights[np.arange(steps), 0, np.arange(steps)] = 1
    bits = np.random.default_rng(0).integers(0, 2, (steps, 1)).astype(float)
    figure = memory_figure(Episode(bits, bits, bits, np.ones(steps, bool), write_weights=weights))
    named = panels(figure)
    values = shown(named["Write weighting"])
    assert max(values.shape) <= 450
    assert (values.max(axis=0) == 1).sum() > 0.95 * values.shape[1]
    assert (values.max(axis=1) == 1).all()
    assert named["Write weighting"].get_xlim() == (-0.5, 2000.5)
    inputs = shown(named["Inputs"])
    joined = math.ceil(steps / 450)
    np.testing.assert_allclose(inputs[0], bits[:joined].mean())
    np.testing.assert_allclose(inputs[-1], bits[joined * (len(inputs) - 1) :].mean())
    left, right, _, _ = named["Inputs"].images[0].get_extent()
    assert (left, right) == (-0.5, joined * len(inputs) - 0.5)


def test_not_a_number_has_a_colour_and_ruins_nothing_else(tmp_path: Path) -> None:
    one = episode(slots=128)
    one.add[2, 0, 1] = math.nan
    one.reads[:] = math.nan
    one.write_weights[3] = math.inf
    one.read_weights[:] = math.nan
    figure = memory_figure(one)
    named = panels(figure)
    assert np.argwhere(np.isnan(shown(named["Added vectors"]))).tolist() == [[2, 1]]
    assert np.isnan(shown(named["Write weighting"])).any(axis=1).nonzero()[0].tolist() == [3]
    image = named["Added vectors"].images[0]
    assert to_rgba(image.cmap.get_bad()) not in {to_rgba(image.cmap(x)) for x in np.linspace(0, 1, 256)}
    assert image.get_clim()[1] == np.nanmax(np.abs(one.add))
    save_figure(figure, tmp_path / "nan.png")


def test_a_model_without_memory_and_one_that_only_reads() -> None:
    one = episode()
    plain = memory_figure(Episode(one.inputs, one.targets, one.outputs, one.mask))
    assert set(panels(plain)) == {"Inputs", "Targets", "Outputs"}
    reader = Episode(one.inputs, one.targets, one.outputs, one.mask, read_weights=one.read_weights)
    assert set(panels(memory_figure(reader))) == {"Inputs", "Targets", "Outputs", "Read weighting"}
    for figure in (plain, memory_figure(reader)):
        assert panels(figure)["Inputs"].get_xlabel() == "time step"


def test_signed_inputs_are_shown_as_such() -> None:
    one = episode()
    one.inputs[2, 3] = -0.7
    assert panels(memory_figure(one))["Inputs"].images[0].get_clim() == (-1, 1)


def test_one_step_one_slot_one_channel(tmp_path: Path) -> None:
    one = np.ones((1, 1))
    cube = np.ones((1, 1, 1))
    figure = memory_figure(Episode(one, one, 0 * one, one[0] > 0, 0 * cube, 0 * cube, cube, cube))
    assert crosses(panels(figure)["Outputs"]) == {(0, 0)}
    assert panels(figure)["Read vectors"].images[0].get_clim() == (-1, 1)
    assert [tick for tick in panels(figure)["Read weighting"].get_xticks() if abs(tick) < 0.5] == [0]
    save_figure(figure, tmp_path / "one.png")


def test_the_trace_of_an_ntm_fits() -> None:
    task = TASKS["associative-recall"]()
    batch = task.sample(2, length=2, generator=torch.Generator().manual_seed(0))
    net = NTM(task.input_size, task.output_size, num_reads=2, hidden_size=8, num_slots=40)
    with torch.no_grad():
        trace = net.trace(batch.input)
    row = [
        batch.input,
        batch.target,
        trace.output.sigmoid(),
        batch.mask,
        trace.heads.add,
        trace.reads,
        trace.write_weights,
        trace.read_weights,
    ]
    figure = memory_figure(Episode(*(tensor[1].numpy() for tensor in row)))
    assert len(panels(figure)) == 3 + 1 + 2 + 1 + 2


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("outputs", np.zeros((13, 7)), r"outputs \(13, 7\) and targets \(13, 8\)"),
        ("outputs", np.full((13, 8), 3.0), "look like logits"),
        ("mask", np.ones((13, 1), bool), r"mask must have 1 axes, 13 steps first, not shape \(13, 1\)"),
        ("add", np.zeros((12, 1, 5)), r"add must have 3 axes, 13 steps first, not shape \(12, 1, 5\)"),
        ("read_weights", np.zeros((13, 1, 8)), r"same slots, not \[8, 20\]"),
        ("inputs", np.zeros((0, 9)), "inputs must have 2 axes"),
    ],
)
def test_what_does_not_fit_is_refused(name: str, value: np.ndarray, message: str) -> None:
    arrays = vars(episode())
    with pytest.raises(ValueError, match=message):
        Episode(**{**arrays, name: value})
