"""Frequency tables of stories, how far two of them lie apart, and a classifier that tries to tell them apart."""

import re
from collections import Counter
from collections.abc import Hashable, Sequence
from functools import cache

import torch
from torch.nn import functional as F

from tasks.babi import Fact, Story

NAMES = (
    "red square|blue square|yellow square|triangle|pink rectangle|red sphere|"
    "John|Mary|Sandra|Daniel|Fred|Bill|Jeff|Julie|Gertrude|Winona|Jessica|Emily|Lily|Bernhard|Greg|Julius|Brian|"
    "Sumit|Jason|Antoine|Yann|bathroom|bedroom|garden|hallway|kitchen|office|cinema|park|school|apple|football|milk|"
    "pajamas|[Mm]ice|[Ss]heep|[Ww]olves|[Cc]ats|mouse|wolf|cat|swan|lion|frog|rhino|gray|white|yellow|green|"
    "hungry|thirsty|bored|tired"
)
COLUMNS = ("fact template", "question text", "answer", "block size", "facts/story", "supports", "lag", "order")
NAME = re.compile(rf"\b(?:{NAMES})\b", re.IGNORECASE)


@cache
def template(text: str, task: int) -> str:
    """The sentence without its names; in task 18, whose sentences are few, the sentence itself."""
    return text if task == 18 else NAME.sub("*", text)


def tables(stories: Sequence[Story], task: int) -> dict[str, Counter[Hashable]]:
    """How often what occurs: the columns of babi-tasks.md section 4.3.

    In task 3, whose stories are long and in the release few, numbers of facts count in tens.
    """
    unit = 10 if task == 3 else 1
    table: dict[str, Counter[Hashable]] = {kind: Counter() for kind in COLUMNS}
    for story in stories:
        facts = block = asked = 0
        for line in story:
            if isinstance(line, Fact):
                facts += 1
                block += 1
                table["fact template"][template(line.text, task)] += 1
                continue
            lags = [facts - fact for fact in line.supports]
            table["question text"][line.text] += 1
            table["answer"][line.answer] += 1
            table["block size"][asked, block // unit] += 1
            table["supports"][len(lags)] += 1
            table["lag"].update(enumerate(lags))
            ascending, descending = lags == sorted(lags, reverse=True), lags == sorted(lags)
            table["order"]["up" if ascending else "down" if descending else "mixed"] += 1
            block, asked = 0, asked + 1
        table["facts/story"][facts // unit] += 1
    return table


def total_variation(one: Counter[Hashable], two: Counter[Hashable]) -> float:
    """Half the sum of the absolute differences between two frequency tables."""
    return sum(abs(one[key] / one.total() - two[key] / two.total()) for key in one.keys() | two.keys()) / 2


def tokens(story: Story) -> list[str]:
    """Word 1- to 3-grams of a story, its answers and how far back its supports lie."""
    found: list[str] = []
    facts = 0
    for line in story:
        words = line.text.split()
        for size in (1, 2, 3):
            found += [" ".join(words[k : k + size]) for k in range(len(words) - size + 1)]
        if isinstance(line, Fact):
            facts += 1
        else:
            found += [f"= {line.answer}", *(f"- {k} {facts - fact}" for k, fact in enumerate(line.supports))]
    return found


def tell_apart(ours: Sequence[Story], theirs: Sequence[Story], folds: int) -> float:
    """Cross-validated area under the ROC curve of a logistic regression on `tokens`; 1/2 is blind."""
    counts = [Counter(tokens(story)) for story in (*ours, *theirs)]
    seen = Counter(token for count in counts for token in count)
    column = {token: k for k, token in enumerate(token for token, n in seen.items() if n >= 5)}
    label = torch.cat([torch.ones(len(ours)), torch.zeros(len(theirs))])
    fold = torch.randperm(len(counts), generator=torch.Generator().manual_seed(0)) % folds
    score = torch.zeros(len(counts))
    for held in range(folds):
        sides = [bags([counts[k] for k in (fold == held).nonzero().flatten().tolist()], column)]
        sides.append(bags([counts[k] for k in (fold != held).nonzero().flatten().tolist()], column))
        weight = fit(sides[1], label[fold != held], len(column))
        score[fold == held] = logits(sides[0], weight).detach()
    return area(score, label)


def bags(counts: list[Counter[str]], column: dict[str, int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(columns, where each row starts, values) for `embedding_bag`."""
    rows = [[(column[token], n) for token, n in count.items() if token in column] for count in counts]
    starts = torch.tensor([0, *(len(row) for row in rows)]).cumsum(0)[:-1]
    columns, values = zip(*(cell for row in rows for cell in row), strict=True)
    return torch.tensor(columns), starts, torch.tensor(values).float().log1p()


def logits(side: tuple[torch.Tensor, torch.Tensor, torch.Tensor], weight: torch.Tensor) -> torch.Tensor:
    columns, starts, values = side
    return F.embedding_bag(columns, weight, starts, mode="sum", per_sample_weights=values).squeeze(1)


def fit(side: tuple[torch.Tensor, torch.Tensor, torch.Tensor], label: torch.Tensor, size: int) -> torch.Tensor:
    weight = torch.zeros(size, 1, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight], max_iter=25, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = F.binary_cross_entropy_with_logits(logits(side, weight), label, reduction="sum")
        value = value + weight.square().sum() / 2
        value.backward()
        return value

    optimizer.step(loss)
    return weight.detach()


def area(score: torch.Tensor, label: torch.Tensor) -> float:
    """The chance that one of ours scores above one of theirs."""
    rank = torch.empty(len(score))
    rank[score.argsort()] = torch.arange(1.0, len(score) + 1)
    ours = label.sum()
    return float((rank[label == 1].sum() - ours * (ours + 1) / 2) / (ours * (len(label) - ours)))
