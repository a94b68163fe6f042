"""What torch tells of a call under private names alone: whoever asks is careful where the answer is yes.

Of a name that the installed torch does not have the answer is always yes.
"""

from collections.abc import Callable, Sequence
from importlib import import_module
from operator import attrgetter
from typing import Any

from torch import Tensor
from torch.autograd import forward_ad


def _told_by(place: str, name: str) -> Callable[..., Any]:
    """A private function of a module of torch; one that is always true where it is gone."""
    try:
        told: Callable[..., Any] = getattr(import_module(place), name)
    except (ImportError, AttributeError):
        return lambda *_: True
    return told


has_global_hooks = _told_by("torch.nn.modules.module", "_has_any_global_hook")
under_transforms = _told_by("torch._C", "_are_functorch_transforms_active")
is_batched = _told_by("torch._C._functorch", "is_legacy_batchedtensor")
is_traced = _told_by("torch._C", "_get_tracing_state")
dispatch_mode = _told_by("torch.utils._python_dispatch", "_get_current_dispatch_mode")


def has_forward_derivatives() -> bool:
    """Whether forward-mode derivatives are being computed."""
    return bool(getattr(forward_ad, "_current_level", 0) >= 0)


_HOOKS_OF_LEAVES = ("_backward_hooks", "_post_accumulate_grad_hooks")
_hooks_are_told = all(hasattr(Tensor, name) for name in _HOOKS_OF_LEAVES)


def have_hooks(leaves: Sequence[Tensor]) -> bool:
    """Whether somebody is to see, or change, the gradient of any leaf."""
    return not _hooks_are_told or any(any(map(attrgetter(name), leaves)) for name in _HOOKS_OF_LEAVES)
