"""Whether modules are as they were when they were looked at: all but the numbers of their tensors."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from operator import is_
from typing import Any

from torch import Tensor, nn

from memnet.torch_private import has_global_hooks
from memnet.unroll import HOOKS


class Snapshot:
    """Of modules, and of all within them: settings, parts, hooks, and how tensors lie in memory.

    Attribute tensors: parameters and buffers, those that stand in several places as often.
    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self._modules = [one for module in modules for one in module.modules()]
        self._own = [vars(one) for one in self._modules]
        self._hooks = [own[hooks] for own in self._own for hooks in HOOKS]
        kept = ("_parameters", "_buffers", "_modules", *HOOKS)
        # All that a module has is in these, and what the last hold decides nothing.
        self._dicts = [own for one in self._modules for own in (vars(one), *(vars(one)[name] for name in kept))]
        held = [own for one in self._modules for own in (one._parameters, one._buffers)]
        self.tensors: list[Tensor] = [one for own in held for one in own.values() if one is not None]
        self._counts, self._things = self._count(), list(self._all())
        self._classes, self._forms = list(map(type, self._modules)), self._form()

    def own(self, name: str) -> bool:
        """Whether any of the modules has something by this name that its class has not brought."""
        return any(name in vars(one) for one in self._modules)

    def watched(self) -> bool:
        """Whether any of the modules has a hook, see memnet.unroll.hooked."""
        return bool(has_global_hooks()) or any(self._hooks) or any("forward" in own for own in self._own)

    def holds(self) -> bool:
        """Whether nothing has changed."""
        return (
            self._count() == self._counts
            and all(map(is_, self._all(), self._things))
            and list(map(type, self._modules)) == self._classes
            and self._form() == self._forms
        )

    def _count(self) -> list[int]:
        return list(map(len, self._dicts))

    def _all(self) -> chain[Any]:
        return chain.from_iterable(map(dict.values, self._dicts))

    def _form(self) -> list[Any]:
        """Where and how the tensors lie in memory."""
        found: list[Any] = []
        for one in self.tensors:
            found += one.data_ptr(), one.dtype, one.shape, one.stride()
        return found
