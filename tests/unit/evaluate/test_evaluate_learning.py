"""The verdicts on the end of a run: which runs had learned, which had not, and which were better
before.
"""

import math
from dataclasses import replace

import pytest

from nearfar.evaluate.case import Facts, Row
from nearfar.evaluate.doctor import judge
from nearfar.run_folder.records import LOST_EPOCHS, STILL_FALLS, Measurement, Verdict

FACTS = Facts("supcon", lr=0.09, epochs=40, policy="supcon")
FLOWERS, OBJECTS = 5, 6  # classes


def run(losses: list[float], **more: float) -> list[Row]:
    """Of four steps an epoch: too few for the verdicts on slow illnesses."""
    return [
        {"epoch": float(at), "step": 4.0 * at, "loss": loss, **more}
        for at, loss in enumerate(losses, start=1)
    ]


def falling(chance: float, last: float, *, epochs: int = 40) -> list[float]:
    """From chance to `last`, ever more slowly, as under a cosine schedule."""
    return [
        last + (chance - last) * (1 + math.cos(math.pi * at / epochs)) / 2
        for at in range(1, epochs + 1)
    ]


def supcon(rows: int, last: float, classes: int) -> list[Row]:
    chance, floor = math.log(rows - 1), math.log(rows / classes - 1)
    return run(falling(chance, last), chance=chance, floor=floor)


def codes(rows: list[Row], facts: Facts = FACTS) -> list[str]:
    return [verdict.code for verdict in judge(rows, facts)]


MEASURED = [
    # level with cross-entropy on flowers5: 70.7 and 68.8 against 69.8
    (256, 5.30, FLOWERS, False),
    (64, 3.89, FLOWERS, False),
    # ten points and more behind it on household objects: 60.9, 58.0 and 52.3 (ResNet-18)
    (128, 4.74, OBJECTS, True),
    (64, 4.02, OBJECTS, True),
    (128, 4.81, OBJECTS, True),
    # with basic views, with AdamW too, in 160 epochs: 58.0, 62.0, 63.1 and 69.0
    (64, 3.62, OBJECTS, False),
    (64, 3.55, OBJECTS, False),
    (128, 4.36, OBJECTS, False),
    (128, 3.49, OBJECTS, False),
]


@pytest.mark.parametrize(("rows", "last", "classes", "accused"), MEASURED)
def test_measured_runs_are_told_apart_by_how_far_their_loss_has_come(rows, last, classes, accused):
    assert codes(supcon(rows, last, classes)) == ["undertrained"] * accused


def test_the_verdict_says_how_far_it_came_and_what_to_type():
    (found,) = judge(supcon(128, 4.74, OBJECTS), FACTS)
    assert (found.severity, found.since_epoch) == ("watch", 40)
    assert "after 40 epochs the loss, 4.740, has come 6% of the way from its chance" in found.text
    assert found.text.endswith(found.advice)
    assert found.advice == (
        "Try more epochs (--epochs 160), weaker views (--set views.policy=basic) or a higher"
        " learning rate (--set optimizer.lr=0.27; it was 0.09)."
    )
    (found,) = judge(supcon(128, 4.74, OBJECTS), replace(FACTS, policy="basic"))
    assert "weaker views" not in found.advice
    (found,) = judge(supcon(128, 4.74, OBJECTS), replace(FACTS, pretrained=True, lr=None))
    assert found.advice == "Try more epochs (--epochs 160) or a higher learning rate."


def test_a_loss_is_judged_at_the_end_that_was_planned_and_between_both_its_ends():
    rows = supcon(128, 4.74, OBJECTS)
    assert codes(rows, replace(FACTS, epochs=41)) == []
    assert codes(rows, replace(FACTS, epochs=None)) == []
    assert codes(rows[:20]) == []
    without = [{k: v for k, v in row.items() if k != "floor"} for row in rows]
    assert codes(without) == []
    edge = math.log(127) - 0.1 * (math.log(127) - math.log(128 / 6 - 1))
    assert codes(supcon(128, edge - 1e-6, OBJECTS)) == []
    assert codes(supcon(128, edge + 1e-6, OBJECTS)) == ["undertrained"]


