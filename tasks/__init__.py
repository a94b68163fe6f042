"""Tasks that make their own data: those of Graves et al. 2014, recall, graphs, long dependencies, formal languages."""

import ast
import sys
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .adding import Adding
    from .agreement import Agreement
    from .associative_recall import AssociativeRecall
    from .babi_noise import BabiNoise
    from .babi_stream import BabiStream
    from .bits import BitTask
    from .common import Batch, Score, Task
    from .copy_memory import CopyMemory
    from .dynamic_ngrams import DynamicNGrams
    from .formal.binary_addition import BinaryAddition
    from .formal.binary_multiplication import BinaryMultiplication
    from .formal.bucket_sort import BucketSort
    from .formal.compute_sqrt import ComputeSqrt
    from .formal.counter_language import CounterLanguage
    from .formal.cycle_navigation import CycleNavigation
    from .formal.duplicate_string import DuplicateString
    from .formal.dyck import Dyck
    from .formal.even_pairs import EvenPairs
    from .formal.flip_flop import FlipFlop
    from .formal.group_product import GroupProduct
    from .formal.missing_duplicate import MissingDuplicate
    from .formal.modular_arithmetic import ModularArithmetic
    from .formal.modular_arithmetic_brackets import ModularArithmeticBrackets
    from .formal.odds_first import OddsFirst
    from .formal.parity import Parity
    from .formal.reverse_string import ReverseString
    from .formal.solve_equation import SolveEquation
    from .formal.stack_manipulation import StackManipulation
    from .glyphs import Glyphs
    from .graph_traversal import GraphTraversal
    from .graphs import GraphTask
    from .key_value_recall import KeyValueRecall
    from .mini_shrdlu import MiniShrdlu
    from .priority_sort import PrioritySort
    from .recall.associative_retrieval import AssociativeRetrieval
    from .recall.autoencode import Autoencode
    from .recall.code_execution import CodeExecution
    from .recall.compression import Compression
    from .recall.count_recall import CountRecall
    from .recall.fuzzy_recall import FuzzyRecall
    from .recall.in_context_recall import InContextRecall, NoisyRecall
    from .recall.in_context_regression import InContextRegression
    from .recall.induction_heads import InductionHeads
    from .recall.listops import ListOps
    from .recall.memorization import Memorization
    from .recall.mqar import MQAR
    from .recall.needles import Needles
    from .recall.nth_farthest import NthFarthest
    from .recall.repeat_first import RepeatFirst
    from .recall.repeat_previous import RepeatPrevious
    from .recall.selective_copying import SelectiveCopying
    from .relation_inference import RelationInference
    from .repeat_copy import RepeatCopy
    from .sequence_copy import Copy
    from .shortest_path import ShortestPath
    from .successive_copy import SuccessiveCopy
    from .symbols import SymbolTask
    from .temporal_order import TemporalOrder
    from .tokens import DrawnTask, TokenTask
    from .two_way_recall import TwoWayRecall

    TASKS: dict[str, type[Task]]

__all__ = [
    "MQAR",
    "TASKS",
    "Adding",
    "Agreement",
    "AssociativeRecall",
    "AssociativeRetrieval",
    "Autoencode",
    "BabiNoise",
    "BabiStream",
    "Batch",
    "BinaryAddition",
    "BinaryMultiplication",
    "BitTask",
    "BucketSort",
    "CodeExecution",
    "Compression",
    "ComputeSqrt",
    "Copy",
    "CopyMemory",
    "CountRecall",
    "CounterLanguage",
    "CycleNavigation",
    "DrawnTask",
    "DuplicateString",
    "Dyck",
    "DynamicNGrams",
    "EvenPairs",
    "FlipFlop",
    "FuzzyRecall",
    "Glyphs",
    "GraphTask",
    "GraphTraversal",
    "GroupProduct",
    "InContextRecall",
    "InContextRegression",
    "InductionHeads",
    "KeyValueRecall",
    "ListOps",
    "Memorization",
    "MiniShrdlu",
    "MissingDuplicate",
    "ModularArithmetic",
    "ModularArithmeticBrackets",
    "Needles",
    "NoisyRecall",
    "NthFarthest",
    "OddsFirst",
    "Parity",
    "PrioritySort",
    "RelationInference",
    "RepeatCopy",
    "RepeatFirst",
    "RepeatPrevious",
    "ReverseString",
    "Score",
    "SelectiveCopying",
    "ShortestPath",
    "SolveEquation",
    "StackManipulation",
    "SuccessiveCopy",
    "SymbolTask",
    "Task",
    "TemporalOrder",
    "TokenTask",
    "TwoWayRecall",
]

