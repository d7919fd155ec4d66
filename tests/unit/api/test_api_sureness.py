"""Which images are decided, by made-up validation and test images."""

from pathlib import Path

import numpy as np
import pytest

from nearfar.api.sureness import refuse_share, sureness
from nearfar.core.errors import RunError, UserError
from nearfar.evaluate.sureness import HeldOut, Reference


def reference() -> Reference:
    """Validation: the surest is wrong, but far away; of the rest the two least sure are."""
    probability = np.array([0.99, 0.9, 0.8, 0.7, 0.6, 0.5])
    right = np.array([False, True, True, True, False, False])
    val = HeldOut(np.tile(probability, 40), np.tile(right, 40), np.full(240, 0.1))
    val.distance[[0, 6]] = 0.9  # fewer than one in a hundred
    test = HeldOut(np.array([0.95, 0.75, 0.65]), np.array([True, False, True]), np.zeros(3))
    return Reference(np.ones((5, 1), np.float32), val, test)


def test_far_images_have_no_say_in_the_threshold_and_are_not_decided():
    held = reference()
    assert held.farthest == 0.1
    strict = sureness(Path("run"), held, 0.75 + 1e-3)
    assert strict.threshold == 0.7  # 120 of 158; with the two far ones 120 of 160
    row = {"probability": 0.7, "unlike": False}
    assert strict.decides(row)
    assert not strict.decides(row | {"unlike": True})
    assert not strict.decides(row | {"probability": 0.69})
    told = strict.as_json()
    assert told["validation"]["decided"] == 158
    assert told["validation"]["accuracy"] == 120 / 158
    assert (told["test"]["n"], told["test"]["decided"], told["test"]["accuracy"]) == (3, 2, 0.5)
    low, high = told["test"]["interval"]
    assert low < 0.5 < high


def test_where_no_threshold_is_good_enough_none_is_decided():
    found = sureness(Path("run"), reference(), 1.0)
    assert found.threshold is None
    assert not found.decides({"probability": 1.0, "unlike": False})
    assert found.as_json()["validation"] == {
        "n": 240,
        "decided": 0,
        "accuracy": None,
        "interval": None,
    }


def test_a_run_without_a_reference_says_what_writes_it():
    with pytest.raises(RunError, match=r"--sure: run has no reference\.npz.*nearfar probe run"):
        sureness(Path("run"), None, 0.9)


@pytest.mark.parametrize(("share", "said"), [(90, "mean 0.9"), (0, "got 0$"), (101, "got 101$")])
def test_a_share_is_above_0_and_at_most_1(share, said):
    refuse_share(1.0)
    with pytest.raises(UserError, match=said):
        refuse_share(share)
