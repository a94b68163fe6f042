"""Everything that runs: training, evaluation, pictures, tracking."""