_NAMED = {
    "copy": "Copy",
    "repeat-copy": "RepeatCopy",
    "associative-recall": "AssociativeRecall",
    "dynamic-ngrams": "DynamicNGrams",
    "priority-sort": "PrioritySort",
    "successive-copy": "SuccessiveCopy",
    "key-value-recall": "KeyValueRecall",
    "two-way-recall": "TwoWayRecall",
    "graph-traversal": "GraphTraversal",
    "shortest-path": "ShortestPath",
    "relation-inference": "RelationInference",
    "mini-shrdlu": "MiniShrdlu",
    "babi-stream": "BabiStream",
    "babi-noise": "BabiNoise",
    "glyphs": "Glyphs",
    "adding": "Adding",
    "copy-memory": "CopyMemory",
    "temporal-order": "TemporalOrder",
    "agreement": "Agreement",
    "even-pairs": "EvenPairs",
    "modular-arithmetic": "ModularArithmetic",
    "parity": "Parity",
    "cycle-navigation": "CycleNavigation",
    "stack-manipulation": "StackManipulation",
    "reverse-string": "ReverseString",
    "modular-arithmetic-brackets": "ModularArithmeticBrackets",
    "solve-equation": "SolveEquation",
    "duplicate-string": "DuplicateString",
    "missing-duplicate": "MissingDuplicate",
    "odds-first": "OddsFirst",
    "binary-addition": "BinaryAddition",
    "binary-multiplication": "BinaryMultiplication",
    "compute-sqrt": "ComputeSqrt",
    "bucket-sort": "BucketSort",
    "group-product": "GroupProduct",
    "flip-flop": "FlipFlop",
    "counter-language": "CounterLanguage",
    "dyck": "Dyck",
    "induction-heads": "InductionHeads",
    "selective-copying": "SelectiveCopying",
    "associative-retrieval": "AssociativeRetrieval",
    "mqar": "MQAR",
    "in-context-recall": "InContextRecall",
    "noisy-recall": "NoisyRecall",
    "fuzzy-recall": "FuzzyRecall",
    "compression": "Compression",
    "memorization": "Memorization",
    "needles": "Needles",
    "in-context-regression": "InContextRegression",
    "nth-farthest": "NthFarthest",
    "code-execution": "CodeExecution",
    "listops": "ListOps",
    "repeat-previous": "RepeatPrevious",
    "repeat-first": "RepeatFirst",
    "autoencode": "Autoencode",
    "count-recall": "CountRecall",
}


# Who checks types would take any name to be there.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """What is exported is imported when it is asked for: all of it takes a fifth of a second."""
        if name == "TASKS":
            return globals().setdefault(name, {task: __getattr__(kind) for task, kind in _NAMED.items()})
        if name in _modules():
            found = getattr(import_module(_modules()[name], __name__), name)
        elif not name.startswith("_") and find_spec(f"{__name__}.{name}"):
            found = import_module(f"{__name__}.{name}")
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return globals().setdefault(name, found)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


@cache
def _modules() -> dict[str, str]:
    """Where each name is, as it is written above for readers and for who checks types."""
    loader: Any = sys.modules[__name__].__loader__
    above = next(node for node in ast.parse(loader.get_source(__name__) or "").body if isinstance(node, ast.If))
    found = [node for node in above.body if isinstance(node, ast.ImportFrom)]
    return {one.name: "." * node.level + str(node.module) for node in found for one in node.names}
