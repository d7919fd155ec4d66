"""Every recipe, decided for data of the size it is for, has the published values: the rate after
scaling, steps, schedule, loss scale. The numbers here are typed from the papers, their code and the
articles, not from the recipes.
"""

from functools import cache
from typing import Any

import pytest
from experiment_setups import CPU, listing

from nearfar.config.loading import merge
from nearfar.config.recipes import find_recipe, recipe_names
from nearfar.data.listing import Listing
from nearfar.experiment.configuration import check_config
from nearfar.experiment.resolve import resolve
from nearfar.experiment.setup import Setup
from nearfar.methods import METHODS, method_class


@cache
def data(name: str) -> Listing:
    """Training images as nearfar leaves them beside validation: a fifth, at most 5,000."""
    return {
        "cifar": lambda: listing((4500,) * 10, held_out=500, side=32),
        "stl10": lambda: listing((400,) * 10, held_out=100, unlabeled=100_000, side=96),
        "imagenet": lambda: listing((128,) * 1000, held_out=1, side=400),  # a tenth of it
        "cassava": lambda: listing((700, 1400, 1500, 8300, 1700), held_out=400, side=600),
    }[name]()


SETS = {"imagenet": "imagenet", "224": "imagenet", "cassava": "cassava", "stl10": "stl10"}


@cache
def decided(name: str) -> Setup:
    sections = merge(find_recipe(name).sections, [("data", "source", "made/")])
    of = next((data for part, data in SETS.items() if part in name), "cifar")
    if name.endswith("vit-b16-cifar10"):
        of = "cifar"
    return resolve(check_config(sections), data(of), CPU, recipe=name)


def values(setup: Setup) -> dict[str, Any]:
    """What a table says of a run."""
    optimizer, schedule = setup.optimizer, setup.pace.schedule
    return {
        "encoder": setup.encoder_name,
        "px": setup.size,
        "views": (setup.views.name, setup.views.shown),
        "optimizer": optimizer.name,
        "lr": pytest.approx(optimizer.lr),
        "wd": optimizer.weight_decay,
        "nesterov": optimizer.own.get("nesterov"),
        "batch": setup.batch_size,
        "epochs": setup.epochs,
        "steps": setup.epochs * setup.steps_per_epoch,
        "warmup": setup.pace.warmup_epochs,
        "decay": schedule.decay,
        "floor": schedule.floor,
        **setup.config.method.model_dump(),
    }


SUPCONTRAST = {
    "encoder": "resnet50", "px": 32, "optimizer": "sgd", "nesterov": False, "wd": 1e-4,
    "batch": 1024, "warmup": 10, "decay": "cosine", "floor": pytest.approx(0.1**3),
}  # fmt: skip
SUPCON_CIFAR = SUPCONTRAST | {
    "lr": 0.5, "epochs": 1000, "steps": 43_000, "temperature": 0.1,
    "loss_scale": pytest.approx(0.1 / 0.07), "normalize_representation": False,
    "projector": "mlp", "hidden_dim": None, "projection_dim": 128, "views": ("supcon", "2"),
}  # fmt: skip
CE_CIFAR = SUPCONTRAST | {"lr": 0.8, "epochs": 500, "steps": 21_500, "views": ("basic", "1")}
GOOGLE = {"px": 224, "optimizer": "lars", "decay": "cosine", "warmup": 12, "projector": "linear",
          "temperature": 0.1, "loss_scale": 0.1, "normalize_representation": True}  # fmt: skip
IMAGENET = {"px": 224, "encoder": "resnet50", "decay": "cosine", "warmup": 10}
STACKED = ("stacked_rand_augment", "2")
ADAM = {"optimizer": "adam", "lr": 1e-3, "wd": 0.0, "decay": "constant", "warmup": 0}
CASSAVA = ADAM | {"lr": 3e-4, "px": 512, "encoder": "tf_efficientnet_b3.ns_jft_in1k"}
RELATIONAL = ADAM | {"batch": 64, "aggregation": "cat"}
SOLO = {"encoder": "resnet18", "px": 32, "batch": 256, "epochs": 1000, "decay": "cosine",
        "steps": 175_000, "warmup": 10}  # fmt: skip
