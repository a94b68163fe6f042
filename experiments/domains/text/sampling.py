"""python -m experiments sample: text from a trained model."""

import dataclasses
import sys
from collections.abc import Sequence

import torch
import tyro
from torch import Tensor

from experiments.base.progress import working
from experiments.base.seeds import generator_for
from experiments.config.command_line import parse
from experiments.config.fields import check_least
from experiments.domains.text.data import Alphabet
from experiments.training.loading import load_run
from experiments.training.running import prepare
from memnet import LanguageModel
from tasks.reading import normalized


@dataclasses.dataclass(frozen=True)
class SampleOptions:
    """Let a model that was trained on text write."""

    run: tyro.conf.Positional[str]
    """The run's folder."""
    prompt: str = ""
    """How the text begins; without, it begins after a line break, or with a character drawn by chance."""
    length: int = 500
    """Characters to write after the prompt."""
    temperature: float = 1.0
    """Below 1 the likely becomes likelier; 0 writes the likeliest character each time."""
    seed: int = 0
    """Another seed, another text."""
    device: str = "cpu"
    """Where to compute: cpu or cuda."""


def sample(args: Sequence[str]) -> int:
    """Print the prompt, and how the model goes on."""
    options = parse(SampleOptions, "sample", args)
    check_least(options, 1, "length")
    check_least(options, 0, "seed", "temperature")
    prepare(options.device, 1)
    _, known, model = load_run(options.run, options.device, "text")
    generator = generator_for("test", options.seed)
    if options.prompt:
        prompt = known.alphabet.encode(normalized(options.prompt), "--prompt")
    else:
        prompt = _beginning(known.alphabet, generator)
    written = write(model, prompt.long().unsqueeze(0), options.length, options.temperature, generator)
    text = known.alphabet.decode(torch.cat([prompt, written[0]])).removeprefix("" if options.prompt else "\n")
    sys.stdout.write(text + "\n")
    return 0


@working("writing")
def write(model: LanguageModel, prompt: Tensor, length: int, temperature: float, generator: torch.Generator) -> Tensor:
    """Draw symbol after symbol, each from what the model foretells after all before it.

        P(k) = softmax(logits / temperature)_k        at temperature 0 the likeliest symbol, at equal ones the first

    prompt:    (batch, time) int64, at least one symbol, each row for a text of its own.
    length:    symbols to draw. generator: on the CPU.
    Returns    (batch, length) int64 on the CPU.
    """
    device = model.sequence.readout.weight.device
    written = []
    with torch.inference_mode():
        logits, state = model(prompt.to(device))
        for _ in range(length):
            last = logits[:, -1].double().cpu()
            if temperature == 0:
                symbols = last.argmax(-1, keepdim=True)
            else:
                # The highest is put to 0, so that a small temperature gives no infinity.
                scaled = (last - last.amax(-1, keepdim=True)) / temperature
                symbols = torch.multinomial(scaled.softmax(-1), 1, generator=generator)
            written.append(symbols)
            logits, state = model(symbols.to(device), state)
    return torch.cat(written, 1)


def _beginning(alphabet: Alphabet, generator: torch.Generator) -> Tensor:
    if "\n" in alphabet.characters:
        return alphabet.encode("\n", "the beginning")
    return torch.randint(len(alphabet), (1,), generator=generator)
