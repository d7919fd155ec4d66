"""The plan is text: six lines of a decided run and of numbers that were measured elsewhere."""

from dataclasses import replace

import pytest
from experiment_setups import decided, listing

from nearfar.experiment.plan import Network, duration, estimate_line, plan_lines

NETWORK = Network(
    width=64,
    origin="new weights",
    parameters=24_648,
    stem="own stem",
    frozen=0,
    normalizes_by_batch=True,
    keeps_statistics=False,
)


def lines(setup, network=NETWORK):
    estimate = estimate_line(90, 2**30, 1)
    return plan_lines(setup, network, estimate, store_side=64, where="run folder here")


def test_the_plan_says_data_encoder_views_optimizer_estimate_and_place():
    data, encoder, views, optimizer, cost, where = lines(
        decided("supcon", listing(unlabeled=7), train={"batch_size": 64, "precision": "float32"})
    )
    assert data == (
        "data       made: 180 train, 30 val, 30 test, 7 unlabeled; 3 classes; stored at 64 px,"
        " shown at 32 px"
    )
    assert encoder == (
        "encoder    resnet18 (own stem, new weights), width 64, 0.0246 M parameters, float32"
    )
    assert views == ("views      supcon x 2; batch 64, 2 steps an epoch, 100 epochs, seed 0")
    assert optimizer == (
        "optimizer  sgd, lr 0.045 (0.18 per 256 images), weight decay 0.0001; cosine after 10"
        " warm-up epochs"
    )
    assert cost == ("estimate   about 90 s, evaluation and report included; 1.0 GB of memory")
    assert estimate_line(600, 2**31, 9).startswith("about 10 min for 9 runs, evaluation")
    tuned = estimate_line(600, 2**31, 1, trials=True)
    assert tuned.startswith("about 10 min for 1 run and the trials, evaluation")
    assert where == "run folder here"


def test_what_the_user_chose_needs_no_origin():
    optimizer = lines(decided(optimizer={"lr": 0.5, "decay_norms_and_biases": False}))[3]
    assert "lr 0.5, weight decay 0.0001, none on norms and biases;" in optimizer


def test_clipping_and_smoothing_are_said_which_given_weights_bring_along():
    weights = {"name": "resnet18", "weights": "w.pt"}
    assert "clip" not in lines(decided("cross_entropy"))[3]
    assert lines(decided("cross_entropy", encoder=weights))[3].endswith(
        "warm-up epochs; gradients clipped at 5; label smoothing 0.1"
    )
    assert lines(decided("supcon", encoder=weights))[3].endswith("; gradients clipped at 5")


def test_given_weights_chunks_and_a_small_stem_are_said():
    network = Network(512, "w.pt", 11_200_000, "small-image stem", 157_000, True, False)
    asked = {"encoder": {"name": "resnet18", "weights": "w.pt"}, "train": {"micro_batch_size": 32}}
    encoder = lines(decided(**asked), network)[1]
    assert "(small-image stem, w.pt)" in encoder
    assert "11.2 M parameters (0.157 M frozen), " in encoder
    assert encoder.endswith("; chunks of 32 rows; each chunk is a BatchNorm group")
    kept = replace(network, normalizes_by_batch=False, keeps_statistics=True)
    encoder = lines(decided(**asked), kept)[1]
    assert "M parameters (0.157 M frozen), BatchNorm frozen, " in encoder
    assert encoder.endswith("; chunks of 32 rows")
    assert "(balanced), " in lines(decided(data={"sampling": "balanced"}))[2]
    groups = {"sampling": "m_per_class", "per_class": 4}
    assert "batch 12 (4 per class), 15 steps" in lines(decided(data=groups))[2]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            {"kind": "linear"},
            "(linear, encoder frozen): 30 epochs of features, lr 0.01, adamw, cosine, from the"
            " linear probe",
        ),
        (
            {"kind": "mlp", "encoder": "finetuned", "epochs": 3},
            "(mlp, encoder fine-tuned at lr 0.001): 3 epochs of basic views, lr 0.01, adamw,"
            " cosine",
        ),
        (
            {
                "kind": "linear",
                "optimizer": "sgd",
                "decay": "steps",
                "standardize": False,
                "init": "random",
            },
            "(linear, encoder frozen): 30 epochs of features, lr 0.1, sgd, steps, not standardized",
        ),
        (
            {"kind": "linear", "init": "probe", "optimizer": "adam", "decay": "constant"},
            "(linear, encoder frozen): 30 epochs of features, lr 0.01, adam, constant, from the"
            " linear probe",
        ),
    ],
)
def test_the_classifier_stage_is_said_where_there_is_one(asked, said):
    assert lines(decided(classifier=asked))[3].endswith(f"; then a classifier {said}")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "1 s"), (99, "99 s"), (120, "2 min"), (7200, "2.0 h")]
)
def test_durations_are_said_in_the_unit_that_suits_them(seconds, text):
    assert duration(seconds) == text
