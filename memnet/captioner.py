"""From pictures to words: a convolutional network sees, a recurrent one writes."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from memnet.addressing import attention_weights
from memnet.attention import additive_scores
from memnet.cells import State, make_controller
from memnet.checks import check_choice, check_sizes
from memnet.encoder_decoder import RecurrentName
from memnet.memory import read_memory
from memnet.sequence import map_state, state_tensors, unroll

_COLOURS = 3
# Brings the differences within a picture, which are well below one, to about one.
_CONTRAST = 4.0


class Seen(NamedTuple):
    """What an encoder saw.

    summary: (batch, feature), all in one vector.
    slots:   (batch, slot, width), one by one: places of a picture, or frames of a film.
    present: (batch, slot) bool, true where there is one.
    """

    summary: Tensor
    slots: Tensor
    present: Tensor


class CaptionState(NamedTuple):
    """All that the next word depends on, batch first; rows may be chosen and repeated, as a beam search does.

    cell:    the decoder cell's state.
    output:  (batch, hidden), the cell's last output; before the first word its state.
    slots, keys: (batch, slot, width), what is read, and what it is found by; no slots without attention.
    present: (batch, slot) bool.
    """

    cell: State
    output: Tensor
    slots: Tensor
    keys: Tensor
    present: Tensor


class CaptionTrace(NamedTuple):
    """A decoder watched word by word, for pictures.

    logits:    what forward returns.
    attention: (batch, time + 1, slot), where it looked before each word; None without attention.
    """

    logits: Tensor
    attention: Tensor | None


class PictureEncoder(nn.Module):
    """A small convolutional network: each layer has 3 x 3 filters, halves both sides, and ends in max(0, x).

        a = relu(conv(... relu(conv(4 (x - mean x))) ...))
        summary = relu(layer norm(W a + b))                    slot_i = a_i + p_i

    The mean is that of each colour over the picture, without which paper of any brightness drowns what is on it. The
    slots are the places of the last layer's map, row by row (Xu et al. 2015, section 3.1.1). Its vectors tell what is
    there, but not where: p_i is learned, from N(0, 1/width). Filters begin as He et al. 2015 (eq. 10) have it. Without
    the layer norm (Ba et al. 2016, eq. 4) a picture is a whisper at first, and it takes long until words depend on it.

    size:         pixels of a picture's side, a multiple of 2 for every layer.
    channels:     filters of each layer. feature_size: width of the summary.
    Attribute num_slots: places; slot_width: filters of the last layer.
    """

    def __init__(self, size: int = 32, *, channels: Sequence[int] = (16, 32, 64), feature_size: int = 256) -> None:
        super().__init__()
        check_sizes(size=size, feature_size=feature_size)
        if not channels or min(channels) < 1:
            raise ValueError(f"channels must be at least one number of filters, each at least 1, not {tuple(channels)}")
        if size % 2 ** len(channels):
            raise ValueError(f"size must be a multiple of {2 ** len(channels)} for {len(channels)} layers, not {size}")
        self.size, self.feature_size = size, feature_size
        self.grid, self.slot_width = size // 2 ** len(channels), channels[-1]
        widths = (_COLOURS, *channels)
        layers = [nn.Conv2d(*pair, 3, stride=2, padding=1) for pair in zip(widths, channels, strict=False)]
        for layer in layers:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        self.layers = nn.ModuleList(layers)
        self.places = nn.Parameter(torch.randn(self.grid**2, self.slot_width) * self.slot_width**-0.5)
        self.summarize = nn.Linear(self.grid**2 * self.slot_width, feature_size)
        self.norm = nn.LayerNorm(feature_size)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Summary (batch, feature_size) and slots (batch, slot, slot_width) of pictures.

        images: (batch, 3, size, size), 0 to 1.
        """
        features = (images - images.mean((-2, -1), keepdim=True)) * _CONTRAST
        for layer in self.layers:
            features = torch.relu(layer(features))
        places = rearrange(features, "batch channel height width -> batch (height width) channel")
        return torch.relu(self.norm(self.summarize(places.flatten(1)))), places + self.places


