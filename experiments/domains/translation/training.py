"""Training on translation: steps, validation, looks at the attention, and the cooldown once it is solved."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from experiments.base.progress import Progress
from experiments.domains.translation.config import TranslateConfig
from experiments.domains.translation.data import TranslationData
from experiments.domains.translation.loading import keep_words
from experiments.domains.translation.models import make_model
from experiments.domains.translation.testing import measure, sentence_losses
from experiments.figures.snapshot import Panel
from experiments.runs.folder import RunFolder
from experiments.training.looks import Look
from experiments.training.ranks import ranks
from experiments.training.solving import SolvingKept, SolvingLoop
from memnet import EncoderDecoder, weighting_entropy

SHOWN = {"train/loss": "loss", "train/error_percent": "train error %", "valid/error_percent": "valid error %"}

# Validation sentences that a look is about, of how many of them there is a picture, and of how many words.
_WATCHED, _DRAWN, _LINES = 32, 2, 60


class TranslationKept(SolvingKept):
    """The digest of the sentences, and sums since the last row: loss, words, wrong sentences; norms one by one."""

    sentences: str
    sums: list[float]
    norms: list[float]


class TranslationTrainer(SolvingLoop[TranslateConfig, EncoderDecoder]):
    """One run's training of a model that translates.

    config, data, folder: what to train, on what, and where it is kept.
    """

    kept = TranslationKept

    def __init__(self, config: TranslateConfig, data: TranslationData, folder: RunFolder, run_id: str) -> None:
        """UserError for sizes that cannot be."""
        self._rows = ranks().share(config.batch_size)
        model = make_model(config, data.words).to(config.device)
        super().__init__(config, folder, run_id, model, torch.optim.Adam(model.parameters(), lr=config.learning_rate))
        self.data = data
        self._digest = data.digest()
        self._forget()

    def keep_data(self) -> None:
        keep_words(self.folder, self.data)

    def changing(self) -> dict[str, Any]:
        return super().changing() | {
            "sentences": self._digest,
            "sums": self._sums,
            "norms": self._norms,
        }

    def refusal(self, progress: dict[str, Any]) -> str | None:
        if progress["sentences"] != self._digest:
            return f"was trained on other sentences than {self.data.name} now holds"
        return None if len(progress["sums"]) == len(self._sums) else "is of another training: its sums are not three"

    def put_back(self, progress: dict[str, Any]) -> None:
        super().put_back(progress)
        self._sums, self._norms = progress["sums"], progress["norms"]

    def _train_step(self, progress: Progress) -> None:
        config = self.config
        index = torch.randint(len(self.data.train), (config.batch_size,), generator=self.generator)[self._rows]
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate
        self.optimizer.zero_grad(set_to_none=True)
        own = [0.0, 0.0, 0.0]
        for source, target in self.data.train.groups(index):
            losses, words, exact = sentence_losses(self.model, source.to(self.device), target.to(self.device))
            # Of the whole batch, whose parts and shares add up.
            (losses.sum() / config.batch_size).backward()
            parts = float(losses.detach().sum()), float(words.sum()), float((~exact).sum())
            own = [one + other for one, other in zip(own, parts, strict=True)]
        gradients = [weight.grad for weight in self.model.parameters() if weight.grad is not None]
        if self.ranks.count > 1:
            self.ranks.add_up(gradients)
        sums = self.ranks.sums(own, self.device)
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
        valid, words = self.data.valid, self.data.words
        entropies, panels = list[Tensor](), list[list[Panel]]()
        for source, target in valid.groups(torch.arange(min(_WATCHED, len(valid)))):
            attention = self._attention(source, target)
            if attention is None:
                return Look({}, [])
            written = torch.nn.functional.pad(target > 0, (1, 0), value=True)
            entropies.append(weighting_entropy(attention[written]))
        for place in range(min(_DRAWN, len(valid))):
            source, target = (rows.padded(torch.tensor([place])) for rows in (valid.source, valid.target))
            attention = self._attention(source, target)
            assert attention is not None
            names = [*(words.target.words[word] for word in target[0].tolist()), "(end)"][:_LINES]
            told = " ".join(words.source.words[word] for word in source[0, :_LINES].tolist())
            values = attention[0, :_LINES, :_LINES].numpy()
            panels.append([Panel(f"{told} (where each word was read from)", values, names=names)])
        return Look({"entropy/attention": float(torch.cat(entropies).mean())}, panels)

    def _attention(self, source: Tensor, target: Tensor) -> Tensor | None:
        """Where words of the target were read from, on the CPU."""
        with torch.no_grad():
            attention = self.model.trace(source.to(self.device), target.to(self.device)).attention
        return None if attention is None else attention.cpu()

    def _validate(self, progress: Progress) -> dict[str, Any]:
        scores = self.ranks.agree(lambda: measure(self.model, self.data.valid))
        wrong = scores["error_percent"]
        self._note_solved(wrong, f"{wrong:.2f} % of the validation sentences are wrong", progress)
        return {f"valid/{name}": value for name, value in scores.items()}
