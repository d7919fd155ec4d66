"""A trained run as a product: embed and classify images, or take the encoder."""

import copy
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from nearfar.core.errors import DataError, RunError
from nearfar.data.center import CenterSquare
from nearfar.data.datasets import rgb_pixels
from nearfar.data.decoding import peek, pillow_is_quiet
from nearfar.data.layout import printable
from nearfar.data.listing import Raw
from nearfar.data.rgb import White
from nearfar.data.samples import EvaluationView
from nearfar.evaluate.classifier import Classifier
from nearfar.evaluate.stream import Represented, represent
from nearfar.evaluate.sureness import Reference
from nearfar.experiment.encoding import example_of
from nearfar.experiment.referring import read_reference
from nearfar.experiment.train_classifier import read_classifier
from nearfar.nn.building import Stem, build_encoder, encoder_names, only_builds
from nearfar.nn.encoders import Encoder, Precision
from nearfar.run_folder import names
from nearfar.run_folder.choosing import is_run
from nearfar.run_folder.folder import RunFolder
from nearfar.run_folder.records import EncoderFile


@dataclass(frozen=True)
class Predictions:
    classes: NDArray[np.int64]  # (n,)
    probabilities: NDArray[np.float64]  # (n, C), rows sum to 1
    class_names: tuple[str, ...]
    # (n,): farther from the training images than one in a hundred of the validation images is;
    # None where the run has no reference.npz
    unlike: NDArray[np.bool_] | None = None


@final
class Model:
    """What `nearfar.load(run)` returns. `encoder` is the network in float32 and evaluation mode."""

    def __init__(
        self,
        encoder: Encoder,
        view: EvaluationView,
        class_names: tuple[str, ...],
        classifier: Classifier | None,
        path: Path,
        finetuned: Encoder | None = None,
    ) -> None:
        self.encoder = encoder.eval()
        self.view = view
        self.class_names = class_names
        self._classifier = classifier
        self._path = path
        self._finetuned = finetuned.eval() if finetuned is not None else None

    def embed(self, images: Any, *, precision: Precision = "float32") -> NDArray[np.float32]:
        """(n, E) float32. `images`: a sequence of PIL images, paths or uint8 arrays (H, W[, 3]), or
        one array (n, H, W, 3). `precision` is what the encoder computes in. DataError: an image
        that cannot be read, by name.
        """
        return self._represent(self.encoder, images, precision)

    def predict(self, images: Any, *, precision: Precision = "float32") -> Predictions:
        """Classes by the run's classifier, for what `embed` takes: of the method's own head, the
        linear probe and the classifier stage (on its fine-tuned encoder, if it has one) the one
        that was best on validation, which results.json names. RunError: the run has no classifier.
        """
        encoder, _ = self.classifying
        return self._classified(self._represent(encoder, images, precision))

    def classify(self, embeddings: NDArray[np.float32]) -> Predictions:
        """Classes of representations (n, E) that `embed` gave. RunError: the run has no classifier,
        or one that goes with a fine-tuned encoder.
        """
        self._want_classifier()
        if self._finetuned is not None:
            raise RunError(
                f"{self._path}: its classifier reads the fine-tuned encoder, not what embed gives;"
                " use predict(images)"
            )
        return self._classified(embeddings)

    @property
    def has_classifier(self) -> bool:
        return self._classifier is not None

    @property
    def classifying(self) -> tuple[Encoder, Classifier]:
        """The encoder and the classifier that `predict` uses. RunError: the run has none."""
        return self._finetuned or self.encoder, self._want_classifier()

    @cached_property
    def reference(self) -> Reference | None:
        """What `predict` holds images against; None in runs of older versions, and without labeled
        validation images. RunError: it cannot be read.
        """
        return read_reference(RunFolder(self._path))

    def _classified(self, embeddings: NDArray[np.float32]) -> Predictions:
        shares, held = self._want_classifier().probabilities(embeddings), self.reference
        unlike = None if held is None else held.distances(embeddings) > held.farthest
        return Predictions(shares.argmax(axis=1), shares, self.class_names, unlike)

    def _want_classifier(self) -> Classifier:
        if self._classifier is None:
            raise RunError(
                f"{self._path} has no {names.CLASSIFIER}: it was trained without labels, or"
                " interrupted before its probe; train it to the end, or fit one by `nearfar probe"
                f" {self._path} --data LABELED`"
            )
        return self._classifier

    def predictions(
        self, images: Sequence[Any], *, precision: Precision = "float32"
    ) -> Generator[tuple[Represented, Predictions], None, None]:
        """`predict`, a part of the images after the other, where some may not be readable. To be
        closed where it is left early.
        """
        encoder, _ = self.classifying
        with closing(self._stream(encoder, images, precision)) as parts:
            for part in parts:
                yield part, self._classified(part.x)

    def _represent(
        self, encoder: Encoder, images: Any, precision: Precision
    ) -> NDArray[np.float32]:
        if isinstance(images, np.ndarray) and images.ndim != 4:
            raise DataError(
                f"want several images, as a list or an array (n, H, W, 3), got shape {images.shape}"
            )
        if isinstance(images, str | Path):
            images = [images]
        x = np.empty((len(images), encoder.width), np.float32)
        with closing(self._stream(encoder, images, precision)) as parts:
            for part in parts:
                for number, reason in part.broken:
                    raise DataError(f"{_name(images[number], number)}: {reason}")
                x[list(part.numbers)] = part.x
        return x

    def _stream(
        self, encoder: Encoder, images: Any, precision: Precision
    ) -> Generator[Represented, None, None]:
        raw_of = partial(_raw, white=self.view.center.white)
        pictures = ((number, raw_of(image, number)) for number, image in enumerate(images))
        with pillow_is_quiet():
            found = peek(raw_of(images[0], 0)) if len(images) else None
        longest = max(found.width, found.height) if found is not None else 0
        return represent(
            encoder,
            self.view,
            pictures,
            count=len(images),
            longest_px=longest,
            precision=precision,
        )


