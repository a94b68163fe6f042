"""The slots nearest to a key among very many, by an approximate index of faiss, which is an extra of this package."""

import importlib
import importlib.util
import math
from typing import Any

import torch
from torch import Tensor

from memnet.functional.sparse import take_rows, top_slots

# Up to how many slots a scan finds the nearest exactly.
EXACT_SLOTS = 100_000
# Of how many lists of slots a search looks into, and how many times as many slots as are asked for it brings.
_PROBED, _MORE = 16, 8
# Rows of each list that its centre is found by, and in how many rounds.
_SAMPLE, _ROUNDS = 64, 4


def check_installed() -> None:
    """ValueError where there is no faiss, which names the extra that brings it."""
    if importlib.util.find_spec("faiss") is None:
        raise ValueError("approximate needs faiss, which is not installed: pip install 'memnet-torch[index]'")


class NearSlots:
    """Of every memory of a batch a file of its rows' directions, in lists of those that are near each other.

    Making it takes seconds for a million rows; a search and a change do not grow with them but by the square root.
    """

    def __init__(self, memory: Tensor) -> None:
        self._files = [_file(one.numpy()) for one in _directions(memory)]

    def change(self, slots: Tensor, rows: Tensor) -> None:
        """Rows (batch, row, width) stand at their slots from now on."""
        for file, places, directions in zip(self._files, slots.cpu(), _directions(rows), strict=True):
            file.update_vectors(places.numpy(), directions.numpy())

    def nearest(self, memory: Tensor, key: Tensor, count: int, scales: Tensor) -> Tensor:
        """What memnet.functional.sparse.nearest_slots gives, of the slots that are found and the first `count`."""
        found = [
            torch.from_numpy(file.search(keys.numpy(), _MORE * count)[1])
            for file, keys in zip(self._files, _directions(key), strict=True)
        ]
        near = torch.stack(found).to(memory.device)
        first = torch.arange(count, device=near.device).expand(*near.shape[:-1], -1)
        slots = torch.cat([near, first], -1).sort(-1).values
        # Where nothing was found stands -1.
        left_out = (slots < 0) | (slots == torch.nn.functional.pad(slots, (1, -1), value=-1))
        inside = slots.clamp_min(0)
        rows = take_rows(memory, inside.flatten(1)).unflatten(1, inside.shape[1:])
        units = torch.nn.functional.normalize(key, dim=-1).unsqueeze(-1)
        cosines = (rows @ units).squeeze(-1) * scales.gather(1, inside.flatten(1)).view_as(inside)
        return inside.gather(-1, top_slots(cosines.round().masked_fill(left_out, -math.inf), count))


def _directions(rows: Tensor) -> Tensor:
    return torch.nn.functional.normalize(rows.detach().float(), dim=-1).cpu()


def _file(directions: Any) -> Any:
    faiss: Any = importlib.import_module("faiss")
    lists, width = math.isqrt(len(directions)), directions.shape[1]
    file = faiss.IndexIVFFlat(faiss.IndexFlatIP(width), width, lists, faiss.METRIC_INNER_PRODUCT)
    file.cp.max_points_per_centroid, file.cp.min_points_per_centroid, file.cp.niter = _SAMPLE, 1, _ROUNDS
    file.train(directions)
    file.add(directions)
    file.set_direct_map_type(faiss.DirectMap.Array)
    file.nprobe = _PROBED
    return file
