"""Tasks that make their own data: those of Graves et al. 2014, recall, graphs, and long dependencies."""

from .adding import Adding
from .agreement import Agreement
from .associative_recall import AssociativeRecall
from .bits import BitTask
from .common import Batch, Score, Task
from .copy_memory import CopyMemory
from .dynamic_ngrams import DynamicNGrams
from .glyphs import Glyphs
from .graph_traversal import GraphTraversal
from .graphs import GraphTask
from .key_value_recall import KeyValueRecall
from .mini_shrdlu import MiniShrdlu
from .priority_sort import PrioritySort
from .relation_inference import RelationInference
from .repeat_copy import RepeatCopy
from .sequence_copy import Copy
from .shortest_path import ShortestPath
from .successive_copy import SuccessiveCopy
from .symbols import SymbolTask
from .temporal_order import TemporalOrder
from .two_way_recall import TwoWayRecall

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
    "Glyphs",
    "GraphTask",
    "GraphTraversal",
    "KeyValueRecall",
    "MiniShrdlu",
    "PrioritySort",
    "RelationInference",
    "RepeatCopy",
    "Score",
    "ShortestPath",
    "SuccessiveCopy",
    "SymbolTask",
    "Task",
    "TemporalOrder",
    "TwoWayRecall",
]

TASKS: dict[str, type[Task]] = {
    "copy": Copy,
    "repeat-copy": RepeatCopy,
    "associative-recall": AssociativeRecall,
    "dynamic-ngrams": DynamicNGrams,
    "priority-sort": PrioritySort,
    "successive-copy": SuccessiveCopy,
    "key-value-recall": KeyValueRecall,
    "two-way-recall": TwoWayRecall,
    "graph-traversal": GraphTraversal,
    "shortest-path": ShortestPath,
    "relation-inference": RelationInference,
    "mini-shrdlu": MiniShrdlu,
    "glyphs": Glyphs,
    "adding": Adding,
    "copy-memory": CopyMemory,
    "temporal-order": TemporalOrder,
    "agreement": Agreement,
}