def _raw(image: Any, number: int, white: White) -> Raw:
    """A file is left to be read; what is in memory is RGB from here on. DataError: no image."""
    is_file = isinstance(image, str | Path)
    return Path(image) if is_file else rgb_pixels(image, _name(image, number), white)


def _name(image: Any, number: int) -> str:
    return printable(str(image)) if isinstance(image, str | Path) else f"image {number}"


def load(run: str | Path, module: nn.Module | None = None) -> Model:
    """The model of a run folder. Nothing of the folder is executed: weights are safetensors, the
    rest is JSON.

    `module`: a network like the one that was trained, where that was the user's own.
    RunError: a file is missing, cut short, or does not fit.
    """
    is_run(run)  # or says which one was meant
    folder = RunFolder(Path(run))
    about = folder.read_encoder_file()
    encoder = _network(about, module, folder)
    white = White(about.gray_white, about.float_white)
    center = CenterSquare(about.input_size, about.eval_crop, about.interpolation, white)
    view = EvaluationView(center, about.mean, about.std)
    _fill(encoder, folder, folder.encoder_weights)
    encoder.in_format(None)  # the bits that timm's network gives
    found = read_classifier(folder, encoder.width, len(about.class_names))
    classifier, is_finetuned = found if found is not None else (None, False)
    finetuned = None
    if is_finetuned:
        finetuned = copy.deepcopy(encoder)
        _fill(finetuned, folder, names.ENCODER_FINETUNED)
    return Model(encoder, view, about.class_names, classifier, folder.path, finetuned)


def _network(about: EncoderFile, module: nn.Module | None, folder: RunFolder) -> Encoder:
    name, example = about.architecture, example_of(CenterSquare(about.input_size))
    if about.built_by == "user":
        if module is None:
            raise RunError(
                f"{folder.path} was trained with your own {name}; give one:"
                " nearfar.load(run, module=...)"
            )
        return Encoder(module, example=example, architecture=name)
    # a folder from someone else may name anything
    if name.partition(".")[0] not in encoder_names():
        raise RunError(
            f"{folder.path / folder.encoder_config}: no encoder is called {name!r}; train again"
            " with --force"
        )
    if foreign := [key for key in about.create if not only_builds(key)]:
        raise RunError(
            f"{folder.path / folder.encoder_config}: create: nearfar writes no {foreign[0]!r};"
            " train again with --force"
        )
    with torch.random.fork_rng(devices=[]):
        stem: Stem = "small" if about.stem else "own"
        return build_encoder(name, example=example, stem=stem, create=about.create)


def _fill(encoder: Encoder, folder: RunFolder, name: str | Path) -> None:
    state = folder.read_tensors(name)
    try:
        encoder.net.load_state_dict(state)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise RunError(
            f"{folder.path / name} does not fit {encoder.architecture}: {reason}"
        ) from error
