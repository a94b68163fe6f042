"""The graph tasks against slow readings of their input in plain Python, sharing nothing with `tasks`."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
import torch

from tasks import TASKS, GraphTask, GraphTraversal, RelationInference, ShortestPath, networks, shortest_path
from tests.batches import random_logits, rows_of, seeded

NAMES = [name for name, kind in TASKS.items() if issubclass(kind, GraphTask)]
LENGTHS = {"graph-traversal": (1, 5), "shortest-path": (1, 5), "relation-inference": (1, 3)}
NETWORKS = [(name, graphs) for name in NAMES for graphs in TASKS[name].networks]


def draw(name, batch_size=7, seed=0, length=None, **more):
    task = TASKS[name]()
    return task, task.sample(batch_size, length=length or LENGTHS[name], generator=seeded(seed), **more)


def triple_of(row, digits=2):
    """Source, edge and target of a row of channels; None for what is not told."""
    assert set(np.unique(row)) <= {0, 1}
    labels = []
    for part in row.reshape(3, digits, 10):
        on = part.sum(axis=1)
        assert on.tolist() in ([1] * digits, [0] * digits)
        labels.append(int("".join(str(digit.argmax()) for digit in part)) if on[0] else None)
    return tuple(labels)


def read(given):
    """Edges, the question's steps, and how many steps the answer has."""
    begin = int(np.flatnonzero(given[:, -2])[0])
    assert given[:, -2].sum() == 1
    answers = np.flatnonzero(given[:, -1])
    assert answers.tolist() == list(range(answers[0], len(given)))
    triples = [triple_of(row) for row in given[:, :-2]]
    nothing = (None, None, None)
    assert triples[begin] == nothing
    assert triples[answers[0] :] == [nothing] * len(answers)
    edges = triples[:begin]
    assert all(None not in edge for edge in edges)
    assert len({edge[:2] for edge in edges}) == len(edges)  # an edge is known by its source and label
    return edges, triples[begin + 1 : answers[0]], len(answers)


# One slow reader a task. From the input alone: what is to be answered, and the length.


def walked(given):
    """Edge by edge from where it begins."""
    edges, asked, count = read(given)
    ends = {edge[:2]: edge[2] for edge in edges}
    node, path = asked[0][0], []
    assert len(asked) == count
    for step, (source, edge, target) in enumerate(asked):
        assert target is None
        assert (source is None) == (step > 0)
        path.append((node, edge, ends[node, edge]))
        node = path[-1][2]
    return path, count


def shortest(given):
    """By trying all paths, shorter ones first."""
    edges, (asked, *blank), count = read(given)
    assert blank == [(None, None, None)] * 10
    start, edge, end = asked
    assert edge is None
    paths = [[one] for one in edges if one[0] == start]
    for _ in range(count - 1):
        assert all(path[-1][2] != end for path in paths)
        paths = [[*path, one] for path in paths for one in edges if one[0] == path[-1][2]]
    (path,) = [path for path in paths if path[-1][2] == end]
    return path, count


def related(given):
    """What the label of a relation stands for is not told by the input: all relations in order, by the task's names."""
    edges, ((person, relation, nobody),), count = read(given)
    assert (nobody, count) == (None, 1)
    relations = [steps for length in (1, 2, 3) for steps in itertools.product(range(4), repeat=length)]
    names = RelationInference().names.tolist()
    steps, ends = relations[names.index(relation)], {edge[:2]: edge[2] for edge in edges}
    assert {edge[1] for edge in edges} <= set(names[:4])
    here = person
    for step in steps:
        here = ends[here, names[step]]
    return [(person, relation, here)], len(steps)


ORACLES = {"graph-traversal": walked, "shortest-path": shortest, "relation-inference": related}


def check_answers(name, batch):
    """The lengths of a batch, each as often as it is there."""
    counts = Counter()
    for given, target, mask in rows_of(batch):
        answer, length = ORACLES[name](given)
        counts[length] += 1
        assert mask.tolist() == [False] * (len(given) - len(answer)) + [True] * len(answer)
        assert [triple_of(row) for row in target[mask]] == answer
        assert not target[~mask].any()
    return counts


