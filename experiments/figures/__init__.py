"""Pictures of runs: memory over time, learning curves, errors by length and by task, what was looked at in a story
or a sentence, growth of time and memory, what each model has on each task, and how far gradients reach.

Every function returns a matplotlib Figure, 8 inches wide unless `drawn_as` says otherwise, and `save_figure` writes it
as PNG, PDF or SVG.
matplotlib is imported when the first figure is made, through its object API: there is no pyplot,
no window and no figure that stays in memory, and the caller's matplotlib settings change nothing.
"""

from experiments.base.curves import curve_of_rows
from experiments.figures.captions import Card, captions_figure
from experiments.figures.curves import learning_curve_figure, seeds_figure, settings_figure
from experiments.figures.gradients import (
    LagPanel,
    Learner,
    flows_figure,
    gradient_flow_figure,
    norms_by_lag,
    propagation_figure,
)
from experiments.figures.growth import GrowthPanel, growth_figure
from experiments.figures.heat import HeatCell, heat_figure
from experiments.figures.lengths import length_figure
from experiments.figures.memory import Episode, memory_figure
from experiments.figures.states import StatePoint, states_figure
from experiments.figures.style import MODELS, Format, Measure, Size, drawn_as, figure_name, is_figure, save_figure
from experiments.figures.tasks import task_error_figure

__all__ = [
    "MODELS",
    "Card",
    "Episode",
    "Format",
    "GrowthPanel",
    "HeatCell",
    "LagPanel",
    "Learner",
    "Measure",
    "Size",
    "StatePoint",
    "captions_figure",
    "curve_of_rows",
    "drawn_as",
    "figure_name",
    "flows_figure",
    "gradient_flow_figure",
    "growth_figure",
    "heat_figure",
    "is_figure",
    "learning_curve_figure",
    "length_figure",
    "memory_figure",
    "norms_by_lag",
    "propagation_figure",
    "save_figure",
    "seeds_figure",
    "settings_figure",
    "states_figure",
    "task_error_figure",
]
