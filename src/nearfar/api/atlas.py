"""A table of images as Embedding Atlas reads it: `embedding-atlas FILE.parquet --x projection_x --y
projection_y --neighbors neighbors`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nearfar.api.embedding_files import Columns, told
from nearfar.core.progress import Progress
from nearfar.core.writing import whole
from nearfar.evaluate.maps import map_of_many, nearest

if TYPE_CHECKING:
    from nearfar.api.model import Predictions

ROWS_A_GROUP = 4096
MAP_SEED = 0


@dataclass(frozen=True)
class Described:
    """Images: their representations (n, E), `paths`, `labels` and `split`; what the run's
    classifier says of them, where there is one.
    """

    x: NDArray[np.float32]
    columns: Columns
    class_names: Sequence[str]  # of the labels
    predictions: "Predictions | None"


def write_atlas(out: Path, images: Described, progress: Progress) -> None:
    """The whole file or none of it. UserError: no room, or the place forbids it.

    `id` is the number of the row, which `neighbors` name: the ten nearest by cosine, with the
    distances 1 - cosine. The projection is t-SNE's. Names of classes are text; null where there is
    none.
    """
    import pyarrow
    from pyarrow import parquet

    progress.say(f"map of {len(images.x):,} images ...")
    placed = map_of_many(images.x, seed=MAP_SEED)
    ids, distances = [], []
    with progress.bar(len(images.x), "neighbors") as bar:
        for near in nearest(images.x):
            ids += near.rows.tolist()
            distances += near.distances.tolist()
            bar.advance(len(near.rows))
    number, text = pyarrow.float32(), pyarrow.string()
    near_type = pyarrow.struct(
        {"ids": pyarrow.list_(pyarrow.int64()), "distances": pyarrow.list_(number)}
    )
    near_each = [{"ids": rows, "distances": far} for rows, far in zip(ids, distances, strict=True)]
    predicted, probability = _predicted(images)
    table = pyarrow.table(
        {
            "id": pyarrow.array(range(len(images.x)), pyarrow.int64()),
            "path": pyarrow.array(images.columns["paths"].tolist(), text),
            "label": pyarrow.array(_names(images.columns["labels"], images.class_names), text),
            "split": pyarrow.array(images.columns["split"].tolist(), text),
            "prediction": pyarrow.array(predicted, text),
            "probability": pyarrow.array(probability, number),
            "vector": pyarrow.array(list(images.x), pyarrow.list_(number)),
            "projection_x": pyarrow.array(placed[:, 0], number),
            "projection_y": pyarrow.array(placed[:, 1], number),
            "neighbors": pyarrow.array(near_each, near_type),
        }
    )
    with told(out), whole(out) as partial:
        parquet.write_table(table, partial, row_group_size=ROWS_A_GROUP)


def _predicted(images: Described) -> tuple[list[str | None], list[float | None]]:
    """The likeliest class of each image, and how likely it is."""
    found = images.predictions
    if found is None:
        return [None] * len(images.x), [None] * len(images.x)
    return _names(found.classes, found.class_names), found.probabilities.max(axis=1).tolist()


def _names(classes: NDArray[np.generic], names: Sequence[str]) -> list[str | None]:
    return [names[number] if number >= 0 else None for number in classes.tolist()]
