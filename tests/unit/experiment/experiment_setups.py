"""Decided runs without files, network or training, for the tests of this folder."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from nearfar.data.listing import Listing
from nearfar.experiment.configuration import check_config
from nearfar.experiment.resolve import resolve
from nearfar.experiment.setup import Setup

CPU = torch.device("cpu")


class NoReader:
    """Nothing here is ever read."""

    def key(self):
        raise AssertionError("a setup reads no image")

    read = key


def listing(
    classes: Sequence[int] = (60, 60, 60),
    *,
    unlabeled: int = 0,
    side: int = 32,
    policy: str | None = None,
    held_out: int = 10,
) -> Listing:
    """`classes` are training images a class; each also has so many held out in val and test."""
    splits, labels = [], []
    for label, count in enumerate(classes):
        splits += ["train"] * count + ["val"] * held_out + ["test"] * held_out
        labels += [label] * (count + 2 * held_out)
    splits += ["unlabeled"] * unlabeled
    labels += [-1] * unlabeled
    return Listing(
        name="made",
        source="made/",
        paths=tuple(f"{number}.png" for number in range(len(labels))),
        labels=np.asarray(labels, dtype=np.int64),
        splits=np.asarray(splits, dtype=object).astype(str),
        class_names=tuple(f"class {label}" for label in range(len(classes))),
        given_splits=("train", "val", "test"),
        side=side,
        longest=side,
        default_policy=policy,
        reader=NoReader(),
    )


def decided(
    method: str = "supcon",
    of: Listing | None = None,
    *,
    module: nn.Module | None = None,
    settings: dict | None = None,
    smoke: bool = False,
    **asked: dict,
) -> Setup:
    """`settings` are the method's own, `asked` sections: `train={"epochs": 3}`."""
    sections = {"data": {"source": "made/"}, "method": {"name": method, **(settings or {})}}
    for section, values in asked.items():
        sections.setdefault(section, {}).update(values)
    return resolve(check_config(sections), of or listing(), CPU, module=module, smoke=smoke)
