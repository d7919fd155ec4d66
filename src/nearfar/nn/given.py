"""What `encoder.weights` names: a file, a run, a folder as timm reads it, a model of the hub."""

import functools
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import timm
from safetensors import SafetensorError
from timm.models import (
    PretrainedCfg,
    load_model_config_from_hf,
    load_state_dict_from_hf,
)

from nearfar.core.errors import UserError
from nearfar.nn.building import Stem, has_small_stem, only_builds
from nearfar.nn.checkpoints import DAMAGED, read_checkpoint
from nearfar.nn.encoders import Encoder
from nearfar.nn.published import Published, as_stated
from nearfar.nn.weights import Loaded, fill, load_weights
from nearfar.run_folder.choosing import is_run
from nearfar.run_folder.folder import OWN, RunFolder
from nearfar.run_folder.names import ENCODER, ENCODER_CONFIG
from nearfar.run_folder.reading import read_json
from nearfar.run_folder.records import EncoderFile

HUB, FOLDER = "hf-hub:", "local-dir:"
# what comes of the hub where it cannot be reached, has no such model, or one of another form
_REFUSALS = (OSError, UnpicklingError, SafetensorError, *DAMAGED)
_REMEDY = "give another one"


@dataclass(frozen=True)
class GivenWeights:
    """What is known of weights before they are read; of a file no more than where it is."""

    where: str  # as it was typed
    file: Path | None  # None: the hub has it
    name: str | None = None  # of the network
    arguments: Mapping[str, Any] = field(default_factory=dict)  # of timm's, to build it
    stem: Stem = "auto"
    seen: Published | None = None  # how it looks at an image

    def load(self, encoder: Encoder) -> Loaded:
        """Fills the encoder. UserError: they cannot be had, or do not fit."""
        if self.file is not None:
            return load_weights(encoder, self.file)
        try:
            name = self.where.removeprefix(HUB)
            tensors = load_state_dict_from_hf(name, weights_only=True)  # not timm 1.0.20's default
        except _REFUSALS as error:
            raise _refused(self.where, error) from error
        return fill(encoder, tensors, self.where)


def weights_named(weights: str) -> GivenWeights:
    """UserError or RunError: there are none of that name, or a folder that holds none."""
    if weights.startswith(HUB):
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # one message is enough
        try:
            return _of_timm(weights, None, *load_model_config_from_hf(weights.removeprefix(HUB)))
        except _REFUSALS as error:
            raise _refused(weights, error) from error
    path = Path(weights.removeprefix(FOLDER)).expanduser()
    if not path.is_dir():
        return GivenWeights(weights, path)
    config = path / ENCODER_CONFIG.name
    if not config.is_file() and is_run(path):
        folder = RunFolder(path, remedy=_REMEDY)
        return _of_nearfar(weights, path / folder.encoder_weights, folder.read_encoder_file())
    if not config.is_file():
        raise UserError(
            f"encoder.weights: {path} is a folder without {config.name}; want a file, a run, or a"
            f" folder with {config.name} and {ENCODER.name}"
        )
    content, file = read_json(config, _REMEDY), path / ENCODER.name
    if OWN in content:
        about = EncoderFile.read(content[OWN], f"{config}: {OWN}", _REMEDY)
        return _of_nearfar(weights, file, about)
    try:
        stated = content.get("pretrained_cfg", content)
        return _of_timm(weights, file, stated, content["architecture"], content.get("model_args"))
    except _REFUSALS as error:
        raise _refused(weights, error) from error


def with_stem_of(given: GivenWeights, name: str) -> GivenWeights:
    """Weights of a file, for the network of that name, with the stem that they were trained with,
    where their shapes show it. UserError: the file cannot be read.
    """
    if given.file is None or given.name is not None or not given.file.is_file():
        return given
    small = _has_small_stem(given.file, name, given.file.stat().st_mtime_ns)
    return replace(given, stem="small") if small else given


@functools.lru_cache(maxsize=16)
def _has_small_stem(file: Path, name: str, changed: int) -> bool:
    del changed  # tells a file from the one before it
    return has_small_stem(name, read_checkpoint(file))


def _of_timm(
    where: str,
    file: Path | None,
    stated: Mapping[str, Any],
    name: str,
    arguments: Mapping[str, Any] | None,
) -> GivenWeights:
    """TypeError, ValueError: the configuration is none of timm's."""
    if not timm.is_model(name):
        raise ValueError(f"timm has no network {name}")
    building = {
        key: value
        for key, value in (arguments or {}).items()
        if only_builds(key) and key not in ("num_classes", "img_size")
    }
    known = {known.name for known in fields(PretrainedCfg)}
    cfg = PretrainedCfg(**{key: value for key, value in stated.items() if key in known})
    return GivenWeights(where, file, name, building, "auto", as_stated(cfg))


def _of_nearfar(where: str, file: Path, about: EncoderFile) -> GivenWeights:
    if about.built_by == "user":
        raise UserError(
            f"encoder.weights: {where} is of your own {about.architecture}; load {file.name} into"
            " it, and give it as encoder=MODULE in Python"
        )
    seen = Published(about.input_size, about.eval_crop, about.interpolation, about.mean, about.std)
    stem: Stem = "small" if about.stem else "own"
    building = {key: value for key, value in about.create.items() if key != "img_size"}
    return GivenWeights(where, file, about.architecture, building, stem, seen)


def _refused(where: str, error: Exception) -> UserError:
    reason = str(error).strip().split("\n")[0][:200]
    return UserError(f"encoder.weights: {where} could not be had ({reason})")