@pytest.mark.parametrize("name", NAMES)
def test_targets_follow_from_the_input(name):
    counts = check_answers(name, draw(name, batch_size=150)[1])
    expected = 150 / LENGTHS[name][1]
    assert set(counts) == set(range(1, LENGTHS[name][1] + 1))
    assert all(abs(count - expected) < 5 * math.sqrt(expected) for count in counts.values())


@pytest.mark.parametrize(("name", "graphs"), NETWORKS)
def test_networks_are_the_same_with_other_labels(name, graphs):
    batch = draw(name, batch_size=20, length=(1, 3), graphs=graphs)[1]
    check_answers(name, batch)
    degrees, labels = set(), set()
    for given, _, _ in rows_of(batch):
        edges = read(given)[0]
        degrees.add(tuple(sorted(Counter(edge[0] for edge in edges).values())))
        labels |= {frozenset(edge[0] for edge in edges)}
    assert len(degrees) == 1
    assert len(labels) == 20
    with pytest.raises(ValueError, match=f"graphs must be one of {graphs}, got 'town'"):
        draw(name, graphs="town")


@pytest.mark.parametrize("stations", [2, 5, 12, 40, 100])
def test_a_line_and_its_direction_lead_from_a_station_to_one_other(stations):
    edges = networks.transport_map(stations)
    assert edges == networks.transport_map(stations)
    assert len({edge[:2] for edge in edges}) == len(edges)
    assert len({label for _, label, _ in edges}) <= stations  # so that there are labels for them
    assert {(target, label ^ 1, source) for source, label, target in edges} == set(edges)
    reached = {0}
    for _ in range(stations):
        reached |= {target for source, _, target in edges if source in reached}
    assert reached == set(range(stations))
    for line in {label // 2 for _, label, _ in edges}:  # a line is a path
        ends = Counter(source for source, label, _ in edges if label // 2 == line)
        assert sorted(ends.values()) == [1, 1] + [2] * (len(ends) - 2)


@pytest.mark.parametrize("people", [3, 5, 12, 40, 54])
def test_who_is_a_parent_has_a_child(people):
    edges = networks.family_tree(people)
    known = {edge[:2]: edge[2] for edge in edges}
    assert len(known) == len(edges)
    everybody = {edge[0] for edge in edges}
    assert everybody == set(range(len(everybody)))
    assert people - 1 <= len(everybody) <= people
    for one in everybody:
        born = [(one, parent) in known for parent in (networks.FATHER, networks.MOTHER)]
        assert all(born) or (not any(born) and (one, networks.FIRST_CHILD) in known)
        for kind in (networks.FIRST_CHILD, networks.SECOND_CHILD):
            child = known.get((one, kind))
            assert child is None or one in (known[child, networks.FATHER], known[child, networks.MOTHER])
    fathers = {target for _, label, target in edges if label == networks.FATHER}
    assert not fathers & {target for _, label, target in edges if label == networks.MOTHER}


@pytest.mark.parametrize("name", NAMES)
def test_lessons_have_smaller_graphs_for_shorter_answers(name):
    task, sizes = TASKS[name](lessons=True), {}
    for length in (1, task.within(task.length_range[1])):
        batch = task.training_batch(300, length=length, generator=seeded())
        check_answers(name, batch)
        sizes[length] = max(len({edge[0] for edge in read(given)[0]}) for given, _, _ in rows_of(batch))
    assert sizes[1] < 12 == max(sizes.values())
    for draw_one in (task.sample, TASKS[name]().training_batch):
        batch = draw_one(300, length=1, generator=seeded())
        assert max(len({edge[0] for edge in read(given)[0]}) for given, _, _ in rows_of(batch)) == 12


@pytest.mark.parametrize("name", NAMES)
def test_shapes_types_one_length_and_the_generator(name):
    task, batch = draw(name, length=3)
    scored = 1 if name == "relation-inference" else 3
    assert batch.input.shape == (7, int(batch.lengths.max()), 62) == (7, batch.mask.size(1), task.input_size)
    assert batch.target.shape == (*batch.mask.shape, 60) == (*batch.mask.shape, task.output_size)
    assert [tensor.dtype for tensor in batch] == [torch.float32, torch.float32, torch.bool, torch.int64]
    assert batch.mask.sum(1).tolist() == [scored] * 7
    assert (len(task.input_channels), len(task.output_channels)) == (62, 60)
    again, other = draw(name, length=3)[1], draw(name, seed=1, length=3)[1]
    assert all(map(torch.equal, batch, again))
    assert batch.input.shape != other.input.shape or not torch.equal(batch.input, other.input)


def test_graphs_have_as_many_nodes_and_edges_as_said():
    batch = GraphTraversal(nodes=(4, 6), degrees=(2, 3)).sample(600, length=1, generator=seeded())
    sizes, degrees = Counter(), Counter()
    for given, _, _ in rows_of(batch):
        edges, _, _ = read(given)
        out = Counter(source for source, _, _ in edges)
        assert all(source != target for source, _, target in edges)
        assert len({(source, target) for source, _, target in edges}) == len(edges)
        sizes[len(out)] += 1  # every node has an edge
        degrees.update(out.values())
    assert set(sizes) == {4, 5, 6}
    assert all(abs(count - 200) < 5 * math.sqrt(200) for count in sizes.values())
    assert set(degrees) == {2, 3}
    assert abs(degrees[2] - degrees[3]) < 5 * math.sqrt(sum(degrees.values()))


def test_labels_of_other_sizes_and_other_plans():
    task = ShortestPath(nodes=(30, 40), digits=3, planning=2)
    ((given, target, mask),) = rows_of(task.sample(1, length=6, generator=seeded()))
    assert (task.input_size, task.groups, task.longest) == (92, 9, 20)
    begin = int(given[:, -2].argmax())
    assert len(given) == begin + 1 + 1 + 2 + 6
    assert triple_of(given[begin + 1, :-2], 3)[0] == triple_of(target[mask][0], 3)[0]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "relation-inference"])
