"""Runs on translation: sentences of two languages, trained, tested and used."""
