"""The ways to run a case, each as a function without arguments that has been compiled and called before."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias, cast, get_args

import torch
from torch import nn

from experiments.base.memory import in_one_line
from experiments.benchmark.cases import STEPS, Case, Example, Stacked, make_example, make_model, make_peer
from memnet.abilities import GoesByStep, TellsBackend
from memnet.sequence import Backend

Way: TypeAlias = Literal["eager", "compile", "native", "chunked", "auto", "stacked", "graph", "torch"]
Work: TypeAlias = Callable[[], object]

# Variants of one function, where torch's own limit is eight.
_MOST_COMPILED = 64


class Refused(Exception):
    """Why a case cannot be run some way, in one line."""


class Variant(NamedTuple):
    """work: runs the case once. used: the backend that it was seen to run."""

    work: Work
    used: str


def usual_ways(device: str, seeds: int) -> list[Way]:
    """What is timed where the options name no backend, as far as it applies to a model."""
    ways: list[Way] = ["eager", "compile", "graph" if device == "cuda" else "native", "chunked"]
    return [*ways, "stacked"] if seeds > 1 else ways


def make_variant(case: Case, way: Way) -> Variant:
    """Build, compile and call a case once; Refused where it cannot be run this way and no other.

    Seeds run one after the other, but "stacked", which runs them as one eager computation. "graph" is a step that is
    recorded once as a CUDA graph, "torch" torch's own module of the same equations.
    """
    if way == "graph" and case.device != "cuda":
        raise Refused(f"a captured graph needs --device cuda, not {case.device}")
    example = make_example(case)
    models, examples = [make_model(case, seed) for seed in range(case.seeds)], example.split(case.seeds)
    try:
        if way == "torch":
            models = [peer for _ in models if (peer := make_peer(case)) is not None]
            if not models:
                raise Refused("torch has no module of these equations and options")
        elif way == "stacked":
            models, examples = [Stacked(models)], [example]
        else:
            models = [running(model, way, examples[0]) for model in models]
        steps = [STEPS[case.mode](model) for model in models]

        def work() -> None:
            for step, own in zip(steps, examples, strict=True):
                step(own)

        if way == "compile":
            print(f"compiling {case} (up to half a minute) ...", file=sys.stderr, flush=True)
            _compile(work)
        else:
            work()
        return Variant(_captured(work) if way == "graph" else work, _used(models[0], way))
    except (RuntimeError, MemoryError, OverflowError) as error:
        raise Refused(in_one_line(error)) from None


def running(model: nn.Module, way: Way, example: Example) -> nn.Module:
    """The model set to run some way; Refused where a call on the example would run otherwise."""
    part = backend_part(model)
    if way == "compile" and not isinstance(part, GoesByStep):
        # It has no steps, only a whole forward pass to compile.
        model.compile(dynamic=False)
        return model
    if part is None:
        if way != "eager":
            raise Refused("it runs eagerly alone")
        return model
    if way == "native":
        # Asked for by name it would warn where it cannot run.
        part.backend = "auto"
        with torch.no_grad():
            model(*example.inputs)
        if part.backend_refusal is not None:
            raise Refused(part.backend_refusal)
    if way in get_args(Backend):
        try:
            part.backend = cast(Backend, way)
        except ValueError:
            raise Refused(f"there is no {way} form of it") from None
    return model


def backend_part(model: nn.Module) -> TellsBackend | None:
    """The part of a model whose backend can be chosen; None of stacked models, and of those that run eagerly alone."""
    return next((part for part in model.modules() if isinstance(part, TellsBackend)), None)


def _used(model: nn.Module, way: Way) -> str:
    part = backend_part(model)
    if part is None or way == "graph" or (way == "compile" and not isinstance(part, GoesByStep)):
        return way
    return str(part.backend_used)


def _compile(work: Work) -> None:
    """Call for the first time; Refused where torch would leave a step uncompiled."""
    # Takes a second to import.
    from torch._dynamo import config
    from torch._dynamo.exc import FailOnRecompileLimitHit

    try:
        with config.patch(recompile_limit=_MOST_COMPILED, fail_on_recompile_limit_hit=True):
            work()
    except FailOnRecompileLimitHit:
        raise Refused("torch has met its limit of compilations of one function") from None


def _captured(work: Work) -> Work:
    """The kernels of a call as one CUDA graph, see torch.cuda.CUDAGraph."""
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            work()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    replay: Work = graph.replay
    return replay
