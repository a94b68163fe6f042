"""What becomes of gradients: the demonstration on untrained networks, and the look into a network in training."""
