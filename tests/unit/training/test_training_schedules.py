"""The learning rate: a linear rise, then what was asked for."""

import itertools
import math
from typing import Any

import pytest

from nearfar.training.schedules import Decay, Schedule, rate_factor, steps_of

SUPCONTRAST = {"milestones": (0.6, 0.75, 0.9), "factor": 0.2}


def course(decay: Decay, total: int = 100, warmup: int = 10, **own: Any) -> list[float]:
    schedule = Schedule(decay, **(SUPCONTRAST if decay == "steps" and not own else own))
    return [
        rate_factor(step, schedule, total_steps=total, warmup_steps=warmup) for step in range(total)
    ]


@pytest.mark.parametrize("decay", ["cosine", "steps", "constant"])
def test_the_rate_rises_linearly_to_its_peak(decay: Decay) -> None:
    assert course(decay)[:11] == pytest.approx([*(n / 10 for n in range(1, 11)), 1.0])


def test_cosine_passes_half_in_the_middle_and_ends_just_above_zero() -> None:
    factors = course("cosine")
    assert factors[55] == pytest.approx(0.5)
    assert factors[-1] == pytest.approx(0.5 * (1 + math.cos(math.pi * 89 / 90)))
    assert 0 < factors[-1] < 1e-3
    assert all(a >= b for a, b in itertools.pairwise(factors[10:]))


def test_cosine_without_warm_up_starts_at_the_peak() -> None:
    assert course("cosine", warmup=0)[0] == 1.0


def test_steps_multiply_by_a_fifth_at_60_75_and_90_percent() -> None:
    factors = course("steps")
    changes = [step for step in range(11, 100) if factors[step] != factors[step - 1]]
    assert changes == [60, 75, 90]
    assert [factors[step] for step in (59, 60, 75, 90)] == pytest.approx([1, 0.2, 0.04, 0.008])


def test_moco_v1_falls_to_a_tenth_after_120_and_160_of_200_epochs() -> None:
    factors = course("steps", total=200 * 7, warmup=0, milestones=(0.6, 0.8), factor=0.1)
    epochs = [set(factors[7 * epoch : 7 * epoch + 7]) for epoch in range(200)]
    assert all(len(rates) == 1 for rates in epochs)
    rates = [rates.pop() for rates in epochs]
    assert rates == pytest.approx([1.0] * 120 + [0.1] * 40 + [0.01] * 40)


@pytest.mark.parametrize("floor", [0.1**3, 0.0048 / 4.8])
def test_a_cosine_may_end_at_a_floor(floor: float) -> None:
    """HobbitLong's SupContrast and SwAV: floor + (peak - floor) (1 + cos) / 2, transcribed with a
    peak of 4.8.
    """
    factors = course("cosine", total=400, warmup=0, floor=floor)
    lowest = 4.8 * floor
    expected = [
        lowest + (4.8 - lowest) * (1 + math.cos(math.pi * step / 400)) / 2 for step in range(400)
    ]
    assert [4.8 * factor for factor in factors] == pytest.approx(expected, rel=1e-12)
    assert floor < factors[-1] < 1.1 * floor


def test_constant_stays_at_the_peak() -> None:
    assert set(course("constant")[10:]) == {1.0}


@pytest.mark.parametrize("decay", ["cosine", "steps", "constant"])
@pytest.mark.parametrize(("total", "warmup"), [(1, 0), (1, 1), (2, 1), (7, 7), (10, 0)])
def test_every_factor_of_a_short_run_is_above_zero_and_at_most_one(
    decay: Decay, total: int, warmup: int
) -> None:
    assert all(0 < factor <= 1 for factor in course(decay, total, warmup))


def test_a_duration_in_epochs_becomes_the_nearest_number_of_steps() -> None:
    assert [steps_of(epochs, 7) for epochs in (0, 1, 2, 0.5, 0.04)] == [0, 7, 14, 4, 0]