def test_a_step_with_a_wrong_digit_is_a_wrong_answer(name):
    task, batch = draw(name, length=4)
    logits = 9 * batch.target
    scores = task.metrics(logits, batch)
    assert scores["exact"].all()
    assert scores["questions"].tolist() == [4] * 7
    step = int(batch.mask[2].nonzero()[1])
    logits[2, step, 10:30] = logits[2, step, 10:30].view(2, 10).roll(1, 1).flatten()
    assert task.wrong(logits, batch)[2, step].tolist() == [False, True, True, False, False, False]
    scores = task.metrics(logits, batch)
    assert scores["wrong"].tolist() == [0, 0, 1, 0, 0, 0, 0]
    assert scores["exact"].tolist() == [True, True, False, True, True, True, True]
    assert task.answers_of_a_step == 6


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_is_that_of_each_digit(name):
    task, batch = draw(name)
    logits = random_logits(batch, dtype=torch.float64)
    losses = task.losses(logits, batch).tolist()
    for row, loss in enumerate(losses):
        expected = 0.0
        for step, digit in itertools.product(batch.mask[row].nonzero().flatten().tolist(), range(6)):
            values = logits[row, step, 10 * digit : 10 * digit + 10].tolist()
            right = batch.target[row, step, 10 * digit : 10 * digit + 10].tolist().index(1)
            expected += math.log(sum(map(math.exp, values))) - values[right]
        assert loss == pytest.approx(expected)
    torch.testing.assert_close(
        task.predict(logits).unflatten(-1, (6, 10)).sum(-1), torch.ones(*batch.mask.shape, 6, dtype=torch.float64)
    )
    even = task.losses(torch.zeros_like(logits), batch).sum() / batch.mask.sum()
    assert task.baselines(3)["baseline_nats_per_step"] == pytest.approx(float(even))
    # The curriculum has one threshold for all tasks, that of one answer.
    assert task.curriculum_score(float(even), 1.0) == pytest.approx(math.log(10))
    assert task.baselines(3)["baseline_error_percent"] == pytest.approx(100 * (1 - 1e-6))


