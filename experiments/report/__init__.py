"""The results of many runs as tables for a README or a paper, every cell with the runs behind it."""