def test_a_loss_that_falls_as_fast_as_ever_at_the_end_is_undertrained_whatever_it_is():
    even = [5 - at / 10 for at in range(20)]
    late = [5.0] * 12 + [5 - at / 10 for at in range(8)]
    facts = replace(FACTS, epochs=20)
    assert codes(run(even), facts) == []  # 21 % in the last fifth
    (found,) = judge(run(late), facts)
    assert found.code == "undertrained"
    assert found.text.startswith(STILL_FALLS)
    assert "57% of all that it fell after 20 epochs it fell in the last 4 (4.700 to" in found.text
    assert found.advice == "Try more epochs (--epochs 40)."
    # of a loss whose chance level is known all that it fell begins there
    assert codes(run(late, chance=6.5), facts) == []
    # too few epochs, and a loss that rises
    assert codes(run([5.0, 4.9, 4.8, 2.0]), replace(FACTS, epochs=4)) == []
    assert codes(run([5.0] * 15 + [6.0, 5.9, 5.8, 5.7, 5.6]), facts) == []


def stuck(epochs: int, among: int = 40) -> list[float]:
    """A loss that falls, lies at the chance level of 5 for some epochs from the ninth on, and falls
    again.
    """
    return [4.9] * 8 + [4.996] * epochs + [4.5 - at / 1000 for at in range(among - 8 - epochs)]


def test_epochs_at_the_chance_level_are_told_where_the_loss_has_left_it_since():
    levels = {"chance": 5.0, "floor": 2.0}
    (found,) = judge(run(stuck(16), **levels), FACTS)
    assert (found.code, found.severity, found.since_epoch) == ("undertrained", "watch", 40)
    assert found.text.startswith(LOST_EPOCHS)
    assert "in 16 of 40 epochs, between 9 and 24, and taught nothing there. Try" in found.text
    assert found.advice == (
        "Try a lower learning rate (--set optimizer.lr=0.03), a longer warm-up"
        " (schedule.warmup_epochs) or more epochs (--epochs 80)."
    )
    assert codes(run(stuck(10), **levels)) == ["undertrained"]
    assert codes(run(stuck(9), **levels)) == []  # less than a quarter of them
    slow = [0.9 * loss if loss > 4.99 else loss for loss in stuck(16)]
    assert codes(run(slow, **levels)) == []
    assert codes(run(stuck(16))) == []  # its level is not known
    # in few epochs one at the level is a quarter
    assert codes(run([5.0, 4.5, 4.0, 3.5], **levels), replace(FACTS, epochs=4)) == []
    # nearly where it began comes first
    (found,) = judge(run([4.996] * 20 + [4.9] * 20, **levels), FACTS)
    assert "has come 3% of the way" in found.text


def accuracy(value: float, interval: tuple[float, float] | None = None, **more: str) -> Measurement:
    like = {"name": "linear_probe.top1", "title": "linear probe", "unit": "fraction"}
    return Measurement.model_validate(
        {**like, "better": "higher", "value": value, "interval": interval, **more}
    )


def worse(end: Measurement | None, start: Measurement | None, **more: object) -> list[Verdict]:
    facts = replace(FACTS, start=start, end=end, **more)
    return judge(supcon(128, 3.49, OBJECTS), facts)


def test_an_encoder_is_worse_than_its_start_by_more_than_its_interval():
    start = accuracy(0.851)
    (found,) = worse(accuracy(0.757, (0.70, 0.81)), start, pretrained=True)
    assert (found.code, found.severity, found.since_epoch) == ("worse_than_start", "ill", 40)
    assert "linear probe 75.7 % (95 % interval 70 to 81) after training, 85.1 % with the given" in (
        found.text
    )
    assert found.advice == (
        "Try a lower learning rate (--set optimizer.lr=0.009), more epochs (--epochs 80) or the"
        " given weights as they are (--method frozen)."
    )
    (found,) = worse(accuracy(0.757, (0.70, 0.81)), start)
    assert "with the encoder before training" in found.text
    assert "--method frozen" not in found.advice
    assert worse(accuracy(0.82, (0.77, 0.86)), start) == []
    assert worse(accuracy(0.88, (0.84, 0.91)), start) == []
    assert worse(accuracy(0.757), start) == []
    assert worse(None, start) == []
    assert worse(accuracy(0.757, (0.70, 0.81)), None) == []
    errors = {"better": "lower"}
    assert worse(accuracy(0.1, (0.08, 0.12), **errors), accuracy(0.2, **errors)) == []
    (found,) = worse(accuracy(0.3, (0.25, 0.35), **errors), accuracy(0.2, **errors))
    assert found.code == "worse_than_start"


def test_what_is_ill_already_is_not_worse_too():
    collapsed = [row | {"step": 40.0 * row["epoch"]} for row in run([5.5] * 10, chance=5.5)]
    facts = replace(FACTS, epochs=10, start=accuracy(0.8), end=accuracy(0.2, (0.1, 0.3)))
    assert codes(collapsed, facts) == ["at_chance"]
    # or its advice would be the contrary
    both = replace(facts, epochs=40)
    assert codes(supcon(128, 4.74, OBJECTS), both) == ["undertrained"]