@pytest.mark.parametrize("name", NAMES)
def test_drawings_tell_the_graph_the_question_and_the_path(name):
    task, batch = draw(name, length=3)
    text = task.render(batch, 1, batch.target, width=60)
    given, target, mask = list(rows_of(batch))[1]
    edges, asked, _ = read(given)
    assert max(map(len, text.splitlines())) <= 60
    assert text.startswith(f"{name}: {len(given)} steps, {mask.sum()} scored, 0 predicted wrong")
    spelled = ["-".join("?" if label is None else f"{label:02d}" for label in edge) for edge in edges]
    path = ["-".join(f"{label:02d}" for label in triple_of(row)) for row in target[mask]]
    rows, label = {}, ""
    for line in text.splitlines()[1:]:
        label = line[:11].strip() or label
        rows.setdefault(label, []).extend(line[11:].split())
    assert rows["graph"] == spelled
    assert rows["path"] == rows["predicted"] == path
    assert len(rows["question"]) == sum(one != (None, None, None) for one in asked)
    assert task.spell(batch.target[1][batch.mask[1]]) == ", ".join(path)


def test_every_draw_of_a_graph_is_looked_at(monkeypatch):
    task, drawn = ShortestPath(), []
    draw = task._drawn
    monkeypatch.setattr(task, "_drawn", lambda *args: drawn.append(args) or draw(*args))
    task.sample(4, length=5, generator=seeded())
    monkeypatch.setattr(shortest_path, "TRIES", count := len(drawn))
    task.sample(4, length=5, generator=seeded())
    drawn.clear()
    monkeypatch.setattr(shortest_path, "TRIES", count - 1)
    with pytest.raises(ValueError, match=f"no single shortest path of 5 edges in {count - 1} draws"):
        task.sample(4, length=5, generator=seeded())
    assert len(drawn) == count - 1
    drawn.clear()
    with pytest.raises(ValueError, match="no single shortest path of 6 edges in the map"):
        task.sample(4, length=6, generator=seeded(), graphs="map")
    assert len(drawn) == 1  # which is always the same


def test_what_cannot_be():
    with pytest.raises(ValueError, match="degrees must be at most 4, the labels of edges, got 5"):
        RelationInference(nodes=(8, 9), degrees=(1, 5))
    with pytest.raises(ValueError, match="length must be at most 3, of which 100 labels can tell all relations, got 4"):
        RelationInference().sample(1, length=4, generator=seeded())
    assert RelationInference(nodes=(30, 40), digits=3).longest == 4
    assert RelationInference(nodes=(5, 9), digits=1).length_range == (1, 1)
    with pytest.raises(ValueError, match="a family has at least 3 people, got 2"):
        RelationInference(nodes=2, degrees=1).sample(1, length=1, generator=seeded(), graphs="family")
    for told, options in (
        ("nodes may be at most 10, the labels of 1 digits, got 11", {"nodes": (5, 11), "digits": 1}),
        ("degrees must be below the fewest nodes, 3, got 3", {"nodes": (3, 5), "degrees": (1, 3)}),
        ("digits must be a whole number of at least 1, got 0", {"digits": 0}),
        (r"nodes must be a pair .* got \(6, 5\)", {"nodes": (6, 5)}),
    ):
        for kind in (GraphTraversal, ShortestPath, RelationInference):
            with pytest.raises(ValueError, match=told):
                kind(**options)
    with pytest.raises(ValueError, match="length must be at most 6, half of 12 nodes, got 7"):
        ShortestPath().sample(1, length=7, generator=seeded())
    with pytest.raises(ValueError, match="length must be a whole number of at least 1, got 0"):
        GraphTraversal().sample(1, length=0, generator=seeded())
