"""The judge on rows written by hand: when it speaks, when it waits, and what it makes of missing
numbers.
"""

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from nearfar.evaluate.case import Facts, Row
from nearfar.evaluate.doctor import healthy_line, judge
from nearfar.run_folder.records import Stopped

FACTS = Facts(
    "simclr", labeled=False, width=64, rows_a_step=256, lr=0.5, temperature=0.2, warmup_epochs=1.0
)
HEALTHY = {
    "chance": 5.5,
    "effective_rank": 30.0,
    "feature_std": 0.8,
    "projection_std": 0.9,
    "alignment": 0.4,
    "uniformity": -3.0,
    "cosine_positive": 0.8,
    "cosine_random": 0.0,
}


def rows(n: int, *, steps: int = 10, **changed: Any) -> list[Row]:
    """`n` epochs of a loss that falls; `changed` names replace a number, or drop it where they are
    None.
    """
    made = []
    for epoch in range(1, n + 1):
        row = {
            "epoch": epoch,
            "step": epoch * steps,
            "loss": 5.0 - 2 * epoch / n,
            **HEALTHY,
            **changed,
        }
        row["effective_rank"] = row["effective_rank"] and row["effective_rank"] * (1 + epoch / n)
        made.append({name: float(value) for name, value in row.items() if value is not None})
    return made


def codes(of: list[Row], facts: Facts = FACTS, **changed: Any) -> list[str]:
    return [verdict.code for verdict in judge(of, replace(facts, **changed))]


ILL = {
    "at_chance": {"loss": 5.495},
    "collapsed": {"loss": 5.49, "projection_std": 0.05},
    "pairs_never_meet": {"loss": 2.0, "cosine_positive": 0.1},
}


def test_healthy_rows_have_no_verdict():
    assert judge(rows(10), FACTS) == []
    assert judge([], FACTS) == []


@pytest.mark.parametrize("code", list(ILL))
def test_a_verdict_waits_for_fifty_steps_in_three_epochs_after_the_warm_up(code):
    ill = ILL[code]
    assert codes(rows(10, **ill)) == [code]
    assert codes(rows(4, steps=13, **ill)) == [code]
    assert codes(rows(4, steps=12, **ill)) == []  # 48 steps
    assert codes(rows(3, steps=30, **ill)) == []  # two epochs after the warm-up
    assert codes(rows(3, steps=200, **ill)) == [code]  # of many steps
    assert codes(rows(10, **ill), warmup_epochs=10.0) == []
    assert codes(rows(1, steps=499, **ill), warmup_epochs=0.0) == []
    assert codes(rows(1, steps=500, **ill), warmup_epochs=0.0) == [code]


@pytest.mark.parametrize("code", list(ILL))
def test_an_illness_that_has_passed_or_came_once_is_none(code):
    ill, fine = rows(20, **ILL[code]), rows(20)
    assert codes(ill[:10] + fine[10:]) == []
    assert codes(fine[:19] + ill[19:]) == []
    (found,) = judge(fine[:8] + ill[8:], FACTS)
    assert (found.code, found.since_epoch) == (code, 9)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"loss": 5.488}, []),  # .2 % below chance
        ({"loss": 5.49}, ["at_chance"]),
        ({"loss": 5.49, "prototypes": 245.0}, ["assignment_stuck"]),
        ({"loss": 7.0}, ["at_chance"]),
        ({"loss": 7.0, "chance": None}, []),
        ({"loss": 5.4, "projection_std": 0.05}, []),  # a loss that learns has not collapsed
        ({"loss": 0.1, "projection_std": 0.05, "chance": None}, ["collapsed"]),
        ({"loss": 0.1, "projection_std": 0.11, "chance": None}, []),
        ({"loss": 0.1, "chance": None, "feature_std": 0.02}, ["collapsed"]),
        ({"loss": 0.1, "chance": None, "feature_std": 0.09}, []),  # a common offset is no collapse
        ({"loss": 0.1, "chance": None, "feature_std": 0.09, "effective_rank": 1.3}, ["collapsed"]),
        ({"loss": 2.0, "cosine_positive": 0.3}, []),
        ({"loss": 4.5, "cosine_positive": 0.1}, []),  # less than a fifth below chance
        # no pairs are compared
        ({"loss": 2.0, "cosine_positive": 0.1, "projection_std": None}, []),
        ({"loss": 2.0, "cosine_positive": 0.1, "chance": None}, []),  # a predictor learns first
        ({"loss": 2.0, "cosine_positive": None, "alignment": None}, []),
        ({"effective_rank": 2.5}, ["partial_collapse"]),
        ({"effective_rank": 4.0}, []),  # 6 to 8 in the latter half
        ({"loss": 5.4, "feature_std": 0.02}, []),
        ({"loss": 0.1, "chance": None, "feature_std": 0.09, "effective_rank": 4.0}, []),
        ({"loss": 0.1, "chance": None, "projection_std": None}, []),
        ({"loss": 4.5, "cosine_positive": 0.05}, []),
        ({"loss": 4.3, "cosine_positive": 0.05}, ["pairs_never_meet"]),
    ],
)
def test_the_edges_of_each_verdict(changed, expected):
    assert codes(rows(10, **changed)) == expected


