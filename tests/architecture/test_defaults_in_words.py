"""Where a description names a default in words, its numbers are those of the code."""

import re
from typing import get_type_hints

import pytest
import torch
from torch import nn

from nearfar.api.compare import DEMO, DEMO_METHODS
from nearfar.cli import compare as cli_compare
from nearfar.cli import options
from nearfar.cli import probe as cli_probe
from nearfar.config.keys import all_keys
from nearfar.config.loading import read_toml
from nearfar.config.training import OWN_KEYS
from nearfar.core.types import DataFacts
from nearfar.evaluate import measured_by_default
from nearfar.evaluate.few_label import DRAWS, FewLabelConfig
from nearfar.experiment import given_weights
from nearfar.experiment.choices import (
    CLASSIFIER_DROPOUT,
    CLASSIFIER_EPOCHS,
    CLASSIFIER_HIDDEN_DIM,
    CLASSIFIER_RATES,
    CLASSIFIER_WEIGHT_DECAYS,
    CONV4_UP_TO_PX,
    DEFAULT_SIZE_PX,
    DEFAULT_STEPS_AN_EPOCH,
    FINETUNED_RATE,
    LARGEST_DEFAULT_BATCH,
    LONGEST_WARM_UP,
)
from nearfar.methods import METHODS, method_class
from nearfar.methods.base import Method
from nearfar.methods.jigsaw import NINE_FROM
from nearfar.methods.relational import FOCUS, POSITIVE_WEIGHT
from nearfar.nn.building import SMALL_STEM_UP_TO_PX
from nearfar.nn.encoders import Encoder

DESCRIPTIONS = {key.path: key.text for key in all_keys()}


def own(section: str, choice: str, name: str, key: str) -> str:
    value = OWN_KEYS[(section, choice, name)][key]
    if isinstance(value, tuple):
        return f"(default: [{','.join(map(str, value))}])"
    return f"(default: {str(value).lower() if isinstance(value, bool) else value})"


def own_value(decay: str, key: str) -> float:
    return float(OWN_KEYS[("schedule", "decay", decay)][key])


IN_WORDS = [
    ("data.size", f"default: {DEFAULT_SIZE_PX},"),
    ("encoder.name", f"conv4 for views up to {CONV4_UP_TO_PX} px"),
    ("encoder.stem", f"small for views up to {SMALL_STEM_UP_TO_PX} px"),
    ("data.size", f"at most {given_weights.LARGEST_SIZE_ON_A_CPU} on a CPU"),
    ("optimizer.name", f"{given_weights.OPTIMIZER} from given weights"),
    ("optimizer.lr", f"from given weights: {given_weights.RATE:g}"),
    ("optimizer.lr", f"another optimizer there: {given_weights.RATE_FACTOR:g} times"),
    ("optimizer.weight_decay", f"{given_weights.WEIGHT_DECAY:g} with adamw from given weights"),
    ("train.epochs", f"from given weights {given_weights.EPOCHS})"),
    ("train.batch_size", f"from given weights up to {given_weights.LARGEST_BATCH},"),
    ("train.batch_size", f"{given_weights.BATCH_OF['cross_entropy']} for cross_entropy and joint"),
    ("train.gradient_clip", f"{given_weights.GRADIENT_CLIP:g} from given weights"),
    ("optimizer.trust_coefficient", own("optimizer", "name", "lars", "trust_coefficient")),
    ("optimizer.trust_ratio", own("optimizer", "name", "lars", "trust_ratio")),
    ("optimizer.trust_clip", own("optimizer", "name", "lars", "trust_clip")),
    ("optimizer.epsilon", own("optimizer", "name", "rmsprop", "epsilon")),
    ("optimizer.lr", f"{given_weights.RATE_OF_SMALL:g} with encoder.frozen_batch_norm"),
    ("schedule.warmup_epochs", "a tenth of train.epochs, three tenths from given weights with"),
    ("schedule.warmup_epochs", f"encoder.frozen_batch_norm, at most {LONGEST_WARM_UP:g})"),
    (
        "encoder.frozen_batch_norm",
        f"smaller than {given_weights.SMALL:g} of the network's own size, but for max_margin",
    ),
    ("schedule.floor", own("schedule", "decay", "cosine", "floor")),
    ("schedule.milestones", own("schedule", "decay", "steps", "milestones")),
    ("schedule.factor", own("schedule", "decay", "steps", "factor")),
    ("train.batch_size", f"a power of two up to {LARGEST_DEFAULT_BATCH} that leaves"),
    ("train.batch_size", f"at least {DEFAULT_STEPS_AN_EPOCH} steps per epoch"),
    ("evaluate.probes", f"(default: {', '.join(measured_by_default())})"),
    ("classifier.epochs", f"(default: {CLASSIFIER_EPOCHS}; finetuned: {CLASSIFIER_EPOCHS},"),
    ("classifier.lr", f"(default: {CLASSIFIER_RATES['adamw']:g}; sgd: "),
    *(
        ("classifier.lr", f"; {name}: {CLASSIFIER_RATES[name]:g}")
        for name in ("sgd", "lars", "rmsprop")
    ),
    ("classifier.weight_decay", f"(default: {CLASSIFIER_WEIGHT_DECAYS['adamw']:g} for adamw, 0"),
    ("classifier.decay", f"steps (times {own_value('steps', 'factor'):g} after 60, 75 and 90 %"),
    ("classifier.encoder_lr", f"(default: {FINETUNED_RATE:g} times classifier.lr"),
    (
        "classifier.encoder_lr",
        f"; {FINETUNED_RATE * given_weights.RATE_FACTOR:g} times if the encoder",
    ),
    ("classifier.hidden_dim", f"(default: {CLASSIFIER_HIDDEN_DIM})"),
    ("classifier.dropout", f"(default: {CLASSIFIER_DROPOUT})"),
]


