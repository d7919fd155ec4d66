"""The section [data] of a configuration: which images, how they are cut, which of their labels are
given, how often each class is drawn.
"""

import re
from typing import Literal, Self

from pydantic import Field, model_validator

from nearfar.config.section import Section

SamplingName = Literal["uniform", "balanced", "sqrt", "m_per_class"]


class DataConfig(Section):
    source: str = Field(
        description=(
            "the images: digits (built in), a folder with one subfolder per class, or a .zip, .tar,"
            " .tar.gz or .tar.xz archive of such a folder, a table of labels (.csv or"
            " .parquet, or with the names of its columns .csv@IMAGE,LABEL), parquet files with"
            " images inside, arrays (.npz), or a published set by name, such as cifar10 (it is"
            " downloaded) or cifar10@FOLDER; docs/data.md has them all"
        )
    )
    size: int | None = Field(
        None,
        ge=4,
        le=4096,
        description=(
            "side length of the square views, in pixels (default: 64, or the usual short side of"
            " the images if that is smaller; from given weights the network's own, at most 128 on"
            " a CPU, to which smaller images are enlarged)"
        ),
    )
    eval_crop: float | None = Field(
        None,
        gt=0,
        le=1,
        description=(
            "evaluation: how much of the largest centered square is used, as a fraction of its"
            " side; 1.0 is all of it (default: 1.0; with given weights what their network is"
            " published with, where timm knows it)"
        ),
    )
    sampling: SamplingName = Field(
        "uniform",
        description=(
            "how often each class is drawn: uniform (every image once an epoch, so a class as often"
            " as it is large), balanced (all classes equally often), sqrt (as the square root of"
            " their sizes), m_per_class (batches of data.per_class images of each of their classes,"
            " which take turns; a classifier stage is balanced then); all but uniform for methods"
            " that need labels only"
        ),
    )
    per_class: int | None = Field(
        None,
        ge=1,
        description=(
            "images of each class in a batch, with data.sampling=m_per_class, such as 4;"
            " train.batch_size is a multiple of it"
        ),
    )
    labels_per_class: int | None = Field(
        None,
        ge=1,
        description=(
            "labels of each class that training is given, for experiments; the other training"
            " images become unlabeled ones. Drawn by the seed; validation and test keep all labels"
            " (default: all)"
        ),
    )
    label_fraction: float | None = Field(
        None,
        gt=0,
        le=1,
        description=(
            "as data.labels_per_class, but a fraction of the labels of each class, at least one"
            " (default: all)"
        ),
    )
    label_noise: float | None = Field(
        None,
        ge=0,
        lt=1,
        description=(
            "probability that a training image is given a wrong label, for experiments: that of"
            " any other class, all equally likely. Drawn by the seed; validation and test keep"
            " theirs (default: 0)"
        ),
    )
    group_by: str | None = Field(
        None,
        description=(
            "what is kept on one side of a cut that nearfar makes, beside equal images: near"
            " (cropped, turned, recolored or re-saved copies of a picture), or a regular expression"
            " that finds in each path what the image shows, such as a person or a day: its first"
            " group, or all that it finds (default: equal images alone)"
        ),
    )
    stream: bool = Field(
        False,
        description=(
            "true: images are read and decoded anew in every epoch, and nothing is stored; for"
            " data whose decoded images do not fit the disk (false: decoded once, into"
            " NEARFAR_CACHE)"
        ),
    )
    strict: bool = Field(
        False, description="true: stop if an image file cannot be read, instead of leaving it out"
    )

    @model_validator(mode="after")
    def _groups_go_with_m_per_class(self) -> Self:
        if self.sampling == "m_per_class" and self.per_class is None:
            raise ValueError(
                "per_class: want the number of images of each class in a batch, such as 4, beside"
                " data.sampling=m_per_class; got none"
            )
        if self.sampling != "m_per_class" and self.per_class is not None:
            raise ValueError(
                f"per_class: want data.sampling=m_per_class beside it, got {self.sampling}"
            )
        return self

    @model_validator(mode="after")
    def _withholds_labels_in_one_way(self) -> Self:
        if self.labels_per_class is not None and self.label_fraction is not None:
            raise ValueError(
                f"label_fraction: want either it or labels_per_class, got {self.label_fraction:g}"
                f" and {self.labels_per_class}"
            )
        return self

    @model_validator(mode="after")
    def _groups_by_an_expression(self) -> Self:
        try:
            re.compile(self.group_by or "")
        except re.error as error:
            raise ValueError(
                f'group_by: want near or a regular expression, got "{self.group_by}" ({error})'
            ) from error
        return self
