"""From a checked configuration and a listing to a decided run: method, data, given weights and what
the user asked.
"""

import re
from typing import Any, get_args

import pytest
import torch
from experiment_setups import decided, listing
from torch import nn

from nearfar.config.encoder import EncoderConfig
from nearfar.config.models import RunConfig
from nearfar.config.training import OptimizerName
from nearfar.core.errors import ConfigError, DataError, UserError
from nearfar.data.center import CenterSquare
from nearfar.experiment import choices, given_weights
from nearfar.experiment.resolve import refuse_unread
from nearfar.experiment.setup import OptimizerSetup
from nearfar.methods import METHODS, method_class
from nearfar.nn.building import build_encoder


class Mine(nn.Sequential):
    """A user's own encoder."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 5, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())


# what run.toml leaves out where the user says nothing: absent, not undecided
ABSENT = {
    "data.group_by",
    "encoder.weights",
    "encoder.outputs",
    "encoder.patch_size",
    "encoder.drop_path",
    "encoder.gradient_checkpointing",
    "encoder.frozen",
    "encoder.mean",
    "encoder.std",
    "train.micro_batch_size",
    "train.steps_per_epoch",
    "train.gradient_clip",
    "evaluate.settings",
    "classifier.kind",
    "classifier.epochs",
    "data.per_class",
    "data.labels_per_class",
    "data.label_fraction",
    "data.label_noise",
    "classifier.batch_size",
    "classifier.policy",
    "classifier.init",
    "classifier.lr",
    "classifier.encoder_lr",
    "classifier.weight_decay",
    "classifier.hidden_dim",
    "classifier.dropout",
}
OF_ANOTHER_CHOICE = {
    f"{section}.{key}" for (section, _, _), keys in choices.OWN_KEYS.items() for key in keys
}


def unset(config: RunConfig) -> set[str]:
    return {
        f"{section}.{key}"
        for section, values in config.model_dump().items()
        if isinstance(values, dict) and section != "method"
        for key, value in values.items()
        if value is None
    }


@pytest.mark.parametrize("name", list(METHODS))
def test_every_method_is_decided_wholly(name):
    setup = decided(name, listing(side=64))
    method = method_class(name)
    assert setup.method is method
    assert unset(setup.config) <= ABSENT | OF_ANOTHER_CHOICE
    assert setup.optimizer.name == setup.config.optimizer.name == method.optimizer.name
    assert setup.optimizer.lr == setup.config.optimizer.lr == setup.pace.lr
    assert setup.batch_size == setup.config.train.batch_size
    assert setup.steps_per_epoch == setup.images // setup.batch_size
    assert setup.views.count == setup.config.views.count == method.default_count
    assert setup.size == setup.config.data.size == 64


def test_the_walk_over_methods_sees_all():
    assert len(METHODS) == 23


def test_deciding_again_decides_the_same():
    first = decided("simclr", train={"epochs": 3})
    sections = first.config.sections()
    again = decided(
        "simclr", **{name: values for name, values in sections.items() if name not in ("method",)}
    )
    assert again.config == first.config
    assert again.optimizer.lr_origin is None and first.optimizer.lr_origin is not None


def test_a_default_size_is_64_or_the_data_s_own():
    assert decided(of=listing(side=300)).size == 64
    assert decided(of=listing(side=20)).size == 20
    assert decided(of=listing(side=300)).encoder_name == "resnet18"
    assert decided(of=listing(side=8)).encoder_name == "conv4"
    assert decided(module=Mine()).encoder_name == "Mine"


def test_a_setup_knows_what_its_encoder_computes_at_once():
    small = decided(of=listing(side=8), train={"batch_size": 16})
    assert small.multiply_adds == 69_120
    assert small.multiply_adds_at_once == 69_120 * 16 * small.views.cost == 69_120 * 32
    chunked = decided(of=listing(side=8), train={"batch_size": 16, "micro_batch_size": 10})
    assert chunked.multiply_adds_at_once == 69_120 * 10
    assert decided(module=Mine()).multiply_adds == 32 * 32 * 3 * 5  # a 1 x 1 convolution


def test_a_module_that_does_not_fit_the_images_is_refused():
    with pytest.raises(UserError, match=r"encoder: Linear: cannot take images of 32 x 32 px"):
        decided(module=nn.Linear(4, 5))


def test_a_size_that_the_network_cannot_take_is_answered_with_the_smallest_that_works():
    for encoder, side, smallest in ((None, 7, 8), ({"name": "vgg11"}, 20, 32)):
        with pytest.raises(ConfigError) as told:
            decided(of=listing(side=64), data={"size": side}, encoder=encoder or {})
        (problem,) = told.value.problems
        assert problem.startswith(
            f"data.size: {'vgg11' if encoder else 'conv4'} cannot take images"
        )
        assert problem.endswith(
            f"of {side} px; the smallest size above that works is {smallest}: --size {smallest}"
        )
        decided(of=listing(side=64), data={"size": smallest}, encoder=encoder or {})


def test_a_stem_that_cannot_be_small_is_no_matter_of_size():
    with pytest.raises(UserError, match=r"encoder\.stem: convnext_atto has no stem"):
        decided(of=listing(side=64), encoder={"name": "convnext_atto", "stem": "small"})


@pytest.mark.parametrize(
    ("images", "batch"),
    [(2, 2), (15, 2), (31, 2), (32, 4), (2047, 128), (2048, 256), (90_000, 256)],
)
def test_a_default_batch_is_a_power_of_two_that_leaves_eight_steps(images, batch):
    assert choices.choose_batch(None, images) == batch


@pytest.mark.parametrize(
    ("images", "batch"),
    [(31, 2), (300, 32), (697, 32), (1023, 32), (1024, 64), (1372, 64), (4096, 256)],
)
def test_new_weights_on_few_photographs_have_sixteen_steps_in_batches_from_32_on(images, batch):
    assert choices.choose_batch(None, images, few_photographs=True) == batch


def test_sixteen_steps_are_for_new_weights_large_views_and_few_images(monkeypatch):
    def batch(side: int = 64, images: int = 1372, **config: Any) -> int:
        data = listing((images // 2, images // 2), side=side)
        return decided("supcon", data, **config).batch_size

    assert batch() == 64
    assert batch(side=40) == 128
    assert batch(train={"batch_size": 128}) == 128
    assert batch(images=10_000) == 256
    monkeypatch.setattr(choices, "FEW_IMAGES", 1000)
    assert batch() == 128


def test_few_labels_hold_only_the_methods_that_need_them_to_small_batches():
    data = listing((5, 5, 5, 5), unlabeled=788)
    assert decided("cross_entropy", data).batch_size == 2
    assert decided("simclr", data).batch_size == 64


def test_a_batch_of_more_images_than_there_are_is_refused():
    with pytest.raises(DataError, match="want at most 180"):
        decided(train={"batch_size": 181})
    assert decided(train={"batch_size": 180}).steps_per_epoch == 1


def test_unlabeled_images_are_for_the_methods_that_take_them():
    data = listing(unlabeled=100)
    assert decided("simclr", data).images == 280
    assert decided("cross_entropy", data).images == 180


@pytest.mark.parametrize("method", ["cross_entropy", "supcon", "joint"])
def test_small_batches_of_few_photographs_may_have_the_rate_of_larger(monkeypatch, method):
    usual = method_class(method).optimizer

    def optimizer(images: int = 1372, side: int = 64, **config: Any) -> OptimizerSetup:
        data = listing((images // 2, images // 2), side=side)
        return decided(method, data, **config).optimizer

    simclr = decided("simclr", listing((686, 686), side=64)).optimizer
    assert simclr.lr == method_class("simclr").optimizer.lr(64)
    found = optimizer()
    assert found.lr == usual.lr(128)  # of batches of 64
    assert found.lr_origin == f"{usual.lr_per_256:g} per 256 images, as of a batch of 128"
    assert optimizer(images=3000).lr == usual.lr(128)
    assert optimizer(images=5000).lr == usual.lr(256)
    assert optimizer(images=200).lr == usual.lr(16)
    assert optimizer(side=40, images=700).lr == usual.lr(64)
    assert optimizer(train={"batch_size": 8}).lr == usual.lr(8)
    assert optimizer(optimizer={"lr": 0.3}).lr == 0.3
    assert optimizer(optimizer={"name": "adamw"}).lr_origin == "usual"
    monkeypatch.setattr(choices, "FEW_IMAGES", 1000)
    assert optimizer(train={"batch_size": 64}).lr == usual.lr(64)


def test_a_rate_says_where_it_comes_from():
    setup = decided("simclr", train={"batch_size": 128})
    usual = method_class("simclr").optimizer
    assert setup.optimizer.lr == usual.lr(128)
    assert setup.optimizer.lr_origin == f"{usual.lr_per_256:g} per 256 images"
    assert decided("simclr", optimizer={"name": "adamw"}).optimizer.lr_origin == "usual"
    assert decided("simclr", optimizer={"lr": 0.3}).optimizer.lr_origin is None
    lars = decided("simclr", optimizer={"name": "lars"}).optimizer
    assert lars.lr_origin == "0.3 per 256 images, usual for lars"
    assert not lars.decay_norms_and_biases
    assert lars.own["trust_ratio"] == "norm_of_sum" and lars.own["trust_coefficient"] == 0.001


GIVEN = [{"pretrained": True}, {"weights": "weights.safetensors"}]


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("name", ["cross_entropy", "supcon", "simclr", "relational"])
def test_given_weights_have_defaults_of_their_own(name, given):
    setup = decided(name, listing((800, 800), side=300), encoder={"name": "resnet18", **given})
    optimizer = setup.optimizer
    assert (optimizer.name, optimizer.lr) == (given_weights.OPTIMIZER, given_weights.RATE)
    assert optimizer.weight_decay == given_weights.WEIGHT_DECAY
    assert optimizer.lr_origin == given_weights.ORIGIN
    assert setup.epochs == given_weights.EPOCHS
    assert setup.config.encoder.frozen_batch_norm is False
    assert setup.pace.warmup_epochs == given_weights.EPOCHS / 10
    assert setup.config.train.gradient_clip == setup.pace.gradient_clip == 5
    assert setup.batch_size == (32 if name == "cross_entropy" else 64)
    assert setup.size == given_weights.LARGEST_SIZE_ON_A_CPU


@pytest.mark.parametrize("given", GIVEN)
def test_given_weights_see_images_at_their_own_size_however_small_those_are(given):
    def size(name, side, **asked):
        return decided("supcon", listing(side=side), encoder={"name": name, **given}, **asked).size

    assert size("resnet18", 32) == size("resnet18", 300) == 128  # on a CPU, of 224
    assert size("tf_efficientnet_lite0", 28) == 128
    assert size("resnet18", 32, smoke=True) == 64
    assert size("resnet18", 32, data={"source": "", "size": 48}) == 48
    # nothing is published of these
    assert [size("convnext_atto_rms", side) for side in (32, 96, 300)] == [32, 96, 128]


def test_weights_of_a_small_stem_keep_small_images_small(tmp_path):
    file, example = tmp_path / "cifar.pth", torch.zeros(1, 3, 32, 32)
    small = build_encoder("resnet18", example=example, stem="small").net.state_dict()
    torch.save({"model": {f"encoder.module.{name}": t for name, t in small.items()}}, file)
    encoder = {"name": "resnet18", "weights": str(file)}
    setup = decided("supcon", encoder=encoder)
    assert setup.size == 32
    assert setup.center == CenterSquare(32, 1.0, "bilinear")
    assert setup.config.encoder.frozen_batch_norm is False
    larger = decided("supcon", encoder=encoder, data={"source": "", "size": 64})
    assert larger.origin.network(larger.config.encoder)[0] == "small"
    asked = decided("supcon", encoder={**encoder, "stem": "own"})
    assert asked.origin.network(asked.config.encoder)[0] == "own"


def test_cross_entropy_smooths_labels_from_given_weights_alone():
    config = decided("cross_entropy", encoder={"name": "resnet18", "pretrained": True}).config
    assert config.method.label_smoothing == 0.1
    assert decided("cross_entropy", encoder={"name": "resnet18"}).config.method.label_smoothing == 0


def test_supcon_s_projector_has_batch_norm_with_new_weights_alone():
    given = {"name": "resnet18", "pretrained": True}
    assert decided("supcon").config.method.projector_batch_norm == "hidden"
    assert decided("supcon", encoder=given).config.method.projector_batch_norm == "none"
    asked = decided("supcon", encoder=given, settings={"projector_batch_norm": "all"})
    assert asked.config.method.projector_batch_norm == "all"


def test_what_the_user_asks_stays_from_given_weights():
    asked = decided(
        "cross_entropy",
        encoder={"name": "resnet18", "pretrained": True, "frozen_batch_norm": False},
        settings={"label_smoothing": 0.0},
        optimizer={"lr": 0.5, "weight_decay": 0.0},
        train={"epochs": 3, "gradient_clip": 1.0, "batch_size": 8},
    )
    assert (asked.optimizer.lr, asked.optimizer.weight_decay) == (0.5, 0.0)
    assert (asked.epochs, asked.pace.gradient_clip, asked.batch_size) == (3, 1.0, 8)
    assert asked.config.method.label_smoothing == 0.0
    assert asked.config.encoder.frozen_batch_norm is False


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize(("px", "small"), [(64, True), (111, True), (112, False), (128, False)])
def test_given_weights_shown_small_keep_batch_norm_at_a_lower_rate(given, px, small):
    encoder = {"name": "resnet18", **given}  # of 224 px
    setup = decided("supcon", encoder=encoder, data={"source": "", "size": px})
    assert setup.config.encoder.frozen_batch_norm is small
    rate, warm_up = (6e-4, 3) if small else (1e-3, 1)
    assert (setup.optimizer.lr, setup.pace.warmup_epochs) == (rate, warm_up)


def test_max_margin_always_learns_its_batch_norm_s_statistics():
    encoder = {"name": "resnet18", "pretrained": True}
    setup = decided("max_margin", encoder=encoder, data={"source": "", "size": 64})
    assert setup.config.encoder.frozen_batch_norm is False
    assert (setup.optimizer.lr, setup.pace.warmup_epochs) == (1e-3, 1)


def test_whether_batch_norm_is_frozen_is_the_user_s_to_say_and_new_weights_learn_it():
    encoder = {"name": "resnet18", "pretrained": True}
    large = {"source": "", "size": 160}
    kept = decided("supcon", data=large, encoder={**encoder, "frozen_batch_norm": True})
    assert kept.config.encoder.frozen_batch_norm is True
    assert (kept.optimizer.lr, kept.pace.warmup_epochs) == (6e-4, 3)
    new = decided(encoder={"name": "resnet18"}, train={"epochs": 10})
    assert new.config.encoder.frozen_batch_norm is False
    own = decided(encoder={"name": "resnet18", "frozen_batch_norm": True}, train={"epochs": 10})
    assert own.config.encoder.frozen_batch_norm is True  # as asked, with the usual warm-up
    assert own.pace.warmup_epochs == new.pace.warmup_epochs == 1


def test_an_optimizer_of_the_user_s_has_a_tenth_of_its_usual_rate_from_given_weights():
    def rate(**encoder):
        return decided(
            "supcon",
            encoder={"name": "resnet18", **encoder},
            optimizer={"name": "sgd"},
            train={"batch_size": 16},
        ).optimizer

    new, old = rate(), rate(pretrained=True)
    assert old.lr == pytest.approx(new.lr * given_weights.RATE_FACTOR)
    assert old.lr_origin == f"{new.lr_origin}, a tenth on given weights"
    assert old.weight_decay == new.weight_decay


@pytest.mark.parametrize("given", [{"pretrained": True}, {"weights": "weights.safetensors"}])
def test_given_weights_are_evaluated_as_they_are_published(given):
    new = decided(encoder={"name": "tf_efficientnet_lite0"})
    assert new.center == CenterSquare(32, 1.0, "bilinear")
    old = decided(encoder={"name": "tf_efficientnet_lite0", **given})
    assert old.center == CenterSquare(128, 0.875, "bicubic")
    assert (new.config.data.eval_crop, old.config.data.eval_crop) == (1.0, 0.875)
    asked = decided(
        encoder={"name": "tf_efficientnet_lite0", **given}, data={"source": "", "eval_crop": 0.5}
    )
    assert asked.center == CenterSquare(128, 0.5, "bicubic")
    unknown = decided(encoder={"name": "convnext_atto_rms", **given})
    assert unknown.center == CenterSquare(32)


def test_the_schedule_is_the_user_s_else_the_method_s():
    assert decided("relational").pace.schedule.decay == "constant"
    steps = decided("supcon", schedule={"decay": "steps", "factor": 0.5}).pace.schedule
    assert (steps.decay, steps.factor, steps.milestones) == ("steps", 0.5, (0.6, 0.75, 0.9))
    assert decided(train={"epochs": 50}).pace.warmup_epochs == 5
    assert decided(train={"epochs": 500}).pace.warmup_epochs == 10
    assert decided(train={"epochs": 50}, schedule={"warmup_epochs": 0}).pace.warmup_epochs == 0


def test_new_weights_on_few_images_are_shown_weak_views(monkeypatch):
    few = listing(side=64)
    assert decided("supcon", few).views.name == "basic"
    assert decided("supcon", few, views={"policy": "supcon"}).views.name == "supcon"
    assert decided("supcon", listing(side=32)).views.name == "supcon"
    given = {"name": "resnet18", "pretrained": True}
    assert decided("supcon", few, encoder=given).views.name == "supcon"
    monkeypatch.setattr(choices, "FEW_IMAGES", 1)
    assert decided("supcon", few).views.name == "supcon"


def test_views_are_the_user_s_else_the_source_s_else_the_method_s():
    many = listing((5000, 5000), side=64)
    assert decided("simclr", many).views.name == "simclr"
    assert decided("simclr", listing(side=64)).views.name == "simclr_cifar"
    assert decided("simclr", listing((5000, 5000), side=32)).views.name == "simclr_cifar"
    assert decided("simclr", listing(policy="digits")).views.name == "digits"
    own = decided("simclr", listing(policy="digits"), views={"policy": "basic", "count": 3})
    assert (own.views.name, own.views.count, own.views.shown) == ("basic", 3, "3")
    custom = {"operations": [{"op": "crop"}, {"op": "flip"}]}
    assert decided("simclr", views={"policy": custom}).views.name == "custom"


def test_the_policy_carries_its_strength():
    weak, strong = (
        decided("simclr", listing(side=64), views={"strength": s}).views.policy for s in (1.0, 0.5)
    )
    assert weak != strong and weak.stronger(0.5) == strong


def test_smaller_views_cost_by_their_pixels():
    setup = decided("swav", listing(side=224), data={"size": 224})
    assert setup.views.shown == "2 + 6 of 96 px"
    assert setup.views.cost == pytest.approx(2 + 6 * (96 / 224) ** 2)
    assert setup.views_a_step == round(setup.batch_size * setup.views.cost)


@pytest.mark.parametrize(
    ("selections", "epochs", "every"), [(10, 100, 10), (10, 5, 1), (3, 100, 33), (0, 100, None)]
)
def test_an_epoch_is_selected_so_many_times_a_run(selections, epochs, every):
    asked = {"evaluate": {"selections": selections}, "train": {"epochs": epochs}}
    assert decided(**asked).selection_interval == every


def test_an_online_probe_is_for_methods_with_labels_unless_asked():
    assert decided("supcon").online_probe and not decided("simclr").online_probe
    assert decided("simclr", evaluate={"online_probe": True}).online_probe
    assert not decided("supcon", evaluate={"online_probe": False}).online_probe


def test_no_classifier_is_wanted_unless_asked():
    setup = decided()
    assert setup.classifier is None and "classifier" not in setup.config.sections()


def test_a_classifier_on_a_frozen_encoder_learns_from_features():
    stage = decided(classifier={"kind": "mlp"}).classifier
    assert (stage.kind, stage.hidden_dim, stage.dropout) == ("mlp", 1000, 0.5)
    optimizer, pace = stage.optimizer, stage.pace
    assert (stage.epochs, stage.standardize, stage.init) == (30, True, "random")
    assert (optimizer.name, optimizer.lr, optimizer.weight_decay) == ("adamw", 0.01, 0.01)
    assert (optimizer.momentum, optimizer.decay_norms_and_biases, optimizer.own) == (0.9, True, {})
    assert (pace.lr, pace.warmup_epochs, pace.lr_key) == (0.01, 0.0, "classifier.lr")
    assert (pace.schedule.decay, pace.schedule.floor, pace.gradient_clip) == ("cosine", 0.0, None)
    assert stage.policy is None and not stage.finetuned
    assert stage.images == 180 and stage.steps_per_epoch == 180 // stage.batch_size


def test_a_classifier_that_fine_tunes_learns_from_views_at_a_rate_of_its_own():
    asked = {"classifier": {"kind": "linear", "encoder": "finetuned"}, "train": {"epochs": 4}}
    stage = decided(**asked).classifier
    assert stage.finetuned and stage.encoder_lr == pytest.approx(1e-3)
    assert (stage.epochs, stage.policy_name) == (4, "basic")
    assert decided(of=listing(policy="digits"), **asked).classifier.policy_name == "digits"
    given = decided(encoder={"name": "resnet18", "pretrained": True}, **asked).classifier
    assert given.encoder_lr == pytest.approx(1e-4)


@pytest.mark.parametrize("name", list(choices.CLASSIFIER_RATES))
def test_a_classifier_has_the_rate_and_decay_of_its_optimizer_and_run_toml_says_them(name):
    asked = {"kind": "linear", "optimizer": name, "decay": "steps", "encoder": "finetuned"}
    setup = decided(classifier=asked)
    stage, written = setup.classifier, setup.config.classifier
    rate = choices.CLASSIFIER_RATES[name]
    assert stage.pace.lr == stage.optimizer.lr == written.lr == rate
    assert stage.encoder_lr == written.encoder_lr == pytest.approx(0.1 * rate)
    decay = 0.01 if name == "adamw" else 0.0
    assert stage.optimizer.weight_decay == written.weight_decay == decay
    assert stage.optimizer.own == choices.OWN_KEYS.get(("optimizer", "name", name), {})
    assert stage.optimizer.decay_norms_and_biases is (name != "lars")
    assert (stage.pace.schedule.milestones, stage.pace.schedule.factor) == ((0.6, 0.75, 0.9), 0.2)
    again = decided(classifier=setup.config.sections()["classifier"])
    assert again.classifier == stage


def test_every_optimizer_has_a_rate_for_a_classifier():
    assert set(choices.CLASSIFIER_RATES) == set(get_args(OptimizerName))


def test_what_is_asked_of_a_classifier_is_decided():
    asked = {
        "kind": "mlp",
        "optimizer": "adam",
        "lr": 3e-4,
        "decay": "constant",
        "weight_decay": 0.1,
        "momentum": 0.8,
        "standardize": False,
        "policy": "cassava",
        "epochs": 10,
    }
    stage = decided(classifier=asked, train={"steps_per_epoch": 100}).classifier
    optimizer = stage.optimizer
    assert (optimizer.name, optimizer.lr, optimizer.momentum) == ("adam", 3e-4, 0.8)
    assert (optimizer.weight_decay, stage.pace.schedule.decay) == (0.1, "constant")
    assert (stage.standardize, stage.policy_name, stage.steps_per_epoch) == (False, "cassava", 100)
    assert decided(classifier={"kind": "linear", "init": "probe"}).classifier.init == "probe"


def test_a_classifier_starts_from_no_probe_where_none_can_be_chosen():
    probe = {"kind": "linear", "init": "probe"}
    with pytest.raises(DataError, match=r"classifier.init: wants labeled validation images"):
        decided(of=listing(held_out=0), classifier=probe)
    assert decided(of=listing(held_out=0), classifier={"kind": "linear"}).classifier is not None


def test_methods_without_labels_are_not_asked_for_two_images_of_each_class():
    assert decided("simclr", listing((10, 1), held_out=0)).facts.class_counts == (10, 1)


def test_what_does_not_fit_is_refused_before_anything_is_read():
    with pytest.raises(DataError, match="jigsaw needs images of"):
        decided("jigsaw", listing(side=8))
    with pytest.raises(DataError, match="needs labels"):
        decided("supcon", listing((), unlabeled=50))
    with pytest.raises(DataError, match="learns without labels"):
        decided("simclr", data={"sampling": "balanced"})
    with pytest.raises(DataError, match=r"classifier.kind: wants labeled"):
        decided("simclr", listing((), unlabeled=50), classifier={"kind": "linear"})
    with pytest.raises(DataError, match=r"online_probe: wants labels"):
        decided("simclr", listing((), unlabeled=50), evaluate={"online_probe": True})
    with pytest.raises(DataError, match="at least 2 training images of each class"):
        decided("supcon", listing((10, 1), held_out=0))
    with pytest.raises(ConfigError, match="queue_size"):
        decided("moco", settings={"queue_size": 2}, train={"batch_size": 64})


def test_batches_that_hardly_ever_hold_a_pair_are_refused_with_the_way_out():
    tiny, one_view = {"train": {"batch_size": 4}}, {"views": {"count": 1}}
    lopsided = listing((2000, 8))
    with pytest.raises(
        DataError,
        match=r"^triplet learns from batches that hold images of two classes, which 1.6% of the"
        r" batches of 4 would; try --set data.sampling=balanced, or train.batch_size=32$",
    ):
        decided("triplet", lopsided, **tiny)
    with pytest.raises(DataError, match="n_pairs learns from"):
        decided("n_pairs", lopsided, settings={"form": "pairs"}, **tiny)
    decided("triplet", lopsided, data={"sampling": "balanced"}, **tiny)
    decided("triplet", listing((250, 20)), **tiny)  # a quarter of the batches hold one
    for method in ("n_pairs", "supcon", "margin", "cross_entropy"):
        decided(method, lopsided, **tiny)
    many = listing((3,) * 60)
    with pytest.raises(
        DataError, match=r"two images of a class, which .*batch_size=.*views.count=2"
    ):
        decided("supcon", many, train={"batch_size": 2}, **one_view)
    decided("supcon", many, train={"batch_size": 2})


def test_the_seed_is_all_that_another_seed_changes():
    setup = decided()
    other = setup.with_seed(7)
    assert other.seed == 7 and setup.seed == 0
    assert other.with_seed(0) == setup


def test_counts_and_steps_follow_what_could_be_read():
    setup = decided("simclr", listing(unlabeled=20), classifier={"kind": "linear"})
    fewer = listing((30, 30, 30), unlabeled=10).facts(setup.size)
    seen = setup.with_facts(fewer)
    assert (seen.images, seen.classifier.images) == (100, 90)
    assert seen.steps_per_epoch == 100 // setup.batch_size
    assert (seen.batch_size, seen.config) == (setup.batch_size, setup.config)


def test_a_run_that_no_longer_fits_what_could_be_read_is_refused():
    setup = decided(train={"batch_size": 100})
    with pytest.raises(DataError, match="want at most 90"):
        refuse_unread(setup, listing((30, 30, 30)).facts(setup.size))
    with pytest.raises(DataError, match="needs at least 2 classes"):
        refuse_unread(setup, listing((30,)).facts(setup.size))
    refuse_unread(setup, listing((40, 40, 40)).facts(setup.size))


def test_a_default_batch_is_of_whole_groups_and_one_of_the_users_own_has_to_be():
    groups = {"sampling": "m_per_class", "per_class": 3}
    assert decided("supcon", listing((300,) * 5), data=groups).batch_size == 15
    assert decided("supcon", listing((300,) * 50), data=groups).batch_size == 150
    assert decided("supcon", listing((300,) * 500), data=groups).batch_size == 255
    for asked, wanted in ((8, "want a multiple of 3 (data.per_class), got 8"), (18, "at most 15")):
        with pytest.raises(ConfigError, match=re.escape(wanted)):
            decided("supcon", listing((300,) * 5), data=groups, train={"batch_size": asked})


def test_labels_that_are_withheld_leave_the_counts():
    few = decided("simclr", listing((60, 40)), data={"labels_per_class": 5})
    assert (few.facts.n_train, few.facts.n_withheld, few.images) == (10, 90, 100)
    assert decided("cross_entropy", listing((60, 40)), data={"label_fraction": 0.1}).images == 10
    with pytest.raises(DataError, match=r"data.label_noise: wants labels of at least 2 classes"):
        decided("simclr", listing((60,)), data={"label_noise": 0.2})
    with pytest.raises(DataError, match="wants a class for each image"):
        decided("supcon", data={"labels_per_class": 5, "sampling": "balanced"})


def test_what_only_timms_networks_take_is_refused_for_the_default_conv4():
    with pytest.raises(ConfigError, match=r"encoder\.outputs: is for timm's .* conv4 is none"):
        decided(of=listing(side=8), encoder={"outputs": 12})


def test_a_tag_names_weights_and_no_other_network(tmp_path):
    (tmp_path / "config.json").write_text('{"architecture": "resnet10t"}', encoding="utf-8")
    tagged = EncoderConfig(weights=str(tmp_path), name="resnet10t.c3_in1k")
    assert given_weights.origin_of(tagged).name == "resnet10t.c3_in1k"
    with pytest.raises(ConfigError, match="want resnet10t, of which"):
        given_weights.origin_of(EncoderConfig(weights=str(tmp_path), name="resnet18"))


@pytest.mark.parametrize("pretrained", [True, False])
def test_a_tag_that_timm_has_not_is_answered_with_those_that_it_has(pretrained):
    with pytest.raises(ConfigError) as raised:
        decided("supcon", encoder={"name": "resnet18.a1_in1kk", "pretrained": pretrained})
    (problem,) = raised.value.problems
    assert problem.startswith("encoder.name: timm has no weights called resnet18.a1_in1kk; want")
    assert "resnet18.a1_in1k, " in problem
