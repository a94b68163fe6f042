"""Training on captions: new scenes at every step, validation by the judge, looks at the attention."""

import math
from typing import Any

import torch
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from experiments.base.progress import Progress
from experiments.domains.captions.config import CaptionConfig
from experiments.domains.captions.models import make_model, make_world
from experiments.domains.captions.testing import caption_losses, captions_of, measure, seen
from experiments.figures.snapshot import Panel
from experiments.runs.checkpoint import Kept
from experiments.runs.folder import RunFolder
from experiments.training.looks import Look, at_rest
from experiments.training.loop import TrainingLoop
from memnet import Captioner, weighting_entropy

SHOWN = {"train/loss": "loss", "valid/loss": "valid loss", "valid/error_percent": "valid wrong %"}

# Validation scenes that a look is about.
_WATCHED = 2


class CaptionKept(Kept):
    """Scores since the last row."""

    losses: list[float]
    norms: list[float]


class CaptionTrainer(TrainingLoop[CaptionConfig, Captioner]):
    """One run's training of a model of captions. The scenes of a step are told by the seed and the step's number.

    config, folder: what to train, and where it is kept.
    """

    kept = CaptionKept

    def __init__(self, config: CaptionConfig, folder: RunFolder, run_id: str) -> None:
        """UserError for sizes that cannot be."""
        model = make_model(config).to(config.device)
        super().__init__(config, folder, run_id, model, torch.optim.Adam(model.parameters(), lr=config.learning_rate))
        self.world = make_world(config)
        self._losses: list[float] = []
        self._norms: list[float] = []

    @property
    def last_step(self) -> int:
        """The step after which training ends."""
        return self.config.steps

    @property
    def learning_rate(self) -> float:
        """The rate of the next step."""
        left = (self.config.steps - self.step) / max(min(self.config.cooldown_steps, self.config.steps), 1)
        risen = (self.step + 1) / max(self.config.warmup_steps, 1)
        return self.config.learning_rate * min(left, risen, 1.0)

    @property
    def most_things(self) -> int:
        """How many things the scenes of the next step may have."""
        every, most = self.config.curriculum_steps, self.world.max_things
        return most if self.step >= every else 1 + self.step * (most - 1) // every

    def changing(self) -> dict[str, Any]:
        return {"losses": self._losses, "norms": self._norms}

    def put_back(self, progress: dict[str, Any]) -> None:
        self._losses, self._norms = progress["losses"], progress["norms"]

    def _train_step(self, progress: Progress) -> None:
        config = self.config
        _, batch = self.world.sample(
            config.batch_size, part="train", seed=(config.seed, self.step), most=self.most_things
        )
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate
        self.optimizer.zero_grad(set_to_none=True)
        losses, words = caption_losses(self.model, batch)
        mean = losses.sum() / words.sum()
        mean.backward()
        loss = mean.item()
        self._note_gradients()
        norm = get_total_norm([weight.grad for weight in self.model.parameters() if weight.grad is not None])
        if not (math.isfinite(loss) and math.isfinite(float(norm))):
            raise self._not_finite(loss, float(norm))
        if config.clip_norm is not None:
            clip_grads_with_norm_(self.model.parameters(), config.clip_norm, norm)
        self._losses.append(loss)
        self._norms.append(float(norm))
        self.optimizer.step()
        self.step += 1
        progress.update({"step": self.step}, self.sequences)

    def _training_scores(self) -> dict[str, Any]:
        """Means since the last row, and what drove the last step."""
        losses, norms = self._losses, self._norms
        self._losses, self._norms = [], []
        return {
            "train/loss": sum(losses) / len(losses),
            "train/gradient_norm": sum(norms) / len(norms),
            "train/learning_rate": self.optimizer.param_groups[0]["lr"],
            **self._gradients,
        }

    def _validate(self, progress: Progress) -> dict[str, Any]:
        scores = measure(self.model, self.world, self.config.valid_scenes)
        return {f"valid/{name}": value for name, value in scores.items()}

    def _look(self) -> Look:
        """Where the words of the model's own captions of validation scenes are read from; nothing without attention."""
        model = self.model
        if not model.attention:
            return Look({}, [])
        _, batch = self.world.sample(_WATCHED, part="valid", seed="looks")
        images, lengths = seen(model, batch)
        with at_rest(model):
            captions = captions_of(model, self.world, images, lengths)
            numbers = torch.from_numpy(self.world.encode(captions)).to(images.device)
            attention = model.trace(images, numbers, lengths=lengths).attention
        assert attention is not None
        written = torch.nn.functional.pad(numbers > 0, (1, 0), value=True)
        panels = [
            [Panel("where each word was read from", weights[: len(words) + 1].cpu().numpy(), names=[*words, "(end)"])]
            for words, weights in zip(captions, attention, strict=True)
        ]
        return Look({"entropy/attention": float(weighting_entropy(attention[written]).mean())}, panels)
