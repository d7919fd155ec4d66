"""reference.npz: what a run's classifier holds new images against."""

from collections.abc import Mapping
from dataclasses import replace

import torch

from nearfar.core.errors import RunError
from nearfar.data.samples import Samples
from nearfar.evaluate.classifier import Classifier
from nearfar.evaluate.features import Features, extract, spread
from nearfar.evaluate.sureness import Reference, make_reference, reference_of
from nearfar.nn.encoders import Encoder
from nearfar.run_folder import names
from nearfar.run_folder.folder import RunFolder

MOST_TRAINING_IMAGES = 5000


def write_reference(
    folder: RunFolder,
    classifier: Classifier,
    splits: Mapping[str, Features],
    samples: Samples,
    finetuned: Encoder | None = None,
) -> None:
    """`splits` are the features of the run's last encoder; those of a fine-tuned one, where the
    classifier reads that, are taken here.
    """
    train = splits["train"]
    few = spread(torch.arange(len(train)), MOST_TRAINING_IMAGES).numpy()
    read = {**splits, "train": Features(train.x[few], train.y[few], train.rows[few])}
    if finetuned is not None:
        read = {name: _features(finetuned, samples, of) for name, of in read.items()}
    folder.write_reference(make_reference(read, classifier).arrays())


def _features(encoder: Encoder, samples: Samples, of: Features) -> Features:
    """Of the same images by another encoder."""
    return replace(of, x=extract(encoder, samples, torch.from_numpy(of.rows)))


def read_reference(folder: RunFolder) -> Reference | None:
    """None without the file. RunError: it is cut short, or not of this version."""
    if not folder.has(names.REFERENCE):
        return None
    try:
        return reference_of(folder.read_reference())
    except (KeyError, ValueError) as error:
        raise RunError(
            f"{folder.path / names.REFERENCE} does not fit this version ({error}); remove it, and"
            f" write it by: nearfar probe {folder.path}"
        ) from error
