"""Training on translation: steps, validation, looks at the attention, and the cooldown once it is solved."""

import math
from typing import Any

import torch
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from experiments.figures.snapshot import Panel
from experiments.files import UserError
from experiments.looks import Look
from experiments.loop import TrainingLoop
from experiments.parallel import ranks
from experiments.progress import Progress
from experiments.run_folder import RunFolder
from experiments.translation.config import TranslateConfig
from experiments.translation.data import TranslationData
from experiments.translation.models import make_model
from experiments.translation.testing import measure, sentence_losses
from memnet import EncoderDecoder, weighting_entropy

SHOWN = {"train/loss": "loss", "train/error_percent": "train error %", "valid/error_percent": "valid error %"}

# Validation sentences that a look is about, and of how many of them there is a picture.
_WATCHED, _DRAWN = 32, 2


class TranslationTrainer(TrainingLoop[TranslateConfig, EncoderDecoder]):
    """One run's training of a model that translates.

    config, data, folder: what to train, on what, and where it is kept.
    """

    def __init__(self, config: TranslateConfig, data: TranslationData, folder: RunFolder, run_id: str) -> None:
        """UserError for sizes that cannot be."""
        self._rows = ranks().share(config.batch_size)
        model = make_model(config, data.words).to(config.device)
        super().__init__(config, folder, run_id, model, torch.optim.Adam(model.parameters(), lr=config.learning_rate))
        self.data = data
        self._digest = data.digest()
        self.solved_step: int | None = None
        self.seconds_to_solve: float | None = None
        self._forget()

    @property
    def sequences_to_solve(self) -> int | None:
        """Training sentences seen when it was solved."""
        return None if self.solved_step is None else self.solved_step * self.config.batch_size

    @property
    def cooldown_start(self) -> int:
        """The step from which the learning rate falls: when solved, but early enough to end at config.steps."""
        latest = max(self.config.steps - self.config.cooldown_steps, 0)
        return latest if self.solved_step is None else min(self.solved_step, latest)

    @property
    def last_step(self) -> int:
        """The step after which training ends."""
        return min(self.cooldown_start + self.config.cooldown_steps, self.config.steps)

    @property
    def learning_rate(self) -> float:
        """The rate of the next step."""
        into = self.step - self.cooldown_start
        share = 1.0 if into < 0 else 1 - into / max(self.last_step - self.cooldown_start, 1)
        return self.config.learning_rate * max(share, 0.0)

    def changing(self) -> dict[str, Any]:
        return {
            "sentences": self._digest,
            "solved_step": self.solved_step,
            "seconds_to_solve": self.seconds_to_solve,
            "sums": self._sums,
            "norms": self._norms,
        }

    def put_back(self, progress: dict[str, Any]) -> None:
        if progress["sentences"] != self._digest:
            raise UserError(f"{self.folder.checkpoint} was trained on other sentences than {self.data.name} now holds")
        self.solved_step, self.seconds_to_solve = progress["solved_step"], progress["seconds_to_solve"]
        self._sums, self._norms = progress["sums"], progress["norms"]

    def _train_step(self, progress: Progress) -> None:
        config = self.config
        index = torch.randint(len(self.data.train), (config.batch_size,), generator=self.generator)[self._rows]
        source, target = (ids.to(self.device) for ids in self.data.train.rows(index))
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate
        self.optimizer.zero_grad(set_to_none=True)
        losses, words, exact = sentence_losses(self.model, source, target)
        # Of the whole batch, whose shares add up.
        (losses.sum() / config.batch_size).backward()
        gradients = [weight.grad for weight in self.model.parameters() if weight.grad is not None]
        if self.ranks.count > 1:
            self.ranks.add_up(gradients)
        sums = self.ranks.sums([float(losses.detach().sum()), float(words.sum()), float((~exact).sum())], self.device)
        self._note_gradients()
        norm = get_total_norm(gradients)
        if config.clip_norm is not None:
            clip_grads_with_norm_(self.model.parameters(), config.clip_norm, norm)
        if not (math.isfinite(sums[0]) and math.isfinite(norm)):
            raise self._not_finite(sums[0], float(norm))
        self._sums = [one + other for one, other in zip(self._sums, sums, strict=True)]
        self._norms.append(float(norm))
        self.optimizer.step()
        self.step += 1
        progress.update({"step": self.step}, self.sequences)

    def _forget(self) -> None:
        """Begin the sums since the last row anew: loss in nats, words, wrong sentences."""
        self._sums = [0.0, 0.0, 0.0]
        self._norms = list[float]()

    def _due_row(self, progress: Progress) -> dict[str, Any]:
        row: dict[str, Any] = {}
        if self._due(self.config.log_every):
            row |= self._training_scores()
        if self._due(self.config.valid_every):
            row |= self._validate(progress)
        return row

    def _training_scores(self) -> dict[str, Any]:
        """Means since the last row, and what drove the last step."""
        loss, words, wrong = self._sums
        norms = self._norms
        self._forget()
        return {
            "train/loss": loss / words,
            "train/error_percent": 100 * wrong / (len(norms) * self.config.batch_size),
            "train/gradient_norm": sum(norms) / len(norms),
            "train/learning_rate": self.optimizer.param_groups[0]["lr"],
            **self._gradients,
        }

    def _look(self) -> Look:
        """Where the words of validation sentences are read from; nothing without attention."""
        model, words = self.model, self.data.words
        source, target = (ids.to(self.device) for ids in self.data.valid.rows(slice(_WATCHED)))
        with torch.no_grad():
            attention = model.trace(source, target).attention
        if attention is None:
            return Look({}, [])
        written = torch.nn.functional.pad(target > 0, (1, 0), value=True)
        numbers = {"entropy/attention": float(weighting_entropy(attention[written]).mean())}
        panels = []
        for row in range(min(_DRAWN, len(source))):
            names = [*(words.target.words[word] for word in target[row].tolist() if word), "(end)"]
            read = int((source[row] > 0).sum())
            told = " ".join(words.source.words[word] for word in source[row].tolist() if word)
            values = attention[row, : len(names), :read].cpu().numpy()
            panels.append([Panel(f"{told} (where each word was read from)", values, names=names)])
        return Look(numbers, panels)

    def _validate(self, progress: Progress) -> dict[str, Any]:
        scores = self.ranks.agree(lambda: measure(self.model, self.data.valid))
        wrong, solved_at = scores["error_percent"], self.config.solved_at
        if self.solved_step is None and solved_at is not None and wrong < solved_at:
            self.solved_step, self.seconds_to_solve = self.step, self.seconds
            progress.message(
                f"solved after {self.sequences} sentences ({self.step} steps, {self.seconds:.0f} s): {wrong:.2f} % of "
                f"the validation sentences are wrong; cooling down to step {self.last_step}"
            )
        return {f"valid/{name}": value for name, value in scores.items()}

    def _state_word(self) -> str:
        return "" if self.solved_step is None else f"solved at {self.sequences_to_solve} sentences"
