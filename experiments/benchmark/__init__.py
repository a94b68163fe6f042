"""`python -m experiments benchmark`: how long a step takes, beside its floor and beside eager PyTorch."""