QUICK = {"encoder": "conv4", "px": 32, "epochs": 10, "batch": 256}
VIT = {"encoder": "vit_base_patch16_224", "px": 224, "optimizer": "adamw"}


def solo(lr: float, wd: float, optimizer: str = "lars", **more: Any) -> dict[str, Any]:
    return SOLO | {"lr": lr, "wd": wd, "optimizer": optimizer, **more}


PUBLISHED: dict[str, dict[str, Any]] = {
    "supcon-cifar10": SUPCON_CIFAR,
    "supcon-cifar100": SUPCON_CIFAR,
    "ce-cifar10": CE_CIFAR,
    "ce-cifar100": CE_CIFAR,
    "simclr-cifar10": SUPCON_CIFAR | {
        "temperature": 0.5, "loss_scale": pytest.approx(0.5 / 0.07), "projector_batch_norm": "none",
    },
    "simclr-cifar10-r18": {
        "encoder": "resnet18", "batch": 512, "epochs": 1000, "lr": 0.03 * 512 / 256, "wd": 5e-4,
        "nesterov": False, "warmup": 0, "decay": "cosine", "hidden_dim": 1024, "loss_scale": 1.0,
        "temperature": 0.5, "projector_batch_norm": "none", "steps": 87_000,
    },
    "supcon-imagenet-r50": GOOGLE | {
        "encoder": "resnet50", "batch": 6144, "lr": 0.4 * 6144 / 256, "wd": 1e-3, "epochs": 350,
        "views": ("auto_augment", "2"),
    },
    "supcon-imagenet-r101": GOOGLE | {
        "encoder": "resnet101", "batch": 4096, "lr": 0.4 * 4096 / 256, "wd": 1e-4, "epochs": 350,
        "views": STACKED,
    },
    "supcon-imagenet-r200": GOOGLE | {
        "encoder": "resnet200", "batch": 4096, "lr": 0.2 * 4096 / 256, "wd": 1e-4, "epochs": 700,
        "views": STACKED,
    },
    "supcon-imagenet-r50-moco": IMAGENET | {
        "batch": 256, "queue_size": 8192, "projection_dim": 128, "optimizer": "sgd",
    },
    "ce-imagenet-r50": {
        "encoder": "resnet50", "batch": 6144, "lr": 0.1 * 6144 / 256, "wd": 1e-4, "epochs": 200,
        "nesterov": True, "label_smoothing": 0.05, "views": ("auto_augment", "1"),
    },
    "ce-imagenet-r101": {"encoder": "resnet101", "lr": 0.1 * 4096 / 256, "wd": 1e-4},
    "ce-imagenet-r200": {"encoder": "resnet200", "views": ("stacked_rand_augment", "1")},
    **{
        f"{kind}-vit-b16-{of}": VIT for kind in ("supcon", "ce") for of in ("imagenet", "cifar10")
    },
    "supcon-resnet50-224": {
        "encoder": "resnet50", "px": 224, "temperature": 0.07, "projector": "linear",
        "projection_dim": 128, "views": ("supcon", "2"),
    },
    "ce-resnet50-224": {"encoder": "resnet50", "px": 224},
    "simclr-cifar10-article": ADAM | {
        "encoder": "resnet50.tv_in1k", "px": 32, "batch": 32, "epochs": 10, "steps": 14_060,
        "temperature": 0.5, "hidden_dim": 256, "projection_dim": 128, "projector_batch_norm": "none",
        "views": ("custom", "2"),
    },
    "supcon-cassava": CASSAVA | {
        "temperature": 0.1, "projection_dim": 128, "epochs": 10, "views": ("cassava", "2"),
    },
    "supcon-cassava-code": CASSAVA | {
        "form": "soft_labels", "temperature": 0.1, "projector": "relu", "projection_dim": 128,
        "epochs": 10, "steps": 1000, "views": ("cassava", "1"),
    },
    "ce-cassava": CASSAVA | {"epochs": 20, "label_smoothing": 0.0, "views": ("cassava", "1")},
    "relational-cifar10-conv4": RELATIONAL | {
        "encoder": "conv4", "px": 32, "loss": "focal", "epochs": 200, "steps": 200 * 703,
        "views": ("relational", "32"),
    },
    "relational-stl10-conv4": RELATIONAL | {
        "encoder": "conv4", "px": 96, "loss": "bce", "epochs": 10, "views": ("relational", "16"),
    },
    "relational-stl10-resnet34": RELATIONAL | {
        "encoder": "resnet34", "px": 96, "loss": "bce", "epochs": 10, "views": ("relational", "16"),
    },
    "relational-stl10-conv4-paper": RELATIONAL | {
        "encoder": "conv4", "loss": "focal", "epochs": 300, "views": ("relational", "32"),
    },
    "relational-stl10-resnet34-paper": RELATIONAL | {
        "encoder": "resnet34", "loss": "focal", "epochs": 300, "views": ("relational", "25"),
    },
    "simclr-imagenet": IMAGENET | {
        "batch": 4096, "optimizer": "lars", "lr": 0.3 * 4096 / 256, "wd": 1e-6, "epochs": 1000,
        "temperature": 0.1, "loss_scale": 2.0, "projection_dim": 128,
    },
    "moco-v1-imagenet": {
        "encoder": "resnet50", "batch": 256, "lr": 0.03, "wd": 1e-4, "nesterov": False,
        "epochs": 200, "decay": "steps", "warmup": 0, "queue_size": 65536, "momentum": 0.999,
        "temperature": 0.07, "projector": "linear", "projection_dim": 128, "views": ("moco_v1", "2"),
    },
    "moco-v2-imagenet": {
        "encoder": "resnet50", "batch": 256, "lr": 0.03, "wd": 1e-4, "nesterov": False,
        "epochs": 200, "decay": "cosine", "warmup": 0, "queue_size": 65536, "momentum": 0.999,
        "temperature": 0.2, "projector": "mlp", "views": ("moco_v2", "2"),
    },
    "byol-imagenet": IMAGENET | {
        "batch": 4096, "optimizer": "lars", "lr": 0.2 * 4096 / 256, "wd": 1.5e-6, "epochs": 1000,
        "momentum": 0.996, "hidden_dim": 4096, "projection_dim": 256,
    },
    "swav-imagenet": IMAGENET | {
        "batch": 4096, "optimizer": "lars", "lr": 4.8, "wd": 1e-6, "epochs": 800, "floor": 0.001,
        "temperature": 0.1, "epsilon": 0.05, "rounds": 3, "prototypes": 3000,
        "frozen_until": pytest.approx(313 / (800 * 312.8), abs=1e-5), "projection_dim": 128,
        "views": ("swav", "2 + 6 of 96 px"),
    },
    "solo-simclr-cifar": solo(0.4, 1e-4, temperature=0.2, hidden_dim=2048, projection_dim=256),
    "solo-supcon-cifar": solo(0.4, 1e-5, "sgd", temperature=0.2, form="in", nesterov=False),
    "solo-moco-cifar": solo(0.3, 1e-4, "sgd", queue_size=32768, temperature=0.2, momentum=0.99),
    "solo-byol-cifar": solo(1.0, 1e-5, hidden_dim=4096, projection_dim=256, momentum=0.99),
    "solo-swav-cifar": solo(0.6, 1e-6, prototypes=3000, queue_size=3840, queue_from=50 / 1000,
                            frozen_until=2 / 1000),
    "solo-simsiam-cifar": solo(0.5, 1e-5, "sgd", projection_dim=2048, predictor_dim=512),
    "solo-barlow_twins-cifar": solo(0.3, 1e-4, projection_dim=2048, loss_scale=0.1),
    "solo-vicreg-cifar": solo(0.3, 1e-4, invariance_weight=25.0, covariance_weight=1.0),
    "solo-nnclr-cifar": solo(0.4, 1e-5, queue_size=65536, temperature=0.2),
    "solo-dino-cifar": solo(0.3, 1e-6, prototypes=4096, momentum=0.9995, target_temperature=0.07),
    **{f"quick-cpu-{method}": QUICK for method in METHODS},
    "quick-cpu-relational": QUICK | {"batch": 64},
    "quick-cpu-swav": QUICK | {"epochs": 20},
}  # fmt: skip


