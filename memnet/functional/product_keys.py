"""Finding the best of n^2 keys among 2 n halves (Lample et al. 2019, arXiv 1907.05242)."""

from torch import Tensor


def best_products(query: Tensor, keys: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The keys that a query fits best, of all pairs of a first and a second half (Lample et al. 2019, section 3.2).

        score(i, j) = q_1 . k_1i + q_2 . k_2j        the best pairs are among those of the best halves

    query:  (..., head, 2 * half).
    keys:   (head, 2, keys, half).
    count:  how many, at most keys.
    Returns scores and places, (..., head, count), the best first; place i * keys + j is the pair (i, j).
    """
    first, second = query.chunk(2, -1)
    scores, places = [], []
    for half, own in ((first, keys[:, 0]), (second, keys[:, 1])):
        best = (own @ half.unsqueeze(-1)).squeeze(-1).topk(count, -1)
        scores.append(best.values)
        places.append(best.indices)
    sums = (scores[0].unsqueeze(-1) + scores[1].unsqueeze(-2)).flatten(-2)
    pairs = (places[0].unsqueeze(-1) * keys.size(2) + places[1].unsqueeze(-2)).flatten(-2)
    best = sums.topk(count, -1)
    return best.values, pairs.gather(-1, best.indices)
