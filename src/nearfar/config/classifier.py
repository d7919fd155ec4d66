"""The section of the classifier that is trained on the encoder after pretraining."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, model_validator

from nearfar.config.section import Section
from nearfar.config.training import MAX_RATE, DecayName, OptimizerName

AS_EVALUATED = "evaluation"  # of classifier.policy
LEFT_OUT = "none"  # as classifier.kind


class ClassifierConfig(Section):
    """Training of a classifier after pretraining, of which the epoch that is best on validation is
    kept. It takes place where `kind` is set; the other keys need it.
    """

    kind: Literal["linear", "mlp"] | None = Field(
        None,
        description=(
            "type of classifier to train on the encoder after pretraining, for use by nearfar"
            " predict: linear or mlp (unset: none; predict uses the linear probe). none leaves out"
            " the one of a recipe, with its settings"
        ),
    )
    encoder: Literal["frozen", "finetuned"] = Field(
        "frozen",
        description=(
            "frozen: only the classifier is trained; finetuned: a copy of the encoder is trained"
            " with it"
        ),
    )
    epochs: int | None = Field(
        None,
        ge=1,
        description=(
            "passes over the labeled training images (default: 30; finetuned: 30, or train.epochs"
            " if that is less)"
        ),
    )
    batch_size: int | None = Field(
        None, ge=1, description="images per step (default: train.batch_size)"
    )
    policy: str | None = Field(
        None,
        description=(
            "images the classifier is trained on: evaluation (as they are evaluated; frozen"
            " encoder only), or a view policy, one new view per image and epoch (default:"
            " evaluation; finetuned: the policy of the data source, else basic)"
        ),
    )
    standardize: bool = Field(
        True,
        description=(
            "true: the classifier is shown representations whose mean over the training images is"
            " 0 and whose standard deviation is 1; false: as the encoder gives them"
        ),
    )
    init: Literal["random", "probe"] | None = Field(
        None,
        description=(
            "weights to start from: random, or probe (kind=linear: those of the linear probe of"
            " the pretrained encoder) (default: probe for kind=linear where there are labeled"
            " validation images, else random)"
        ),
    )
    optimizer: OptimizerName = Field(
        "adamw",
        description=(
            "the optimizer: sgd (with Nesterov momentum), adamw, adam, lars or rmsprop; lars and"
            " rmsprop with the defaults of [optimizer]"
        ),
    )
    lr: float | None = Field(
        None,
        gt=0,
        le=MAX_RATE,
        description=(
            "peak learning rate of the classifier (default: 0.01; sgd: 0.1; lars: 10; rmsprop:"
            " 0.01)"
        ),
    )
    encoder_lr: float | None = Field(
        None,
        gt=0,
        le=MAX_RATE,
        description=(
            "encoder=finetuned: peak learning rate of the encoder (default: 0.1 times"
            " classifier.lr; 0.01 times if the encoder started from weights)"
        ),
    )
    weight_decay: float | None = Field(
        None,
        ge=0,
        description="strength of weight decay (default: 0.01 for adamw, 0 for all others)",
    )
    momentum: float = Field(
        0.9, ge=0, lt=1, description="momentum of sgd, lars and rmsprop; beta1 of adam and adamw"
    )
    decay: DecayName = Field(
        "cosine",
        description=(
            "course of the learning rate: cosine (to zero), steps (times 0.2 after 60, 75 and 90 %"
            " of the epochs) or constant"
        ),
    )
    hidden_dim: int | None = Field(
        None, ge=1, description="kind=mlp: width of the hidden layer (default: 1000)"
    )
    dropout: float | None = Field(
        None, ge=0, lt=1, description="kind=mlp: dropout rate before both layers (default: 0.5)"
    )

    @model_validator(mode="before")
    @classmethod
    def _left_out(cls, values: object) -> object:
        """Nothing is set where a recipe's stage is left out."""
        return {} if isinstance(values, Mapping) and values.get("kind") == LEFT_OUT else values
