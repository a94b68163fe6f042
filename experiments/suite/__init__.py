"""Many trainings as one: tasks x models x recipes x seeds, here or on many machines."""
