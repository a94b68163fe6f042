"""Pictures of runs: memory over time, learning curves, errors by length and by task, what was looked at in a story
or a sentence, growth of time and memory, what each model has on each task, and how far gradients reach.

Every function returns a matplotlib Figure, 8 inches wide unless `drawn_as` says otherwise, and `save_figure` writes it
as PNG, PDF or SVG.
matplotlib is imported when the first figure is made, through its object API: there is no pyplot,
no window and no figure that stays in memory, and the caller's matplotlib settings change nothing.
"""