def test_pairs_may_be_far_where_a_low_temperature_makes_little_of_it_enough():
    ill = rows(10, loss=2.0, cosine_positive=0.2)
    assert codes(ill, temperature=0.2) == ["pairs_never_meet"]
    assert codes(ill, temperature=0.05) == []
    assert codes(ill, temperature=None) == ["pairs_never_meet"]


def test_few_dimensions_are_an_illness_only_without_labels_and_where_there_are_many():
    few = rows(10, effective_rank=2.5)
    assert codes(few, labeled=True) == []
    assert codes(few, width=16) == []
    assert codes(few, width=None) == []
    assert codes(rows(10, effective_rank=2.5, projection_std=None)) == []
    assert codes([*rows(10)[:9], few[9] | {"effective_rank": 2.5}]) == []  # one epoch is none


def test_rows_that_hardly_differ_are_a_network_that_does_not_move():
    still = [{**row, "loss": 4.0, "effective_rank": 30.0} for row in rows(10)]
    (found,) = judge(still, FACTS)
    assert (found.code, found.severity, found.since_epoch) == ("not_moving", "watch", 1)
    # while a queue fills
    assert codes([{**row, "loss": 4 + row["epoch"] / 10} for row in still]) == ["not_moving"]
    for name, step in (("loss", -0.02), ("effective_rank", 0.12), ("feature_std", 0.004)):
        moving = [{**row, name: row[name] + step * row["epoch"]} for row in still]
        assert codes(moving) == [], name
    assert codes([{**row, "loss": 4 - row["epoch"] / 1000} for row in still]) == ["not_moving"]
    old = [{name: row[name] for name in ("epoch", "step", "loss", "chance")} for row in still]
    assert codes(old) == []


def test_a_loss_has_diverged_where_it_is_no_number_or_far_above_start_and_chance():
    good = rows(3, steps=1)
    assert codes([*good, {"epoch": 4, "loss": float("nan")}]) == ["diverged"]
    assert codes([*good, {"epoch": 4, "loss": float("inf")}]) == ["diverged"]
    assert codes([*good, {"epoch": 4, "loss": float("inf")}, {"epoch": 5, "loss": 5.0}]) == [
        "diverged"
    ]
    assert codes([*good, {"epoch": 4, "loss": 11.9}]) == []
    assert codes([*good, {"epoch": 4, "loss": 12.1}]) == ["diverged"]
    assert codes([*good, {"epoch": 4, "loss": 12.1}, {"epoch": 5, "loss": 5.0}]) == []
    assert codes([{"epoch": 1, "loss": -0.9}, {"epoch": 2, "loss": -0.1}]) == []


def test_a_run_that_stopped_is_judged_by_why():
    (found,) = judge(
        rows(10, loss=5.5),
        replace(FACTS, stopped=Stopped(code="diverged", epoch=3, text="the loss is nan")),
    )
    assert (found.code, found.since_epoch, found.text) == (
        "diverged",
        3,
        "diverged: the loss is nan",
    )


def test_the_share_of_rows_without_a_positive_is_of_a_whole_step():
    assert codes(rows(2, anchors_without_positive=128.0)) == []
    (watch,) = judge(rows(2, anchors_without_positive=129.0), FACTS)
    (most,) = judge(rows(2, anchors_without_positive=230.0), FACTS)
    (ill,) = judge(rows(2, anchors_without_positive=231.0), FACTS)
    assert (watch.code, watch.severity, most.severity, ill.severity) == (
        "no_positives",
        "watch",
        "watch",
        "ill",
    )
    assert codes(rows(2, anchors_without_positive=255.0), rows_a_step=None) == []


def test_a_loss_at_chance_is_told_apart_by_whether_the_network_moves():
    (moving,) = judge(rows(10, loss=5.5), FACTS)
    (still,) = judge([{**row, "effective_rank": 30.0} for row in rows(10, loss=5.5)], FACTS)
    assert (
        "is learned. Try a third of the learning rate, or three times it (it was 0.5)"
        in moving.text
    )
    assert (
        "nothing in the network moves. Try a higher learning rate (--set optimizer.lr=5; it was"
        in still.text
    )


def test_the_gravest_verdict_comes_first():
    both = rows(10, loss=5.5, anchors_without_positive=200.0)
    assert [(v.code, v.severity) for v in judge(both, FACTS)] == [
        ("at_chance", "ill"),
        ("no_positives", "watch"),
    ]


def test_a_healthy_run_says_so_with_the_numbers_it_has():
    assert (
        healthy_line(rows(10), FACTS)
        == "healthy: loss 3.000 (chance 5.500), effective rank 60.0 of 64, spread 0.80, alignment"
        " 0.40, uniformity -3.00 after epoch 10"
    )
    assert ", queue 16.5 steps old after epoch 10" in healthy_line(rows(10, queue_age=16.5), FACTS)
    early = healthy_line([{"epoch": 1.0, "loss": 2.0}], Facts("x"))
    assert early == "nothing ill in so few steps: loss 2.000 after epoch 1"
    assert healthy_line([], FACTS) == "nothing to judge: no epoch is complete"


def test_judging_needs_no_torch():
    code = (
        "import sys, nearfar.evaluate.doctor; print('torch' in sys.modules, 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
