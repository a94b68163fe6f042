"""Tasks that make their own data: the five algorithmic tasks of Graves et al. 2014 (arXiv 1410.5401)."""

from .associative_recall import AssociativeRecall
from .common import Batch, Task
from .dynamic_ngrams import DynamicNGrams
from .priority_sort import PrioritySort
from .repeat_copy import RepeatCopy
from .sequence_copy import Copy

__all__ = [
    "TASKS",
    "AssociativeRecall",
    "Batch",
    "Copy",
    "DynamicNGrams",
    "PrioritySort",
    "RepeatCopy",
    "Task",
]

TASKS: dict[str, type[Task]] = {
    "copy": Copy,
    "repeat-copy": RepeatCopy,
    "associative-recall": AssociativeRecall,
    "dynamic-ngrams": DynamicNGrams,
    "priority-sort": PrioritySort,
}
