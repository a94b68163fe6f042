"""Training on text: chunk after chunk of every stream, the state carried on and its gradient cut between them."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from experiments.base.progress import Progress
from experiments.domains.text.config import TextConfig
from experiments.domains.text.data import Streams, TextData
from experiments.domains.text.models import make_model, write_known
from experiments.domains.text.testing import bits_per_character, losses_of, perplexity
from experiments.figures.snapshot import Panel
from experiments.runs.checkpoint import Kept
from experiments.runs.folder import RunFolder
from experiments.training.looks import Look, at_rest, head_numbers, head_panels
from experiments.training.loop import TrainingLoop
from memnet import NTM, LanguageModel, detach_state
from memnet.state import State, map_state, state_tensors

SHOWN = {"train/bits_per_character": "bits/char", "valid/bits_per_character": "valid bits/char"}

# Characters that a look is about.
_WATCHED = 100


class TextKept(Kept):
    """The digest of the text, and scores since the last row."""

    text: str
    losses: list[float]
    norms: list[float]


class TextTrainer(TrainingLoop[TextConfig, LanguageModel]):
    """One run's training of a model of text. A sequence is a chunk of one stream; each pass begins all streams anew.

    config, data, folder: what to train, on what, and where it is kept.
    """

    kept = TextKept

    def __init__(self, config: TextConfig, data: TextData, folder: RunFolder, run_id: str) -> None:
        """UserError for sizes that cannot be."""
        model = make_model(config, len(data.alphabet)).to(config.device)
        super().__init__(config, folder, run_id, model, torch.optim.Adam(model.parameters(), lr=config.learning_rate))
        self.data = data
        self.streams = Streams(data.train, config.batch_size, config.chunk_length)
        self._state: State | None = None
        self._losses: list[float] = []
        self._norms: list[float] = []

    @property
    def characters(self) -> int:
        """Training characters seen so far; of those that are seen again each time."""
        passes, rest = divmod(self.step, len(self.streams))
        into = min(rest * self.config.batch_size * self.config.chunk_length, len(self.data.train) - 1)
        return passes * (len(self.data.train) - 1) + into

    @property
    def last_step(self) -> int:
        """The step after which training ends."""
        return self.config.steps

    @property
    def learning_rate(self) -> float:
        """The rate of the next step."""
        left = (self.config.steps - self.step) / max(min(self.config.cooldown_steps, self.config.steps), 1)
        return self.config.learning_rate * min(left, 1.0)

    def keep_data(self) -> None:
        write_known(self.folder, self.data)

    def changing(self) -> dict[str, Any]:
        return {"text": self.data.digest, "losses": self._losses, "norms": self._norms}

    def carried(self) -> list[torch.Tensor]:
        return [] if self._state is None else state_tensors(self._state)

    def refusal(self, progress: dict[str, Any]) -> str | None:
        if progress["text"] != self.data.digest:
            return f"was trained on another text than {self.config.text} holds"
        return None

    def put_back(self, progress: dict[str, Any]) -> None:
        self._losses, self._norms = progress["losses"], progress["norms"]

    def carried_forms(self) -> list[torch.Tensor]:
        return state_tensors(self.model.sequence.initial_state(self.config.batch_size))

    def carry_on(self, carried: Sequence[torch.Tensor]) -> None:
        rest = iter(carried)
        start = self.model.sequence.initial_state(self.config.batch_size)
        self._state = map_state(lambda _: next(rest).to(self.device, copy=True), start) if carried else None

    def _train_step(self, progress: Progress) -> None:
        place = self.step % len(self.streams)
        chunk = self.streams.chunk(place).to(self.device)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate
        self.optimizer.zero_grad(set_to_none=True)
        logits, state = self.model(chunk.input, self._state if place else None, lengths=chunk.lengths)
        mean = losses_of(logits, chunk).mean()
        mean.backward()
        loss = mean.item()
        self._note_gradients()
        gradients = [weight.grad for weight in self.model.parameters() if weight.grad is not None]
        norm = get_total_norm(gradients)
        if not (math.isfinite(loss) and math.isfinite(float(norm))):
            raise self._not_finite(loss, float(norm))
        if self.config.clip_norm is not None:
            clip_grads_with_norm_(self.model.parameters(), self.config.clip_norm, norm)
        self._losses.append(loss)
        self._norms.append(float(norm))
        self._state = detach_state(state)
        self.optimizer.step()
        self.step += 1

    def _due_row(self, progress: Progress) -> dict[str, Any]:
        row = super()._due_row(progress)
        return row and {"characters": self.characters} | row

    def _training_scores(self) -> dict[str, Any]:
        """Means since the last row, and what drove the last step."""
        losses, norms = self._losses, self._norms
        self._losses, self._norms = [], []
        loss = sum(losses) / len(losses)
        return {
            "train/loss": loss,
            "train/bits_per_character": loss / math.log(2),
            "train/gradient_norm": sum(norms) / len(norms),
            "train/largest_gradient_norm": max(norms),
            "train/learning_rate": self.optimizer.param_groups[0]["lr"],
            **self._gradients,
        }

    def _validate(self, progress: Progress) -> dict[str, Any]:
        bits = bits_per_character(self.model, self.data.valid[: self.config.valid_characters + 1])
        return {"valid/bits_per_character": bits, "valid/perplexity": perplexity(bits)}

    def _look(self) -> Look:
        """The probability of every character along the beginning of the validation part; heads and memory of an NTM."""
        model = self.model
        symbols = self.data.valid[: _WATCHED + 1].long().to(self.device)
        with at_rest(model):
            input = model.embed(symbols[:-1].unsqueeze(0))
            trace = model.sequence.trace(input) if isinstance(model.sequence, NTM) else None
            logits = model.sequence(input)[0] if trace is None else trace.output
        came = torch.zeros_like(logits[0]).scatter_(1, symbols[1:, None], 1.0)
        panels = [
            [
                Panel("the character that came", came.T.cpu().numpy(), shades="greys", height=192),
                Panel("its probability", logits[0].softmax(-1).T.cpu().numpy(), shades="greys", height=192),
            ]
        ]
        if trace is None:
            return Look({}, panels)
        return Look(head_numbers(trace), [*panels, *head_panels(trace)])
