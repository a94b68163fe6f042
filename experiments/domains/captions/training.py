"""Training on captions: new scenes at every step, validation by the judge, looks at the attention."""

from collections.abc import Iterator, Mapping

import torch

from experiments.domains.captions.models import World, make_model
from experiments.domains.captions.options import CaptionConfig
from experiments.domains.captions.testing import caption_losses, captions_of, measure, seen
from experiments.figures.trace import named_panel
from experiments.runs.about import About, score
from experiments.training.about import about_run
from experiments.training.looks import NOTHING, Look, at_rest
from experiments.training.objective import Objective, Piece, Row, mean
from experiments.training.schedules import WarmUpAndDown
from experiments.training.updates import Updates
from memnet import Captioner
from memnet.trace import find, numbers
from tasks.captions import CaptionBatch

# Validation scenes that a look is about.
_WATCHED = 2
_ERROR = score("error_percent", "wrong captions, %", "error %", "% wrong")


class CaptionObjective(Objective[Captioner, CaptionBatch]):
    """Scenes and captions of a world, those of a step told by the seed and the step's number."""

    config: CaptionConfig
    data: World
    shown: Mapping[str, str] = {
        "train/loss": "loss",
        "valid/loss": "valid loss",
        "valid/error_percent": "valid wrong %",
    }

    def __init__(self, config: CaptionConfig, data: World) -> None:
        super().__init__(config, data)
        self.training = config.training
        self.schedule = WarmUpAndDown(self.training.steps, self.training.warmup_steps, self.training.cooldown_steps)
        self.updates = Updates(self.training.learning_rate, self.training.clip_norm)

    def new_model(self, beginning: int = 0) -> Captioner:
        return make_model(self.config, beginning).to(self.device)

    def about(self, *, parameters: int, last_step: int) -> About:
        return about_run(
            self.config,
            data=self.data.name,
            curve=("error_percent", "%", "error %"),
            parameters=parameters,
            last_step=last_step,
            by="part",
            unit="captions",
            examples="scenes",
            scores=[_ERROR],
            together="first",
        )

    def most_things(self, step: int) -> int:
        """How many things the scenes of a step may have."""
        every, most = self.training.curriculum_steps, self.data.max_things
        return most if step >= every else 1 + step * (most - 1) // every

    def draw(self, model: Captioner, step: int, generator: torch.Generator) -> CaptionBatch:
        seed, most = (self.config.run.seed, step), self.most_things(step)
        return self.data.sample(self.training.batch_size, part="train", seed=seed, most=most)[1]

    def pieces(self, model: Captioner, batch: CaptionBatch) -> Iterator[Piece]:
        losses, words = caption_losses(model, batch)
        loss = losses.sum() / words.sum()
        yield Piece(loss, {"loss": loss.detach()})

    def scores(self) -> Row:
        return {
            "loss": mean([one["loss"] for one in self.kept]),
            "gradient_norm": mean([one["norm"] for one in self.kept]),
        }

    def validate(self, model: Captioner) -> Row:
        return measure(model, self.data, self.training.valid_scenes)

    def look(self, model: Captioner) -> Look:
        """Where the words of the model's own captions of validation scenes are read from; nothing without attention."""
        if not model.attention:
            return NOTHING
        _, batch = self.data.sample(_WATCHED, part="valid", seed="looks")
        images, lengths = seen(model, batch)
        with at_rest(model):
            captions = captions_of(model, self.data, images, lengths)
            ids = torch.from_numpy(self.data.encode(captions)).to(images.device)
            parts = model.trace(images, ids, lengths=lengths).parts
        attention = find(parts, "read", "word")
        assert attention is not None
        panels = [
            [named_panel(attention, row, "where each word was read from", [*words, "(end)"])]
            for row, words in enumerate(captions)
        ]
        return Look(numbers(parts, {"word": (ids > 0).sum(1) + 1}), panels)
