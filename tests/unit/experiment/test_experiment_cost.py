"""What a run costs is what its parts cost, each as often as it happens."""

import pytest
from experiment_setups import decided, listing

from nearfar.experiment.cost import (
    Parts,
    evaluated_images,
    modelled,
    seconds_of,
    selection_images,
    selections,
    trial_seconds,
)
from nearfar.training.estimate import RowCost

ROW = RowCost(
    seconds=2.0, evaluated_seconds=0.5, saved_bytes=10, weight_bytes=4_000, widest_bytes=5
)
PARTS = Parts(step=1.0, epoch=10.0, image=0.01, probes=100.0, classifier=1000.0, map=7.0)


def run(epochs=4, selections=2, **asked):
    train = {"batch_size": 30, "epochs": epochs}
    return decided("simclr", train=train, evaluate={"selections": selections}, **asked)


def test_a_run_costs_its_steps_epochs_evaluations_classifier_and_map():
    # 6 steps and 4 ends; 240 images by the last encoder, 180 + 30 by each of two selections
    training, last = 24 * 1.0 + 4 * 10.0, 240 * 0.01 + 100
    rest = 2 * 210 * 0.01 + 1000.0 + 7.0
    without = seconds_of(run(), PARTS, floor=False)
    assert without == pytest.approx(training + rest + 1.75 * last)
    assert seconds_of(run(), PARTS, floor=True) == pytest.approx(without + last)


def test_what_a_run_has_done_costs_no_more():
    left = seconds_of(run(), PARTS, floor=True, steps=13)
    # two epochs and a step of the third; one selection; the start is measured
    expected = 11 * 1.0 + 2 * 10.0 + 210 * 0.01 + 1.75 * (240 * 0.01 + 100) + 1007.0
    assert left == pytest.approx(expected)
    late = seconds_of(run(epochs=5), PARTS, floor=True, steps=30)
    assert late == pytest.approx(1.75 * (240 * 0.01 + 100) + 1007.0)


def test_a_trial_costs_its_steps_and_one_probe():
    expected = 0.15 + 2 * 6 * 1.0 + 210 * 0.01 + 0.2 * 100
    assert trial_seconds(run(), PARTS, 2) == pytest.approx(expected)


def test_an_epoch_is_judged_as_often_as_a_run_judges_it():
    assert selections(run(epochs=25, selections=10)) == 13  # every second, and the last
    assert selections(run(epochs=25, selections=10), until=24) == 12
    assert selections(run(selections=0)) == 0
    assert selection_images(run()) == 210
    assert evaluated_images(run()) == 240


def test_without_labels_nothing_is_evaluated():
    setup = decided("simclr", listing((), unlabeled=100), train={"batch_size": 50, "epochs": 2})
    assert seconds_of(setup, PARTS, floor=True) == pytest.approx(4 * 1.0 + 2 * 10 + 1000.0 + 7.0)


def test_the_model_counts_views_and_holds_a_chunk():
    cost = modelled(run(), ROW, width=64, held_bytes=500)
    assert cost.parts.step == pytest.approx(60 * 2.0, rel=0.3)  # two views of 30 images
    assert cost.parts.image == 0.5
    assert cost.memory_bytes == pytest.approx(60 * 10 * 1.2 + 4_000 + 500)
    chunks = decided("simclr", train={"batch_size": 30, "micro_batch_size": 8})
    held = modelled(chunks, ROW, width=64, held_bytes=0).memory_bytes
    assert held == pytest.approx(8 * 10 * 1.2 + 4_000)


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        ({"kind": "linear"}, (180 + 30) * 0.5),  # features, once
        ({"kind": "linear", "policy": "basic", "epochs": 2}, (2 * 180 + 30) * 0.5),
        (
            {"kind": "linear", "encoder": "finetuned", "epochs": 2},
            2 * 180 * 2.0 * 1.15 + (2 * 30 + 30) * 0.5,
        ),
    ],
)
def test_the_classifier_stage_costs_what_it_shows(asked, seconds):
    parts = modelled(run(classifier=asked), ROW, width=64, held_bytes=0).parts
    assert parts.classifier == pytest.approx(seconds)
    assert modelled(run(), ROW, width=64, held_bytes=0).parts.classifier == 0
