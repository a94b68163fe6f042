"""Sequences: models step by step on algorithmic tasks."""
