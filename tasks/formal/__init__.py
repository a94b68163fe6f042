"""Formal languages: the Chomsky hierarchy, groups, counters, brackets."""
