"""From pictures to words: a convolutional network sees, a recurrent one writes."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from memnet.cells import RecurrentName, make_controller
from memnet.checks import check_choice, check_lengths, check_sizes, check_tensor, values_known
from memnet.functional.attention import dot_scores
from memnet.functional.memory import read_memory
from memnet.pretrained import Pretrained
from memnet.state import State, map_state, state_tensors
from memnet.trace import Part
from memnet.unroll import unroll_fast

_COLOURS = 3
# Brings the differences within a picture, which are well below one, to about one.
_CONTRAST = 4.0


class CaptionState(NamedTuple):
    """All that the next word depends on, batch first; rows may be chosen and repeated, as a beam search does.

    cell:  the decoder cell's state.
    read:  (batch, width), what was read before the last word, zero at first; width 0 without attention.
    slots, keys: (batch, slot, width), what is read, and what it is found by; no slots without attention.
    """

    cell: State
    read: Tensor
    slots: Tensor
    keys: Tensor


class CaptionTrace(NamedTuple):
    """A decoder watched word by word, for pictures.

    logits:    what forward returns.
    attention: (batch, time + 1, slot), where it looked for each word; None without attention.
    """

    logits: Tensor
    attention: Tensor | None

    @property
    def parts(self) -> list[Part]:
        """The attention, where there is one, see memnet.trace."""
        return [] if self.attention is None else [Part("read", "attention", self.attention, ("word", "slot"))]


class PictureEncoder(Pretrained):
    """A small convolutional network: layers of 3 x 3 filters, the first of which halve both sides.

        a = relu(norm(conv(... relu(norm(conv(4 (x - mean x)))) ...)))

    The mean is that of each colour over the picture, without which paper of any brightness drowns what is on it. norm:
    batch normalization (Ioffe and Szegedy 2015, algorithm 1), in evaluation by the running means of training. Filters
    begin as He et al. 2015 (eq. 10) have it. The vectors of the last layer's map are the slots (Xu et al. 2015, section
    3.1.1), row by row.

    size:     pixels of a picture's side, a multiple of 2^halvings.
    channels: filters of each layer.
    halvings: how many layers halve the sides.
    Attribute num_slots: places; slot_width: filters of the last layer.
    """

    def __init__(self, size: int = 32, channels: Sequence[int] = (32, 64, 64), halvings: int = 2) -> None:
        super().__init__()
        check_sizes(size=size)
        check_sizes(0, halvings=halvings)
        if len(channels) < max(halvings, 1) or min(channels) < 1:
            raise ValueError(f"channels must be at least {max(halvings, 1)} numbers from 1 on, not {tuple(channels)}")
        if size % 2**halvings:
            raise ValueError(f"size must be a multiple of {2**halvings}, not {size}")
        self.size, self.num_slots, self.slot_width = size, (size // 2**halvings) ** 2, channels[-1]
        pairs = list(zip((_COLOURS, *channels), channels, strict=False))
        # The norm has a bias of its own.
        layers = [
            nn.Conv2d(*pair, 3, stride=2 if place < halvings else 1, padding=1, bias=False)
            for place, pair in enumerate(pairs)
        ]
        for layer in layers:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        self.layers = nn.ModuleList(layers)
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in channels)

    def forward(self, images: Tensor) -> Tensor:
        """The map (picture, slot, slot_width) of pictures (picture, 3, size, size), 0 to 1."""
        features = (images - images.mean((-2, -1), keepdim=True)) * _CONTRAST
        for layer, norm in zip(self.layers, self.norms, strict=True):
            features = torch.relu(norm(layer(features)))
        return rearrange(features, "picture channel height width -> picture (height width) channel")


class Captioner(Pretrained):
    """A caption of a picture, word by word: the picture sets the first state of a recurrent decoder.

        v = relu(layer norm(W [a_1 .. a_n] + b))           s_0 = tanh(W' v + b')
        s_i = f(y_{i-1}, s_{i-1})        p(y_i) = softmax(V s_i + d)             Vinyals et al. 2015, eqs. 10-12

    (who let the decoder read v as its first word instead.) a_j are the places of the picture, see PictureEncoder.
    Without the layer norm (Ba et al. 2016, eq. 4) a picture is a whisper at first, and it takes long until words depend
    on it. Of a film every frame is seen so, and a recurrent network reads frame after frame at each place, with the
    same weights at all of them (Ballas et al. 2016, section 3, with kernels of one place). Its last outputs tell what
    went on, the last frame what things look like, and a_j is their sum (as in He et al. 2016, eq. 1):

        r_tj = g(a_tj, r_{t-1,j})        a_j = r_Tj + a_Tj

    With attention what was seen is a memory as well, which is read for every word, by a query that knows the words so
    far (Luong et al. 2015, sections 3.1 and 3.3; the scores with the scale of Vaswani et al. 2017, eq. 1):

        m_j = a_j + p_j                  e_ij = Q s_i . K m_j / sqrt(width)      alpha_ij = softmax over j of e_ij
        z_i = sum_j alpha_ij m_j         s_i = f([y_{i-1}, z_{i-1}], s_{i-1})    p(y_i) = softmax(V [s_i, z_i] + d)

    The vectors a_j tell what is there, but not where: p_j is learned, from N(0, 1/width). Words are ids. 0 is no
    word: it pads captions, is what the decoder is fed before the first word, and what it writes after the last one.

    vocab_size:  ids, 0 included.
    image_size:  pixels of a picture's side, see PictureEncoder.
    filters:     of the first of three layers that look at the picture; the others have twice as many.
    halvings:    see PictureEncoder. feature_size: width of v, at least two.
    film:        whether there are frames.
    attention:   whether the slots are read.
    embedding_size: width of word vectors, from N(0, 1/embedding_size). hidden_size: units of every decoder layer.
    controller:  the cell of the decoder, and of what reads frames (one layer as wide as the map).
    num_layers:  layers of the decoder. forget_bias: see memnet.cells.LSTMCell.
    """

    def __init__(
        self,
        vocab_size: int,
        *,
        image_size: int = 32,
        filters: int = 32,
        halvings: int = 2,
        feature_size: int = 256,
        film: bool = False,
        attention: bool = False,
        embedding_size: int = 64,
        hidden_size: int = 128,
        controller: RecurrentName = "lstm",
        num_layers: int = 1,
        forget_bias: float = 1.0,
    ) -> None:
        super().__init__()
        check_sizes(2, vocab_size=vocab_size, feature_size=feature_size)
        check_sizes(filters=filters, embedding_size=embedding_size, hidden_size=hidden_size)
        check_choice("controller", controller, RecurrentName)
        self.vocab_size, self.embedding_size, self.hidden_size = vocab_size, embedding_size, hidden_size
        self.film, self.attention = film, attention
        self.encoder = PictureEncoder(image_size, (filters, 2 * filters, 2 * filters), halvings)
        seen, width = self.encoder.slot_width, self.encoder.slot_width if attention else 0
        self.reader = make_controller(controller, seen, seen, forget_bias=forget_bias) if film else None
        self.summarize = nn.Linear(self.encoder.num_slots * seen, feature_size)
        self.norm = nn.LayerNorm(feature_size)
        self.words = nn.Parameter(torch.randn(vocab_size, embedding_size) * embedding_size**-0.5)
        self.decoder = make_controller(
            controller,
            embedding_size + width,
            hidden_size,
            num_layers=num_layers,
            forget_bias=forget_bias,
        )
        self._sizes = [one.size(-1) for one in state_tensors(self.decoder.initial_state(1))]
        self.start = nn.Linear(feature_size, sum(self._sizes))
        # About half of a summary is zero.
        nn.init.kaiming_normal_(self.start.weight, nonlinearity="relu")
        self.places = nn.Parameter(torch.randn(self.encoder.num_slots, width) * width**-0.5) if attention else None
        self.key = nn.Linear(width, width, bias=False) if attention else None
        self.query = nn.Linear(hidden_size, width, bias=False) if attention else None
        self.readout = nn.Linear(hidden_size + width, vocab_size)

    def encode(self, images: Tensor, *, lengths: Tensor | None = None) -> CaptionState:
        """Look at pictures, or films: the state before the first word.

        images:  (batch, 3, size, size) in 0..1; of films (batch, frame, 3, size, size).
        lengths: (batch,) integer, frames of each film; None for all.
        Raises   ValueError for another shape, dtype or device, and for lengths that cannot be.
        """
        lengths = self._check(images, lengths)
        seen = self.see(images, lengths)
        summary = torch.relu(self.norm(self.summarize(seen.flatten(1))))
        rest = iter(torch.tanh(self.start(summary)).split(self._sizes, -1))
        cell = map_state(lambda _: next(rest), self.decoder.initial_state(len(images)))
        slots = seen[:, :0, :0] if self.places is None else seen + self.places
        return CaptionState(cell, slots.new_zeros(len(images), slots.size(2)), slots, self._keys(slots))

    def see(self, images: Tensor, lengths: Tensor | None = None) -> Tensor:
        """What is at each place of pictures, or films, (batch, slot, width). Arguments as for encode."""
        if self.reader is None:
            return self.encoder(images)  # type: ignore[no-any-return]
        batch, frames = images.shape[:2]
        if lengths is None:
            lengths = torch.full((batch,), frames, device=images.device)
        present = torch.arange(frames, device=images.device) < lengths.unsqueeze(1)
        # Frames after a film's end are not looked at.
        maps = self.encoder(images[present])
        steps = maps.new_zeros(batch, frames, *maps.shape[1:])
        steps[present] = maps
        each = rearrange(steps, "batch frame slot width -> (batch slot) frame width")
        ends = lengths.repeat_interleave(self.encoder.num_slots)
        outputs, _ = unroll_fast(self.reader, each, self.reader.initial_state(len(each)), ends)
        rows = torch.arange(len(each), device=images.device)
        last = outputs[rows, ends - 1] + each[rows, ends - 1]
        seen: Tensor = rearrange(last, "(batch slot) width -> batch slot width", batch=batch)
        return seen

    def step(self, words: Tensor, state: CaptionState) -> tuple[Tensor, CaptionState]:
        """One word: from the words before (batch,) to logits (batch, vocab_size), and the next state."""
        projected = self.decoder.project(functional.embedding(words, self.words))[0]
        features, state, _ = self._advance(projected, state, self._weight_of_read())
        return self.readout(features), state

    def forward(self, images: Tensor, captions: Tensor, *, lengths: Tensor | None = None) -> Tensor:
        """Logits of every word and of the end, each after the right words before it.

        images, lengths: see encode. captions: (batch, time) int64 ids, 0 after each caption's last word.
        Returns  (batch, time + 1, vocab_size); those after a caption's end mean nothing.
        Raises   ValueError as encode does, and for captions that are not such.
        """
        return self.trace(images, captions, lengths=lengths).logits

    def trace(self, images: Tensor, captions: Tensor, *, lengths: Tensor | None = None) -> CaptionTrace:
        """Run as forward does and keep where it looked for each word."""
        state = self.encode(images, lengths=lengths)
        self._check_captions(captions, len(images))
        words = functional.embedding(functional.pad(captions, (1, 0)), self.words)
        features, attention, weight = [], [], self._weight_of_read()
        for projected in self.decoder.project(words)[0].transpose(0, 1).contiguous().unbind(0):
            feature, state, weights = self._advance(projected, state, weight)
            features.append(feature)
            if weights is not None:
                attention.append(weights)
        return CaptionTrace(self.readout(torch.stack(features, 1)), torch.stack(attention, 1) if attention else None)

    def _keys(self, slots: Tensor) -> Tensor:
        """What slots are found by, scaled for the softmax."""
        return slots if self.key is None else self.key(slots) * slots.size(-1) ** -0.5

    def _weight_of_read(self) -> Tensor:
        """The decoder's weights of what it sees of the picture, beside the word before."""
        return self.decoder.input_weights()[0][:, self.embedding_size :]

    def _advance(
        self, projected: Tensor, state: CaptionState, weight: Tensor
    ) -> tuple[Tensor, CaptionState, Tensor | None]:
        """One step of the decoder from its projected word: what the readout sees, the state, where it looked."""
        if self.query is None:
            output, cell = self.decoder.step((projected,), state.cell)
            return output, state._replace(cell=cell), None
        projected = projected + functional.linear(state.read, weight)
        output, cell = self.decoder.step((projected,), state.cell)
        weights = torch.softmax(dot_scores(state.keys, self.query(output)), -1)
        read = read_memory(state.slots, weights.unsqueeze(1)).squeeze(1)
        return torch.cat([output, read], -1), state._replace(cell=cell, read=read), weights

    def _check(self, images: Tensor, lengths: Tensor | None) -> Tensor | None:
        """The lengths as int64, after a look at both."""
        size, weight = self.encoder.size, self.words
        expected = f"(batch, {'frame, ' if self.film else ''}{_COLOURS}, {size}, {size})"
        check_tensor("images", images, expected)
        right = images.dim() == (5 if self.film else 4) and images.shape[-3:] == (_COLOURS, size, size)
        if not right or 0 in images.shape:
            raise ValueError(f"images must be {expected}, not {tuple(images.shape)}")
        if images.dtype != weight.dtype or images.device != weight.device:
            raise ValueError(
                f"images are {images.dtype} on {images.device}, the model is {weight.dtype} on {weight.device}"
            )
        if lengths is None:
            return None
        if not self.film:
            raise ValueError("lengths are for films, and this model is for pictures")
        return check_lengths("lengths", lengths, images, images.size(1), least=1)

    def _check_captions(self, captions: Tensor, rows: int) -> None:
        check_tensor("captions", captions, "of int64 (batch, time)")
        if captions.dim() != 2 or captions.dtype != torch.int64 or len(captions) != rows:
            raise ValueError(f"captions must be int64 ({rows}, time), not {captions.dtype} {tuple(captions.shape)}")
        if captions.device != self.words.device:
            raise ValueError(f"captions are on {captions.device}, the model on {self.words.device}")
        if not values_known():
            return
        if captions.size(1) and not 0 <= int(captions.min()) <= int(captions.max()) < self.vocab_size:
            raise ValueError(
                f"captions must hold ids 0..{self.vocab_size - 1}, not {int(captions.min())}..{int(captions.max())}"
            )
        if bool(((captions[:, :-1] == 0) & (captions[:, 1:] > 0)).any()):
            raise ValueError("captions must have 0 after their words alone, not between them")
