"""Recall of values by their keys and of keys by their values (Csordas and Schmidhuber 2019)."""

from .key_value_recall import KeyValueRecall


class TwoWayRecall(KeyValueRecall):
    """Shown keys and values, give the value of each key, then the key of each value (Csordas and Schmidhuber 2019).

        step          0 ... n-1     n     n+1 ... 2n    2n+1    2n+2 ... 3n+1
        key           the keys      0     the keys      0       the values
        value         the values    0     0             0       0
        ask values    0             1     0             0       0
        ask keys      0             0     0             1       0
        target        -             -     their values  -       their keys

    As `KeyValueRecall`, but that values differ, too, so that there is one answer to every question; in the paper's code
    they may be equal. Questions come in two orders of their own, and, as there, all in the channels of the key. Input
    channels: the key's bits, the value's bits, and both delimiters (2 num_bits + 2). A sequence of n pairs has 3n + 2
    steps, of which those with a question, 2n, are scored.

    num_bits: bits of a key, and of a value.
    """

    name = "two-way-recall"
    delimiters = ("ask values", "ask keys")
