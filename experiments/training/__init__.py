"""Making a run: updates, checkpoints, several seeds, several devices."""
