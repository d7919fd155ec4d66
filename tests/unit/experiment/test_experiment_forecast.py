"""A forecast begins with a model, and ends with what was measured; its clock here is a list."""

import pytest
from experiment_setups import decided

from nearfar.experiment.cost import Cost, Parts, report_seconds, seconds_of, trial_seconds
from nearfar.experiment.encoding import same_start
from nearfar.experiment.forecast import FIRST_STEPS, MEASURED_STEPS, Forecast, Stopwatch

MODEL = Parts(step=1.0, epoch=2.0, image=0.01, probes=5.0, classifier=0.0, map=3.0)
SLOWER = Parts(step=4.0, epoch=2.0, image=0.01, probes=5.0, classifier=0.0, map=3.0)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def runs(seeds=2, epochs=4):
    train = {"batch_size": 30, "epochs": epochs}
    found = [decided(name, train=train) for name in ("cross_entropy", "supcon")]
    return [setup.with_seed(seed) for seed in range(seeds) for setup in found]


def forecast(clock=None, **asked):
    costs = {"cross_entropy": Cost(MODEL, 1e9), "supcon": Cost(SLOWER, 2e9)}
    return Forecast(runs(**asked), costs, clock=clock or Clock())


def test_all_runs_are_counted_and_the_start_of_a_seed_is_measured_once():
    of = forecast()
    first, second = of.runs[:2]
    each = [
        seconds_of(first, MODEL, floor=True) + seconds_of(second, SLOWER, floor=False)
        for _ in range(2)
    ]
    assert of.left() == pytest.approx(sum(each) + report_seconds(4))
    assert of.memory_bytes() == 2e9


def test_runs_that_are_complete_cost_nothing_more():
    of = forecast()
    of.starts.add(same_start(of.runs[3]))
    of.begin(of.runs[3])
    expected = seconds_of(of.runs[3], SLOWER, floor=False) + report_seconds(4)
    assert of.left() == pytest.approx(expected)
    assert of.words() == "about 2 min left in all"
    assert of.title(of.runs[3]).startswith("run 4 of 4: supcon, seed 1, about ")


def test_what_was_measured_of_one_method_corrects_the_others_until_they_are_measured():
    of = forecast()
    of.see(of.runs[0], "step", 3.0)
    assert of.parts("cross_entropy").step == 3.0
    assert of.parts("supcon").step == pytest.approx(12.0)
    of.see(of.runs[1], "step", 5.0)
    assert of.parts("supcon").step == 5.0
    assert of.parts("cross_entropy").step == 3.0


def test_trials_of_each_method_are_counted_until_they_are_done():
    costs = {"cross_entropy": Cost(MODEL, 0), "supcon": Cost(SLOWER, 0), "frozen": Cost(MODEL, 0)}
    still = decided("frozen", encoder={"name": "resnet18", "pretrained": True})
    all_runs = [*runs(epochs=16), still]
    of, alone = Forecast(all_runs, costs, tunes=True), Forecast(all_runs, costs)
    each = [  # 8 trials of an eighth, 4 of a quarter, 2 of half of the epochs
        sum(count * trial_seconds(run, parts, epochs) for count, epochs in ((8, 2), (4, 4), (2, 8)))
        for run, parts in ((all_runs[0], MODEL), (all_runs[1], SLOWER))
    ]
    assert of.trials_left() == pytest.approx(sum(each))
    assert of.left() == pytest.approx(alone.left() + sum(each))
    of.trials["cross_entropy"] = 0.25
    assert of.of(all_runs).trials_left() == pytest.approx(0.25 * each[0] + each[1])
    of.see(all_runs[1], "step", 2 * SLOWER.step)
    assert of.trials_left() > each[1] * 1.5
    assert of.without_trials().trials_left() == 0


def test_a_part_is_timed_each():
    clock = Clock()
    of = forecast(clock)
    with of.timed(of.runs[0], "image", 50):
        clock.now += 10
    assert of.parts("cross_entropy").image == pytest.approx(0.2)


def test_of_no_runs_nothing_is_said():
    of, setup = Forecast(), runs()[0]
    of.begin(setup)
    of.see(setup, "step", 1.0)
    assert of.words() == ""
    assert of.title(setup) == "cross_entropy, seed 0"
    assert of.parts("cross_entropy").step == 1.0


def test_the_first_steps_correct_the_estimate_once_and_every_epoch_does_again():
    clock, told = Clock(), []
    of = forecast(clock)
    watch = Stopwatch(of, of.runs[0], lambda: told.append(of.parts("cross_entropy").step))
    for number in range(MEASURED_STEPS):
        clock.now += 60 if number < FIRST_STEPS else 0.5
        watch.see(None)
    assert told == [pytest.approx(0.5)]
    assert of.steps == MEASURED_STEPS
    clock.now += 3
    with watch.apart():
        clock.now += 40
    watch.end_epoch()
    assert of.parts("cross_entropy").epoch == pytest.approx(3)
    for _ in range(MEASURED_STEPS):
        clock.now += 1.5
        watch.see(None)
    watch.end_epoch()
    counted = MEASURED_STEPS - FIRST_STEPS
    mean = (counted * 0.5 + MEASURED_STEPS * 1.5) / (counted + MEASURED_STEPS)
    assert of.parts("cross_entropy").step == pytest.approx(mean)
    assert len(told) == 1
