"""One look at a model in training: on always the same sequence or questions, so that looks compare.

A look costs no random number and changes nothing: a training that is looked at is bit for bit one that is not.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch

from experiments.figures.snapshot import Panel
from memnet.abilities import HasBackend


class Look(NamedTuple):
    """What one look sees.

    numbers: for a row of metrics, by name: entropies in bits, memory/slots_used in slots, gates from 0 to 1.
    panels:  rows of a picture; none where the model has nothing to see.
    """

    numbers: dict[str, float]
    panels: list[list[Panel]]


NOTHING = Look({}, [])


@contextmanager
def as_in_tests(model: Any) -> Iterator[None]:
    """In evaluation mode; afterwards the model is in its mode again."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


@contextmanager
def at_rest(model: Any) -> Iterator[None]:
    """Without gradients, and as in testing; afterwards the model is in its mode again.

    "compile" gives way to "eager", in a model that has backends: a look is not worth another graph.
    """
    backend = model.backend if isinstance(model, HasBackend) else None
    if backend == "compile":
        model.backend = "eager"
    try:
        with as_in_tests(model), torch.no_grad():
            yield
    finally:
        if backend == "compile":
            model.backend = backend
