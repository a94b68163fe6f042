"""Tasks that make their own data: the five of Graves et al. 2014 (arXiv 1410.5401), and four long dependencies."""

from .adding import Adding
from .agreement import Agreement
from .associative_recall import AssociativeRecall
from .bits import BitTask
from .common import Batch, Score, Task
from .copy_memory import CopyMemory
from .dynamic_ngrams import DynamicNGrams
from .priority_sort import PrioritySort
from .repeat_copy import RepeatCopy
from .sequence_copy import Copy
from .symbols import SymbolTask
from .temporal_order import TemporalOrder

__all__ = [
    "TASKS",
    "Adding",
    "Agreement",
    "AssociativeRecall",
    "Batch",
    "BitTask",
    "Copy",
    "CopyMemory",
    "DynamicNGrams",
    "PrioritySort",
    "RepeatCopy",
    "Score",
    "SymbolTask",
    "Task",
    "TemporalOrder",
]

TASKS: dict[str, type[Task]] = {
    "copy": Copy,
    "repeat-copy": RepeatCopy,
    "associative-recall": AssociativeRecall,
    "dynamic-ngrams": DynamicNGrams,
    "priority-sort": PrioritySort,
    "adding": Adding,
    "copy-memory": CopyMemory,
    "temporal-order": TemporalOrder,
    "agreement": Agreement,
}
