"""What networks do with their memory, and what becomes of gradients on their way back through time."""

from memnet.diagnostics.activity import gradient_norms, slots_used, weighting_entropy

__all__ = ["gradient_norms", "slots_used", "weighting_entropy"]