def test_the_classifier_s_rates_in_words_are_all_and_its_milestones_too() -> None:
    assert CLASSIFIER_RATES["adam"] == CLASSIFIER_RATES["adamw"]  # the words name adamw's alone
    assert sorted(CLASSIFIER_RATES) == ["adam", "adamw", "lars", "rmsprop", "sgd"]
    assert OWN_KEYS[("schedule", "decay", "steps")]["milestones"] == (0.6, 0.75, 0.9)


@pytest.mark.parametrize(("key", "words"), IN_WORDS)
def test_a_default_in_words_is_the_number_of_the_code(key: str, words: str) -> None:
    assert words in DESCRIPTIONS[key]


def described(name: str, key: str) -> str:
    return method_class(name).Config.model_fields[key].description or ""


def made(name: str, *, width: int, images: int) -> Method:
    """The method with its defaults on an encoder of that width and so many images."""
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, width))
    facts = DataFacts("data", 8, ("a", "b"), (images // 2, images // 2), images)
    kind = method_class(name)
    return kind(
        Encoder(net, example=torch.zeros(1, 3, 8, 8), architecture="linear"), kind.Config(), facts
    )


def methods_whose(key: str, pattern: str) -> dict[str, int]:
    """The number that a description names, by the methods whose description has the words."""
    found = {
        name: re.search(pattern, described(name, key))
        for name in METHODS
        if key in method_class(name).Config.model_fields
    }
    return {name: int(match[1]) for name, match in found.items() if match}


def first_width(method: Method) -> int:
    projector = method.get_submodule("projector")
    return next(layer for layer in projector.modules() if isinstance(layer, nn.Linear)).out_features


HIDDEN = methods_whose("hidden_dim", r"default: 4 times the encoder's width, at most (\d+)\)")
QUEUES = methods_whose("queue_size", r"default: (\d+), or half the training images")


def test_hidden_widths_are_four_times_the_encoders_up_to_the_limit_named() -> None:
    assert sorted(HIDDEN) == ["barlow_twins", "byol", "dino", "nnclr", "swav", "vicreg"]
    for name, limit in HIDDEN.items():
        assert first_width(made(name, width=6, images=64)) == 4 * 6
        assert first_width(made(name, width=1100, images=64)) == limit
    limit = methods_whose("projection_dim", r"4 times the encoder's width, at most (\d+)\)")
    assert first_width(made("simsiam", width=1100, images=64)) == limit["simsiam"]


def test_queues_are_as_long_as_named() -> None:
    assert sorted(QUEUES) == ["moco", "nnclr", "supcon_moco"]
    for name, length in QUEUES.items():
        assert len(made(name, width=6, images=1_000_000).queue) == length
        assert len(made(name, width=6, images=100).queue) == 50


def test_prototypes_are_as_many_as_named() -> None:
    most = methods_whose("prototypes", r"default: (\d+), or a third of the training images")
    assert len(made("dino", width=6, images=1_000_000).prototypes) == most["dino"]
    assert len(made("dino", width=6, images=90).prototypes) == 30
    words = r"default: 8/3 times the square root of the number of training images, at most (\d+)"
    most = methods_whose("prototypes", words)
    assert len(made("swav", width=6, images=2_000_000).prototypes) == most["swav"]
    assert len(made("swav", width=6, images=90_000).prototypes) == 800


def test_the_projection_of_dino_is_as_wide_as_named() -> None:
    limit = methods_whose("projection_dim", r"default: the encoder's width, at most (\d+)\)")
    assert made("dino", width=1100, images=64).prototypes.weight.shape[1] == limit["dino"]


def test_other_defaults_of_methods_are_as_named() -> None:
    assert f"3 for views from {NINE_FROM} px, else 2" in described("jigsaw", "grid")
    assert f"gamma {FOCUS:g} and weight {POSITIVE_WEIGHT:g}" in described("relational", "loss")
    constant = [name for name in METHODS if method_class(name).optimizer.decay == "constant"]
    assert f"constant for {', '.join(constant)}, cosine for all" in DESCRIPTIONS["schedule.decay"]
    temperatures = described("n_pairs", "temperature")
    numbers = re.search(r"default: (\S+) for form=soft_labels, (\S+) for form=pairs", temperatures)
    assert numbers is not None
    config = method_class("n_pairs").Config
    for form, number in zip(("soft_labels", "pairs"), numbers.groups(), strict=True):
        encoder = made("simclr", width=6, images=64).encoder
        facts = DataFacts("data", 8, ("a", "b"), (2, 2), 4)
        method = method_class("n_pairs")(encoder, config(form=form), facts)
        assert method.temperature == float(number)


def help_of(option: object) -> str:
    """The help of an annotated option."""
    return str(option.__metadata__[0].help)


def test_defaults_in_the_help_of_options_are_the_numbers_of_the_code() -> None:
    epochs = next(key.default for key in all_keys() if key.path == "train.epochs")
    demo = read_toml(DEMO)["train"]
    given = f"from given weights {given_weights.EPOCHS}"
    assert f"(default: {epochs}; {given}; demo: {demo['epochs']})" in help_of(options.Epochs)
    given = f"from given weights {given_weights.LARGEST_BATCH}"
    batch = help_of(options.BatchSize)
    assert f"(default: up to {LARGEST_DEFAULT_BATCH}, {given}; demo: {demo['batch_size']})" in batch
    given = f"at most {given_weights.LARGEST_SIZE_ON_A_CPU} on a CPU"
    assert f"(default: {DEFAULT_SIZE_PX}, or the images' own if smaller; from given weights" in (
        help_of(options.Size)
    )
    assert f"the network's own, {given})" in help_of(options.Size)
    assert f"conv4 for views up to {CONV4_UP_TO_PX} px" in help_of(options.EncoderName)
    each = FewLabelConfig().labels_per_class
    asked = get_type_hints(cli_probe.probe, include_extras=True)["labels_per_class"]
    assert f"(default: {each}); mean of {DRAWS} random choices" in help_of(asked)
    assert (
        DEMO_METHODS == cli_compare.DEMO_METHODS
    )  # typed there too: no torch until a command runs
