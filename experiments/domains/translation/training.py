"""Training on translation: steps, validation, looks at the attention, and the cooldown once it is solved."""

from collections.abc import Iterator, Mapping
from typing import TypedDict

import torch
from torch import Tensor

from experiments.domains.translation.data import TranslationData
from experiments.domains.translation.models import keep_words, make_model
from experiments.domains.translation.options import TranslationConfig
from experiments.domains.translation.testing import measure, sentence_losses
from experiments.figures.snapshot import Panel
from experiments.figures.trace import named_panel
from experiments.runs.about import About, Score, Solved, score
from experiments.runs.folder import RunFolder
from experiments.training.about import about_run
from experiments.training.looks import NOTHING, Look
from experiments.training.objective import Objective, Piece, Row, Update, added, mean
from experiments.training.schedules import CoolDown
from experiments.training.updates import Updates
from memnet import EncoderDecoder, Part, weighting_entropy
from memnet.trace import find, real

# Validation sentences that a look is about, of how many of them there is a picture, and of how many words.
_WATCHED, _DRAWN, _LINES = 32, 2, 60


def _share(name: str, how: str) -> Score:
    words = f"sentences right to the word, {how}, %"
    return score(name, words, f"exact, {how}", "of the sentences right", format=".1%", best="high")


def _bleu(name: str, how: str) -> Score:
    return score(name, f"BLEU, {how}", f"BLEU, {how}", "BLEU", best="high")


# It is what is left of the share of those that are right.
_ERROR: Score = {
    **score("error_percent", "sentences with a wrong word, greedy, %", "error %", "% wrong"),
    "drawn": False,
}
_SCORES = [
    *(_share("exact_share", "greedy"), _share("beam_exact_share", "beam"), _ERROR),
    *(_bleu("bleu", "greedy"), _bleu("beam_bleu", "beam")),
]


class _Update(Update):
    words: float
    wrong: float


class _State(TypedDict):
    kept: list[_Update]


class TranslationObjective(Objective[EncoderDecoder, Tensor]):
    """Sentences and their translations; a batch is the numbers of some."""

    config: TranslationConfig
    data: TranslationData
    form = _State
    shown: Mapping[str, str] = {
        "train/loss": "loss",
        "train/error_percent": "train error %",
        "valid/error_percent": "valid error %",
    }

    def __init__(self, config: TranslationConfig, data: TranslationData) -> None:
        super().__init__(config, data)
        self.schedule = CoolDown(config.training.steps, config.training.cooldown_steps)
        self.updates = Updates(config.training.learning_rate, config.training.clip_norm)
        self.digest, self.others = data.digest(), f"other sentences than {data.name} now holds"

    @property
    def title(self) -> str:
        return f"{self.config.label}, {self.data.name}"

    def keep_data(self, folder: RunFolder) -> None:
        keep_words(folder, self.data)

    def new_model(self, beginning: int = 0) -> EncoderDecoder:
        return make_model(self.config, self.data.words, beginning).to(self.device)

    def about(self, *, parameters: int, last_step: int) -> About:
        training, task, solved = self.config.training, self.config.learned, None
        if (limit := training.solved_at) is not None:
            metric, then = "valid/error_percent", training.cooldown_steps
            solved = Solved(metric=metric, under=limit, unit="% wrong", then_steps=then)
        return about_run(
            self.config,
            data=self.data.name,
            curve=("error_percent", "%", "error %"),
            parameters=parameters,
            last_step=last_step,
            by="length",
            unit="words",
            examples="sentences",
            scores=_SCORES,
            together="longest",
            trained=None if task.own_files else (task.min_length, task.max_length),
            solved=solved,
        )

    def draw(self, model: EncoderDecoder, step: int, generator: torch.Generator) -> Tensor:
        return torch.randint(len(self.data.train), (self.config.training.batch_size,), generator=generator)

    def share(self, batch: Tensor, rows: slice) -> Tensor:
        return batch[rows]

    def pieces(self, model: EncoderDecoder, batch: Tensor) -> Iterator[Piece]:
        """Sentences of like length; the loss is that of the whole batch, the counts are in nats, words, sentences."""
        for source, target in self.data.train.groups(batch):
            losses, words, exact = sentence_losses(model, source.to(self.device), target.to(self.device))
            counts = {"loss": losses.detach().sum(), "words": words.sum(), "wrong": (~exact).sum()}
            yield Piece(
                losses.sum() / self.config.training.batch_size, {name: count.double() for name, count in counts.items()}
            )

    def scores(self) -> Row:
        loss, words, wrong = (added([one[name] for one in self.kept]) for name in ("loss", "words", "wrong"))
        return {
            "loss": loss / words,
            "error_percent": 100 * wrong / (len(self.kept) * self.config.training.batch_size),
            "gradient_norm": mean([one["norm"] for one in self.kept]),
        }

    def validate(self, model: EncoderDecoder) -> Row:
        return measure(model, self.data.valid)

    def solves(self, scores: Row) -> bool:
        limit = self.config.training.solved_at
        return limit is not None and scores["error_percent"] < limit

    def told(self, scores: Row) -> str:
        return f"{scores['error_percent']:.2f} % of the validation sentences are wrong"

    def look(self, model: EncoderDecoder) -> Look:
        """Where the words of validation sentences are read from; nothing without attention."""
        valid, words = self.data.valid, self.data.words
        entropies, panels = list[Tensor](), list[list[Panel]]()
        for source, target in valid.groups(torch.arange(min(_WATCHED, len(valid)))):
            attention = self._attention(model, source, target)
            if attention is None:
                return NOTHING
            entropies.append(weighting_entropy(real(attention, {"word": (target > 0).sum(1) + 1})[0]))
        for place in range(min(_DRAWN, len(valid))):
            source, target = (rows.padded(torch.tensor([place])) for rows in (valid.source, valid.target))
            attention = self._attention(model, source, target)
            assert attention is not None
            names = [*(words.target.words[word] for word in target[0].tolist()), "(end)"][:_LINES]
            told = " ".join(words.source.words[word] for word in source[0, :_LINES].tolist())
            shown = attention._replace(values=attention.values[..., :_LINES])
            panels.append([named_panel(shown, 0, f"{told} (where each word was read from)", names)])
        return Look({"entropy/attention": float(torch.cat(entropies).mean())}, panels)

    def _attention(self, model: EncoderDecoder, source: Tensor, target: Tensor) -> Part | None:
        """Where words of the target were read from."""
        with torch.no_grad():
            return find(model.trace(source.to(self.device), target.to(self.device)).parts, "read", "source")
