"""Training on text: chunk after chunk of every stream, the state carried on and its gradient cut between them."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from experiments.domains.text.data import Chunk, Streams, TextData
from experiments.domains.text.models import make_model, write_known
from experiments.domains.text.options import TextConfig
from experiments.domains.text.testing import bits_per_character, losses_of, perplexity
from experiments.figures.snapshot import Panel
from experiments.figures.trace import in_twos, panels_of
from experiments.runs.about import About, score
from experiments.runs.folder import RunFolder
from experiments.training.about import about_run
from experiments.training.looks import Look, at_rest
from experiments.training.objective import Objective, Piece, Row, mean
from experiments.training.schedules import WarmUpAndDown
from experiments.training.updates import Updates
from memnet import LanguageModel, detach_state
from memnet.state import State, map_state, state_tensors
from memnet.trace import numbers

# Characters that a look is about.
_WATCHED = 100
_BITS = score("bits_per_character", "bits per character", "bits/char", "bits/char", format=".4f")
_KNOWS = "bits per character above those of who knows the source"
_ABOVE = score("bits_above_source", _KNOWS, "above the source", "bits/char", format=".4f")


class TextObjective(Objective[LanguageModel, Chunk]):
    """A text. A sequence is a chunk of one stream; each pass begins all streams anew."""

    config: TextConfig
    data: TextData
    judged_by = "bits_per_character"
    shown: Mapping[str, str] = {"train/bits_per_character": "bits/char", "valid/bits_per_character": "valid bits/char"}

    def __init__(self, config: TextConfig, data: TextData) -> None:
        super().__init__(config, data)
        self.training = config.training
        self.schedule = WarmUpAndDown(self.training.steps, 0, self.training.cooldown_steps)
        self.updates = Updates(self.training.learning_rate, self.training.clip_norm)
        self.digest, self.others = data.digest, f"another text than {data.name} now is"
        self.streams = Streams(data.train, config.training.batch_size, config.training.chunk_length)
        self._state: State | None = None

    @property
    def title(self) -> str:
        data, alphabet = self.data, len(self.data.alphabet)
        told = f"{self.config.label}, {data.name}, {len(data.train):,} characters to train on, {alphabet:,} different"
        if data.others:
            told += f", as --most-symbols allows: {data.others:,} of all, the rarest, are read as U+FFFD"
        entropy = "" if data.entropy_rate is None else f", true entropy {data.entropy_rate:.4f} bits per character"
        return told + entropy

    def new_model(self, beginning: int = 0) -> LanguageModel:
        return make_model(self.config, len(self.data.alphabet), beginning).to(self.device)

    def about(self, *, parameters: int, last_step: int) -> About:
        return about_run(
            self.config,
            data=self.data.name,
            curve=("bits_per_character", "bits/char", "bits a character"),
            parameters=parameters,
            last_step=last_step,
            by="part",
            unit="part",
            examples="characters",
            scores=[_BITS, *([_ABOVE] if self.data.source is not None else [])],
            together="first",
        )

    def characters(self, step: int) -> int:
        """Training characters seen after so many steps; of those that are seen again each time."""
        passes, rest = divmod(step, len(self.streams))
        into = min(rest * self.training.batch_size * self.training.chunk_length, len(self.data.train) - 1)
        return passes * (len(self.data.train) - 1) + into

    def keep_data(self, folder: RunFolder) -> None:
        write_known(folder, self.data)

    def draw(self, model: LanguageModel, step: int, generator: torch.Generator) -> Chunk:
        place = step % len(self.streams)
        if place == 0:
            self._state = None
        return self.streams.chunk(place)

    def pieces(self, model: LanguageModel, batch: Chunk) -> Iterator[Piece]:
        chunk = batch.to(self.device)
        logits, state = model(chunk.input, self._state, lengths=chunk.lengths)
        loss = losses_of(logits, chunk).mean()
        yield Piece(loss, {"loss": loss.detach()})
        self._state = detach_state(state)

    def scores(self) -> Row:
        loss, norms = mean([one["loss"] for one in self.kept]), [one["norm"] for one in self.kept]
        return {
            "loss": loss,
            "bits_per_character": loss / math.log(2),
            "gradient_norm": mean(norms),
            "largest_gradient_norm": max(norms),
        }

    def validate(self, model: LanguageModel) -> Row:
        bits = bits_per_character(model, self.data.valid[: self.training.valid_characters + 1])
        return {"bits_per_character": bits, "perplexity": perplexity(bits)}

    def beside(self, model: LanguageModel, step: int, row: Row, due: Callable[[int], bool]) -> Row:
        return row and {"characters": self.characters(step)}

    def carried(self) -> Sequence[Tensor]:
        return () if self._state is None else state_tensors(self._state)

    def carried_forms(self, model: LanguageModel) -> Sequence[Tensor]:
        return state_tensors(model.sequence.initial_state(self.training.batch_size))

    def carry_on(self, model: LanguageModel, carried: Sequence[Tensor]) -> None:
        rest = iter(carried)
        start = model.sequence.initial_state(self.training.batch_size)
        self._state = map_state(lambda _: next(rest).to(self.device, copy=True), start) if carried else None

    def look(self, model: LanguageModel) -> Look:
        """The probability of every character along the beginning of the validation part; what the model did."""
        symbols = self.data.valid[: _WATCHED + 1].long().to(self.device)
        with at_rest(model):
            trace = model.trace(symbols[:-1].unsqueeze(0))
        came = torch.zeros_like(trace.output[0]).scatter_(1, symbols[1:, None], 1.0)
        panels = [
            [
                Panel("the character that came", came.T.cpu().numpy(), shades="greys", height=192),
                Panel("its probability", trace.output[0].softmax(-1).T.cpu().numpy(), shades="greys", height=192),
            ]
        ]
        memory, over_time = panels_of(trace.parts)
        return Look(numbers(trace.parts), [*panels, *in_twos(memory), *over_time])
