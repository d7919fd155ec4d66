"""A budget: its arithmetic, and what it says where it is too little. The clock is a list."""

import pytest
from experiment_setups import decided
from hypothesis import given
from hypothesis import strategies as st

from nearfar.core.errors import UserError
from nearfar.experiment.budget import (
    FEW_EPOCHS,
    LEAST_EPOCHS,
    Budget,
    Length,
    chosen_size,
    length_within,
    minutes_up,
    refuse,
    refuse_hopeless,
    size_within,
    steps_to_try,
    tried,
)
from nearfar.experiment.cost import Cost, Parts
from nearfar.experiment.forecast import Forecast

PARTS = Parts(step=1.0, epoch=0.0, image=0.01, probes=5.0, classifier=0.0, map=3.0)


def budget(minutes: float, *, spent: float = 0.0) -> Budget:
    return Budget(minutes, 100.0, clock=lambda: 100.0 + spent)


def forecast(*, seeds=3, epochs=1, step=1.0, tunes=False, **asked):
    asked = {"train": {"batch_size": 30, "epochs": epochs}, "data": {"size": 128}, **asked}
    names = ("cross_entropy", "supcon")
    runs = [decided(name, **asked).with_seed(seed) for seed in range(seeds) for name in names]
    parts = Parts(**{**vars(PARTS), "step": step})
    return Forecast(runs, {name: Cost(parts, 0) for name in names}, tunes=tunes)


def test_a_budget_counts_from_the_command_s_start():
    assert budget(2, spent=50).left == 70
    assert Budget.of(None, 3.0) is None
    assert Budget.of(5, 3.0).began == 3.0
    for wrong in (0, -1, float("nan"), float("inf")):
        with pytest.raises(UserError, match=r"--minutes: want more than 0"):
            budget(wrong)


@given(
    fixed=st.floats(0, 100),
    each=st.floats(0.01, 50),
    seconds=st.floats(0, 5000),
    steps=st.integers(1, 40),
)
def test_the_longest_runs_fit_and_nothing_longer_would(fixed, each, seconds, steps):
    def cost(length):
        taken = steps if length.share == 1 else max(1, round(length.share * steps))
        return fixed + each * length.epochs * taken / steps

    found = length_within(seconds, cost, shorten=True)
    if not found.epochs:
        assert cost(Length(1)) > seconds
        return
    assert cost(found) <= seconds
    assert cost(Length(found.epochs + 1)) > seconds  # one more whole epoch does not fit
    if found.share < 1:
        assert found.epochs <= FEW_EPOCHS
        assert cost(found) > cost(Length(found.epochs - 1))
    whole = length_within(seconds, cost, shorten=False)
    assert whole.share == 1
    assert cost(Length(whole.epochs + 1)) > seconds


def test_few_epochs_are_shortened_until_the_budget_is_full():
    found = length_within(275, lambda length: 100 * length.epochs * length.share, shorten=True)
    assert found.epochs == 3
    assert found.share == pytest.approx(275 / 300, abs=1e-3)
    many = length_within(2575, lambda length: 100 * length.epochs * length.share, shorten=True)
    assert many == Length(25)


def test_a_length_is_written_into_the_configuration_and_read_from_it():
    setup = decided("supcon", train={"batch_size": 20})
    config = Length(4, 0.7).of(setup.config, setup)
    assert (config.train.epochs, config.train.steps_per_epoch) == (4, 6)
    assert config.train.batch_size == 20
    again = Length.stored(config.train.model_dump(), setup.steps_per_epoch)
    assert again.of(setup.config, setup) == config
    whole = Length(4).of(setup.config, setup)
    assert whole.train.steps_per_epoch is None
    assert Length.stored({"epochs": 4}, 9) == Length(4)


def test_the_first_steps_are_fewer_where_they_would_take_a_tenth_of_the_budget():
    methods = ["cross_entropy", "supcon"]
    assert steps_to_try(forecast(step=0.01), methods, 60) == 20
    assert steps_to_try(forecast(step=0.5), methods, 120) == 12
    assert steps_to_try(forecast(step=10), methods, 60) == 8
    short = tried(decided("supcon", classifier={"kind": "linear"}), 20)
    assert (short.epochs, short.steps_per_epoch) == (2, 10)
    assert short.classifier is None
    assert short.selection_interval is None


def test_too_little_says_the_minutes_seeds_and_size_that_would_fit():
    of = forecast(step=10.0)
    needed = of.left()
    with pytest.raises(UserError) as raised:
        refuse(budget(0.5 * needed / 60), of, "measured")
    text = str(raised.value)
    assert "one epoch of each of 6 runs with its evaluation (measured)" in text
    assert f"--minutes {minutes_up(1.05 * needed)}" in text
    assert text.endswith("or --seeds 1, or --size 64")


def test_trials_are_no_runs_and_to_leave_them_out_is_a_way():
    of = forecast(seeds=1, tunes=True)
    alone = of.without_trials().left()
    with pytest.raises(UserError) as raised:
        refuse(budget(1.1 * alone / 60), of, "measured")
    text = str(raised.value)
    assert "each of 2 runs with its evaluation and for the trials of --tune (measured)" in text
    assert f"--minutes {minutes_up(1.05 * of.left())}, or no --tune" in text


def test_of_one_run_no_fewer_seeds_are_offered_and_nothing_that_does_not_fit():
    of = forecast(seeds=1)
    of = of.of(of.runs[:1])
    with pytest.raises(UserError) as raised:
        refuse(budget(0.01), of, "measured")
    assert "one epoch of the run" in str(raised.value)
    assert str(raised.value).endswith(f"would fit: --minutes {minutes_up(1.05 * of.left())}")


def test_what_is_hopeless_is_refused_before_anything_is_measured():
    of = forecast(step=10.0)
    with pytest.raises(UserError, match="by a model of the cost"):
        refuse_hopeless(budget(0.4 * of.left() / 60), of)
    refuse_hopeless(budget(0.6 * of.left() / 60), of)  # it may do


@pytest.mark.parametrize(
    ("seconds", "text"), [(1, "0.1"), (60, "1"), (61, "1.1"), (599, "10"), (601, "11")]
)
def test_minutes_are_rounded_up(seconds, text):
    assert minutes_up(seconds) == text


def test_a_size_is_the_largest_that_fits():
    of = forecast(step=10.0)
    assert size_within(of, of.left() - 1) == 96
    assert size_within(of, 1.0) is None


def test_given_weights_get_a_smaller_size_where_few_epochs_would_fit_and_new_ones_none():
    given_weights = {"encoder": {"name": "resnet18", "pretrained": True}}
    of = forecast(step=10.0, epochs=10, **given_weights)
    few = of.of([run.with_epochs(LEAST_EPOCHS) for run in of.runs]).left()
    assert chosen_size(budget(1.01 * few / 60), of) is None
    assert chosen_size(budget(0.7 * few / 60), of) == 96
    tuned = forecast(step=10.0, epochs=10, tunes=True, **given_weights)
    assert chosen_size(budget(1.01 * few / 60), tuned) < 128
    assert chosen_size(budget(0.01), of) == 64
    assert chosen_size(budget(0.01), forecast(step=10.0)) is None
