import threading

import pytest
import torch
from torch import Tensor

from memnet.native import reuse

LIKE = torch.zeros(1)
# Numbers that are worth it.
MANY = 1 << 21


@pytest.fixture(autouse=True)
def _nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reuse, "_kept", [])


def test_memory_of_a_tensor_that_is_no_more_is_used_again() -> None:
    first = reuse.empty(LIKE, 2, MANY // 2)
    place = first.data_ptr()
    assert (first.shape, first.dtype, first.is_contiguous()) == ((2, MANY // 2), LIKE.dtype, True)
    assert place % 64 == 0
    del first
    # As many bytes of other numbers.
    assert reuse.empty(LIKE.double(), MANY // 2).data_ptr() == place


def test_memory_that_something_still_has_is_not() -> None:
    class Keeping(torch.autograd.Function):
        @staticmethod
        def forward(ctx, input: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
            ctx.save_for_backward(reuse.empty(LIKE, MANY).fill_(3.0))
            return input.clone()

        @staticmethod
        def backward(ctx, gradient: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
            kept: Tensor = ctx.saved_tensors[0]
            return gradient * kept[-1]

    input = torch.ones(2, requires_grad=True)
    outputs = [Keeping.apply(input) for _ in range(2)]  # type: ignore[no-untyped-call]
    part = reuse.empty(LIKE, MANY).fill_(5.0)[7:9]
    reuse.empty(LIKE, MANY).fill_(-1.0)
    assert part.tolist() == [5.0, 5.0]
    for output in outputs:
        (gradient,) = torch.autograd.grad(output.sum(), input)
        assert gradient.tolist() == [3.0, 3.0]


def test_few_numbers_and_much_larger_memory_are_left_alone() -> None:
    reuse.empty(LIKE, 8)
    assert not reuse._kept
    reuse.empty(LIKE, 3 * MANY)
    reuse.empty(LIKE, MANY)
    assert [len(one) for one in reuse._kept] == [12 * MANY, 4 * MANY]


def test_no_more_is_known_than_may_be_whoever_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reuse, "_MOST", 8 * MANY)
    held = [reuse.empty(LIKE, MANY) for _ in range(4)]
    assert len(reuse._kept) == 2
    assert all(one.is_contiguous() for one in held)
    assert len({one.data_ptr() for one in held}) == 4


def test_what_is_too_large_to_be_kept_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reuse, "_MOST", 4 * MANY)
    reuse.empty(LIKE, MANY + 1)
    assert not reuse._kept


def test_threads_never_share_it() -> None:
    wrong: list[int] = []

    def use(value: int) -> None:
        for _ in range(40):
            numbers = reuse.empty(LIKE, MANY)
            numbers[::4096] = value
            if not bool((numbers[::4096] == value).all()):
                wrong.append(value)

    threads = [threading.Thread(target=use, args=(value,)) for value in range(3)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert not wrong