def test_every_recipe_is_in_the_table():
    assert sorted(PUBLISHED) == recipe_names()


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_a_recipe_is_decided_as_published(name):
    found = values(decided(name))
    assert {key: found[key] for key in PUBLISHED[name]} == PUBLISHED[name]


@pytest.mark.parametrize("name", [name for name in sorted(PUBLISHED) if "solo-" in name])
def test_solo_learn_s_lars_is_larc(name):
    optimizer = decided(name).optimizer
    if optimizer.name == "lars":
        own = {"trust_coefficient": 0.02, "trust_ratio": "sum_of_norms", "trust_clip": True}
        assert (optimizer.own, optimizer.decay_norms_and_biases) == (own, False)


def test_moco_steps_down_by_ten_at_epochs_120_and_160():
    schedule = decided("moco-v1-imagenet").pace.schedule
    assert (schedule.milestones, schedule.factor) == ((120 / 200, 160 / 200), 0.1)


@pytest.mark.parametrize(("name", "method"), [(f"quick-cpu-{name}", name) for name in METHODS])
def test_quick_recipes_have_their_method_s_own_rate(name, method):
    setup = decided(name)
    assert setup.optimizer.lr == method_class(method).optimizer.lr(setup.batch_size)
    assert setup.optimizer.lr_origin is not None


