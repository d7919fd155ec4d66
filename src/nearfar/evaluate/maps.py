"""A picture of a representation: two coordinates and the nearest rows."""

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


def nearest_rows(x: NDArray[np.float32]) -> NDArray[np.int64]:
    """(n, 10): the rows nearest to each by cosine, itself left out; -1 where there are fewer."""
    rows = torch.from_numpy(_unit(x))
    similarity = rows @ rows.T
    similarity.fill_diagonal_(-torch.inf)
    k = min(NEIGHBORS, len(rows) - 1)
    found = np.full((len(rows), NEIGHBORS), -1, dtype=np.int64)
    if k > 0:
        found[:, :k] = similarity.topk(k, dim=1).indices.numpy()
    return found


def _unit(x: NDArray[np.float32]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = torch.nn.functional.normalize(torch.from_numpy(x), dim=1).numpy()
    return unit