class Captioner(nn.Module):
    """A caption of a picture, word by word: the picture sets the first state of a recurrent decoder.

        s_0 = tanh(W v + b)                                v: the picture's summary, see PictureEncoder
        s_i = f(y_{i-1}, s_{i-1})        p(y_i) = softmax(V s_i + d)             Vinyals et al. 2015, eqs. 10-12

    (who let the decoder read v as its first word instead.) Of a film every frame is seen so, and a recurrent network
    reads frame after frame; v is its last output (Venugopalan et al. 2015, section 3.2, where one network reads and
    writes):

        r_t = g(v_t, r_{t-1})            v = r_T

    With attention what was seen is a memory as well, which is read before every word:

        e_ij = u . tanh(Q s_{i-1} + K a_j)     alpha_ij = softmax over j of e_ij     z_i = sum_j alpha_ij a_j
        s_i = f([y_{i-1}, z_i], s_{i-1})       p(y_i) = softmax(V [s_i, z_i] + d)    Xu et al. 2015, eqs. 4-6, 13

    a_j are the places of the picture, or r_1 .. r_T of a film (Yao et al. 2015, section 3.3). Words are ids. 0 is no
    word: it pads captions, is what the decoder is fed before the first word, and what it writes after the last one.

    vocab_size:  ids, 0 included.
    image_size, channels, feature_size: see PictureEncoder.
    film:        whether there are frames.
    attention:   whether the slots are read.
    embedding_size: width of word vectors, from N(0, 1/embedding_size). hidden_size: units of every layer.
    controller, num_layers, forget_bias: the cell of the decoder, and of what reads frames, see make_controller.
    """

    def __init__(
        self,
        vocab_size: int,
        *,
        image_size: int = 32,
        channels: Sequence[int] = (16, 32, 64),
        feature_size: int = 256,
        film: bool = False,
        attention: bool = False,
        embedding_size: int = 64,
        hidden_size: int = 256,
        controller: RecurrentName = "lstm",
        num_layers: int = 1,
        forget_bias: float = 1.0,
    ) -> None:
        super().__init__()
        check_sizes(2, vocab_size=vocab_size)
        check_sizes(embedding_size=embedding_size, hidden_size=hidden_size)
        check_choice("controller", controller, RecurrentName)
        self.vocab_size, self.embedding_size, self.hidden_size = vocab_size, embedding_size, hidden_size
        self.film, self.attention = film, attention
        layers = {"num_layers": num_layers, "forget_bias": forget_bias}
        self.encoder = PictureEncoder(image_size, channels=channels, feature_size=feature_size)
        self.reader = make_controller(controller, feature_size, hidden_size, **layers) if film else None  # type: ignore[arg-type]
        width = (hidden_size if film else self.encoder.slot_width) if attention else 0
        self.words = nn.Parameter(torch.randn(vocab_size, embedding_size) * embedding_size**-0.5)
        self.decoder = make_controller(controller, embedding_size + width, hidden_size, **layers)  # type: ignore[arg-type]
        self._sizes = [one.size(-1) for one in state_tensors(self.decoder.initial_state(1))]
        self.start = nn.Linear(hidden_size if film else feature_size, sum(self._sizes))
        # About half of a summary is zero, too.
        nn.init.kaiming_normal_(self.start.weight, nonlinearity="relu")
        self.key = nn.Linear(width, hidden_size, bias=False) if attention else None
        self.query = nn.Linear(hidden_size, hidden_size, bias=False) if attention else None
        self.direction = nn.Parameter(torch.randn(hidden_size) * hidden_size**-0.5) if attention else None
        self.readout = nn.Linear(hidden_size + width, vocab_size)

    def encode(self, images: Tensor, *, lengths: Tensor | None = None) -> CaptionState:
        """Look at pictures, or films: the state before the first word.

        images:  (batch, 3, size, size) in 0..1; of films (batch, frame, 3, size, size).
        lengths: (batch,) integer, frames of each film; None for all.
        Raises   ValueError for another shape, dtype or device, and for lengths that cannot be.
        """
        self._check(images, lengths)
        seen = self.see(images, lengths)
        start = torch.tanh(self.start(seen.summary)).split(self._sizes, -1)
        rest = iter(start)
        cell = map_state(lambda _: next(rest), self.decoder.initial_state(len(images)))
        # What every cell puts out is the hidden state of its last layer.
        output = (cell if hasattr(cell, "hidden") else cell[-1]).hidden
        slots = seen.slots if self.attention else seen.slots[:, :0]
        keys = slots if self.key is None else self.key(slots)
        return CaptionState(cell, output, slots, keys, seen.present[:, : slots.size(1)])

    def see(self, images: Tensor, lengths: Tensor | None) -> Seen:
        """What is in the pictures, or films."""
        if self.reader is None:
            summary, slots = self.encoder(images)
            return Seen(summary, slots, torch.ones_like(slots[..., 0], dtype=torch.bool))
        if lengths is None:
            lengths = torch.full((len(images),), images.size(1), device=images.device)
        present = torch.arange(images.size(1), device=images.device) < lengths.unsqueeze(1)
        # Frames after a film's end are not looked at.
        summaries = self.encoder(images[present])[0]
        frames = summaries.new_zeros(*present.shape, summaries.size(-1))
        frames[present] = summaries
        outputs, _ = unroll(self.reader, frames, self.reader.initial_state(len(images)), lengths=lengths)
        last = outputs[torch.arange(len(images), device=images.device), lengths - 1]
        return Seen(last, outputs, present)

    def step(self, words: Tensor, state: CaptionState) -> tuple[Tensor, CaptionState]:
        """One word: from the words before (batch,) to logits (batch, vocab_size), and the next state."""
        projected = self.decoder.project(functional.embedding(words, self.words))[0]
        features, state, _ = self._advance(projected, state)
        return self.readout(features), state

    def forward(self, images: Tensor, captions: Tensor, *, lengths: Tensor | None = None) -> Tensor:
        """Logits of every word and of the end, each after the right words before it.

        images, lengths: see encode. captions: (batch, time) int64 ids, 0 after each caption's last word.
        Returns  (batch, time + 1, vocab_size); those after a caption's end mean nothing.
        Raises   ValueError as encode does, and for captions that are not such.
        """
        return self.trace(images, captions, lengths=lengths).logits

    def trace(self, images: Tensor, captions: Tensor, *, lengths: Tensor | None = None) -> CaptionTrace:
        """Run as forward does and keep where it looked before each word."""
        state = self.encode(images, lengths=lengths)
        self._check_captions(captions, len(images))
        words = functional.embedding(functional.pad(captions, (1, 0)), self.words)
        features, attention = [], []
        for projected in self.decoder.project(words)[0].transpose(0, 1).contiguous().unbind(0):
            feature, state, weights = self._advance(projected, state)
            features.append(feature)
            if weights is not None:
                attention.append(weights)
        return CaptionTrace(self.readout(torch.stack(features, 1)), torch.stack(attention, 1) if attention else None)

    def _advance(self, projected: Tensor, state: CaptionState) -> tuple[Tensor, CaptionState, Tensor | None]:
        """One step of the decoder from its projected word: what the readout sees, the state, the weights."""
        read = weights = None
        if self.query is not None and self.direction is not None:
            scores = additive_scores(state.keys, self.query(state.output), self.direction)
            weights = attention_weights(scores, state.present, scores.new_zeros(len(scores)))
            read = read_memory(state.slots, weights.unsqueeze(1)).squeeze(1)
            projected = projected + self.decoder.project(read, self.embedding_size)[0]
        output, cell = self.decoder.step((projected,), state.cell)
        features = output if read is None else torch.cat([output, read], -1)
        return features, state._replace(cell=cell, output=output), weights

    def _check(self, images: Tensor, lengths: Tensor | None) -> None:
        size, weight = self.encoder.size, self.words
        expected = f"(batch, {'frame, ' if self.film else ''}{_COLOURS}, {size}, {size})"
        right = images.dim() == (5 if self.film else 4) and images.shape[-3:] == (_COLOURS, size, size)
        if not right or 0 in images.shape:
            raise ValueError(f"images must be {expected}, not {tuple(images.shape)}")
        if images.dtype != weight.dtype or images.device != weight.device:
            raise ValueError(
                f"images are {images.dtype} on {images.device}, the model is {weight.dtype} on {weight.device}"
            )
        if lengths is None:
            return
        if not self.film:
            raise ValueError("lengths are for films, and this model is for pictures")
        if lengths.shape != images.shape[:1] or lengths.dtype != torch.int64 or lengths.device != images.device:
            raise ValueError(
                f"lengths must be int64 ({len(images)},) on {images.device}, "
                f"not {lengths.dtype} {tuple(lengths.shape)} on {lengths.device}"
            )
        if int(lengths.min()) < 1 or int(lengths.max()) > images.size(1):
            raise ValueError(f"lengths must be 1..{images.size(1)}, not {int(lengths.min())}..{int(lengths.max())}")

    def _check_captions(self, captions: Tensor, rows: int) -> None:
        if captions.dim() != 2 or captions.dtype != torch.int64 or len(captions) != rows:
            raise ValueError(f"captions must be int64 ({rows}, time), not {captions.dtype} {tuple(captions.shape)}")
        if captions.device != self.words.device:
            raise ValueError(f"captions are on {captions.device}, the model on {self.words.device}")
        if captions.size(1) and not 0 <= int(captions.min()) <= int(captions.max()) < self.vocab_size:
            raise ValueError(
                f"captions must hold ids 0..{self.vocab_size - 1}, not {int(captions.min())}..{int(captions.max())}"
            )
        if bool(((captions[:, :-1] == 0) & (captions[:, 1:] > 0)).any()):
            raise ValueError("captions must have 0 after their words alone, not between them")
