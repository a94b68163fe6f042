"""Training on stories and questions: the bAbI tasks, released or generated, and the world model."""
