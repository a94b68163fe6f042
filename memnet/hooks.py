"""Whether somebody watches a module."""

from torch.nn import Module
from torch.nn.modules.module import _has_any_global_hook

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def hooked(*modules: Module) -> bool:
    """Whether any of the modules, those within it not counted, has a hook that a call of it would run."""
    return _has_any_global_hook() or any(getattr(module, hooks) for module in modules for hooks in _HOOKS)
