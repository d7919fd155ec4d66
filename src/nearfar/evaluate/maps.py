"""A picture of a representation: two coordinates and the nearest rows."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from nearfar.core.randomness import stream_seed

NEIGHBORS = 10
PERPLEXITY = 30.0
# of which 250 exaggerate; 1,000 place neighbors as well on 1,797 rows and take twice as long
ITERATIONS = 500
PCA_DIMENSIONS = 50
LANDMARKS = 5000  # rows that t-SNE takes half a minute for
AMONG, SHARPNESS = 5, 0.1  # landmarks that place a row, and by how much nearer ones weigh more
ROWS_A_CALL = 1024


class Near(NamedTuple):
    """Of some rows, beginning with `start`, the nearest ones (R, k) and how far they are."""

    start: int
    rows: NDArray[np.int64]
    distances: NDArray[np.float32]


def tsne(x: NDArray[np.float32], *, seed: int) -> NDArray[np.float32]:
    """(n, E) -> (n, 2): t-SNE of unit rows (cosine), started from principal components.

    van der Maaten & Hinton 2008, by scikit-learn; perplexity 30 or a third of the rows. Fewer than
    five rows, or rows that are all equal, have no map: zeros.
    """
    rows = _unit(x)
    if len(rows) < 5 or float(rows.std(axis=0).max()) < 1e-7:
        return np.zeros((len(rows), 2), dtype=np.float32)
    dimensions = min(PCA_DIMENSIONS, *rows.shape)
    small = PCA(dimensions, random_state=0).fit_transform(rows)
    perplexity = min(PERPLEXITY, (len(rows) - 1) / 3)
    start = "pca" if dimensions >= 2 else "random"
    model = TSNE(
        perplexity=perplexity,
        init=start,
        max_iter=ITERATIONS,
        random_state=stream_seed(seed, "t-SNE") % 2**31,
    )
    placed: NDArray[np.float32] = model.fit_transform(small).astype(np.float32)
    return placed


def map_of_many(x: NDArray[np.float32], *, seed: int) -> NDArray[np.float32]:
    """(n, E) -> (n, 2): `tsne` of at most 5,000 rows, evenly spread; each other row in the middle
    of the five of them that are nearest to it by cosine, near ones weighing more.
    """
    if len(x) <= LANDMARKS:
        return tsne(x, seed=seed)
    chosen = np.linspace(0, len(x) - 1, LANDMARKS).round().astype(np.int64)
    placed = torch.from_numpy(tsne(x[chosen], seed=seed))
    landmarks = torch.from_numpy(_unit(x[chosen]))
    found = []
    for part in torch.split(torch.from_numpy(x), ROWS_A_CALL):
        near = (torch.nn.functional.normalize(part, dim=1) @ landmarks.T).topk(AMONG, dim=1)
        weights = ((near.values - near.values[:, :1]) / SHARPNESS).softmax(dim=1)
        found.append((weights[:, :, None] * placed[near.indices]).sum(dim=1))
    every = torch.cat(found)
    every[torch.from_numpy(chosen)] = placed
    return every.numpy()


def nearest_rows(x: NDArray[np.float32]) -> NDArray[np.int64]:
    """(n, 10): the rows nearest to each by cosine, itself left out; -1 where there are fewer."""
    found = np.full((len(x), NEIGHBORS), -1, dtype=np.int64)
    for start, rows, _ in nearest(x):
        found[start : start + len(rows), : rows.shape[1]] = rows
    return found


def nearest(x: NDArray[np.float32]) -> Iterator[Near]:
    """The ten rows nearest to each by cosine, itself left out, nearest first, or as many as there
    are: a part after the other, with the number of its first row and the distances 1 - cosine.
    """
    rows = torch.from_numpy(_unit(x))
    k = min(NEIGHBORS, len(rows) - 1)
    for start in range(0, len(rows), ROWS_A_CALL):
        similarity = rows[start : start + ROWS_A_CALL] @ rows.T
        similarity.diagonal(start).fill_(-torch.inf)
        near = similarity.topk(max(k, 0), dim=1)
        yield Near(start, near.indices.numpy(), 1 - near.values.numpy())


def _unit(x: NDArray[np.float32]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = torch.nn.functional.normalize(torch.from_numpy(x), dim=1).numpy()
    return unit