LINEAR = {
    "supcon-cifar10": (100, 512, "sgd", 5.0, "steps", "basic"),
    "supcon-cifar100": (100, 512, "sgd", 5.0, "steps", "basic"),
    "simclr-cifar10": (100, 512, "sgd", 1.0, "steps", "basic"),
    "supcon-imagenet-r50": (90, 6144, "rmsprop", 0.05 * 24, "cosine", "auto_augment"),
    "supcon-imagenet-r101": (90, 4096, "rmsprop", 0.05 * 16, "cosine", "auto_augment"),
    "supcon-imagenet-r200": (90, 4096, "rmsprop", 0.05 * 16, "cosine", "auto_augment"),
    "moco-v1-imagenet": (100, 256, "sgd", 30.0, "steps", "basic"),
    "moco-v2-imagenet": (100, 256, "sgd", 30.0, "steps", "basic"),
    "relational-cifar10-conv4": (100, 128, "adam", 1e-3, "constant", "evaluation"),
    "relational-stl10-resnet34": (20, 128, "adam", 1e-3, "constant", "evaluation"),
    "relational-stl10-conv4": (20, 128, "adam", 1e-3, "constant", "evaluation"),
    "supcon-cassava": (10, 32, "adam", 3e-4, "constant", "cassava"),
    "supcon-cassava-code": (10, 32, "adam", 3e-4, "constant", "cassava"),
}


@pytest.mark.parametrize("name", sorted(LINEAR))
def test_a_classifier_stage_is_as_published(name):
    stage = decided(name).classifier
    assert stage is not None
    found = (stage.epochs, stage.batch_size, stage.optimizer.name, pytest.approx(stage.pace.lr))
    assert (*found, stage.pace.schedule.decay, stage.policy_name) == LINEAR[name]
    assert (stage.encoder_lr, stage.init, stage.standardize) == (None, "random", False)
    assert stage.optimizer.weight_decay == (1e-6 if "imagenet-r" in name else 0.0)
    if stage.optimizer.name == "sgd" and name.partition("-")[0] in ("supcon", "moco"):
        assert stage.optimizer.own == {"nesterov": False}


def test_the_cassava_classifier_has_a_thousand_hidden_units_behind_dropout():
    for name in ("supcon-cassava", "supcon-cassava-code"):
        setup = decided(name)
        stage = setup.classifier
        assert stage is not None
        assert (stage.kind, stage.hidden_dim, stage.dropout) == ("mlp", 1000, 0.5)
        assert setup.config.data.sampling == "balanced"
        assert setup.config.encoder.pretrained
    assert decided("supcon-cassava-code").classifier.steps_per_epoch == 100
