"""What is tried for a method, how trials are thinned, and what is chosen: laws, without training."""

from itertools import pairwise

import pytest
from experiment_setups import decided, listing
from hypothesis import given
from hypothesis import strategies as st

from nearfar.core.errors import ConfigError
from nearfar.experiment import tuning
from nearfar.experiment.configuration import check_config
from nearfar.experiment.tuning import Knob, candidates, conclude, halve, knobs, rungs
from nearfar.methods import METHODS
from nearfar.run_folder.comparison import Trial

RATE = Knob("optimizer.lr", 0.1, 10.0, tuning.RATE)
STRENGTH = Knob("views.strength", 1.0, None, tuning.STRENGTH)
TEMPERATURE = Knob("method.temperature", 0.5, 3.0, tuning.TEMPERATURE)
ALL = (RATE, STRENGTH, TEMPERATURE)
SCORES = st.lists(st.none() | st.floats(0, 1), min_size=24, max_size=24)


def play(scores, epochs=16):
    """A tuning whose k-th candidate scores scores[3 k + r] in its r-th rung; None: it loses."""
    tried, lengths = candidates(ALL), [rung.epochs for rung in rungs(epochs)]

    def attempt(going, length):
        here = []
        for values in going:
            score = scores[3 * tried.index(values) + lengths.index(length)]
            here.append(Trial(settings=values, epochs=length, score=score))
        return here

    return conclude("simclr", ALL, halve(rungs(epochs), tried, attempt), "a number")


def by_length(found):
    lengths = sorted({trial.epochs for trial in found.trials})
    return [[trial for trial in found.trials if trial.epochs == length] for length in lengths]


@given(st.integers(1, 2000))
def test_rungs_halve_the_trials_and_lengthen_them_up_to_half_a_run(epochs):
    plan = rungs(epochs)
    assert plan[0].trials == 8
    for rung, longer in pairwise(plan):
        assert rung.trials % longer.trials == 0
        assert rung.epochs < longer.epochs
    assert 1 <= plan[-1].epochs <= max(1, (epochs + 1) / 2)
    assert tuning.epochs_of(plan) <= 3 * epochs + 14  # each trial rounded up by less than an epoch


def test_rungs_of_usual_and_of_very_short_runs():
    assert [(r.trials, r.epochs) for r in rungs(40)] == [(8, 5), (4, 10), (2, 20)]
    assert [(r.trials, r.epochs) for r in rungs(5)] == [(8, 1), (4, 2), (2, 3)]
    assert [(r.trials, r.epochs) for r in rungs(1)] == [(8, 1)]
    assert tuning.epochs_of(rungs(40)) == 3 * 40


@given(st.integers(1, 64), st.integers(1, 64))
def test_more_candidates_go_on_where_fewer_end_and_the_defaults_are_first(few, many):
    assert candidates(ALL, many)[: min(few, many)] == candidates(ALL, few)[:many]
    assert candidates(ALL, few)[0] == {knob.path: knob.default for knob in ALL}


def test_candidates_differ_and_reach_to_both_sides_of_each_default_within_its_span():
    found = candidates(ALL)
    assert len({tuple(values.values()) for values in found}) == 8
    for knob, low, high in ((RATE, 0.01, 1.0), (STRENGTH, 0, 2), (TEMPERATURE, 0.16, 1.5)):
        values = sorted(candidate[knob.path] for candidate in found)
        assert low <= values[0] < values[3] <= knob.default * 1.2
        assert knob.default * 1.4 < values[-1] <= high


def test_what_is_tuned_is_not_correlated():
    columns = [[values[knob.path] for values in candidates(ALL)] for knob in ALL]
    for a, b in ((0, 1), (0, 2), (1, 2)):
        ranks = [sorted(column).index for column in columns]
        x = [ranks[a](value) - 3.5 for value in columns[a]]
        y = [ranks[b](value) - 3.5 for value in columns[b]]
        assert abs(sum(i * j for i, j in zip(x, y, strict=True))) < 0.4 * 42  # 42: equal orders


@given(SCORES)
def test_the_defaults_reach_the_last_rung_unless_they_lose(scores):
    rounds = by_length(play(scores))
    defaults = {knob.path: knob.default for knob in ALL}
    for number, here in enumerate(rounds):
        lost_before = any(score is None for score in scores[:number])
        assert (here[0].settings == defaults) is not lost_before


@given(SCORES)
def test_nothing_that_lost_goes_on_or_is_chosen(scores):
    found = play(scores)
    for here, longer in pairwise(by_length(found)):
        alive = [trial.settings for trial in here if trial.score is not None]
        assert all(trial.settings in alive for trial in longer)
    if all(trial.score is None for trial in found.trials):
        assert (found.chosen, found.score) == (found.defaults, None)
    else:
        assert found.score is not None


@given(SCORES)
def test_the_choice_is_at_least_as_good_as_the_defaults_at_equal_length(scores):
    found = play(scores)
    if found.score is not None and found.default_score is not None:
        assert found.score >= found.default_score
        if found.score == found.default_score:
            assert found.chosen == found.defaults


@given(SCORES)
def test_only_the_longest_trials_decide(scores):
    found = play(scores)
    alive = [t for t in found.trials if t.score is not None]
    longest = [t.score for t in alive if t.epochs == max(trial.epochs for trial in alive)]
    assert found.score == max(longest, default=None)


@given(st.lists(st.floats(0, 0.9), min_size=24, max_size=24), st.integers(0, 7))
def test_a_candidate_that_is_best_at_every_length_is_chosen(scores, winner):
    scores[3 * winner : 3 * winner + 3] = [0.95, 0.96, 0.97]
    found = play(scores)
    assert found.chosen == candidates(ALL)[winner]
    assert [len(here) for here in by_length(found)] == [8, 4, 2]


@given(SCORES)
def test_only_the_order_of_scores_matters(scores):
    squeezed = [None if score is None else 0.5 + score / 4 for score in scores]
    # floats that differ may be one after squeezing; then there is nothing to compare
    if len({*squeezed}) == len({*scores}):
        assert play(scores).chosen == play(squeezed).chosen


@given(st.floats(0, 1))
def test_where_all_are_equal_the_defaults_stay(score):
    found = play([score] * 24)
    assert found.chosen == found.defaults
    assert found.default_score == score


def test_the_rate_is_tuned_always_strength_and_temperature_where_there_are_any():
    def paths(method, given=(), **asked):
        return [knob.path for knob in knobs(decided(method, **asked), given)]

    assert paths("simclr") == ["optimizer.lr", "views.strength", "method.temperature"]
    assert paths("simclr", views={"policy": "digits"}) == ["optimizer.lr", "method.temperature"]
    assert paths("barlow_twins") == ["optimizer.lr", "views.strength"]
    assert paths("simclr", ["optimizer.lr", "train.epochs"]) == [
        "views.strength",
        "method.temperature",
    ]
    assert paths("simclr", ["optimizer.lr", "views.strength", "method.temperature"]) == []


def test_a_method_that_does_not_train_has_nothing_to_tune():
    assert (
        knobs(decided("frozen", encoder={"weights": "w.safetensors", "name": "resnet18"}), ()) == ()
    )


def test_knobs_start_where_the_run_would():
    setup = decided("simclr", settings={"temperature": 0.3}, views={"strength": 0.5})
    assert [knob.default for knob in knobs(setup, ())] == [setup.optimizer.lr, 0.5, 0.3]
    assert all(knob.at(0.5) == knob.default for knob in knobs(setup, ()))


def test_every_method_takes_all_of_its_candidates():
    data, tried, with_temperature = listing(side=96), 0, set()
    for name in METHODS:
        asked = check_config({"data": {"source": "made/"}, "method": {"name": name}})
        tuned = knobs(decided(name, data), ())
        for values in candidates(tuned):
            short = tuning.trial_config(asked, tuning.moved(values, tuned), 3, whole=9)
            assert short.train.epochs == 3
            tried += 1
        with_temperature |= {name} if "method.temperature" in values else set()
    assert tried == 8 * len(METHODS)
    assert with_temperature >= {"dino", "moco", "nnclr", "simclr", "supcon", "supcon_moco", "swav"}
    assert not with_temperature & {"cross_entropy", "n_pairs", "triplet", "vicreg"}


def test_a_trial_keeps_what_was_asked_and_measures_nothing_on_the_way():
    asked = check_config(
        {
            "data": {"source": "made/"},
            "method": {"name": "supcon", "projection_dim": 32},
            "train": {"epochs": 40, "batch_size": 60},
            "schedule": {"warmup_epochs": 8},
            "optimizer": {"name": "adamw"},
            "classifier": {"kind": "linear", "dropout": None},
        }
    )
    short = tuning.trial_config(asked, {"optimizer.lr": 0.02}, 5, whole=40)
    assert (short.train.epochs, short.train.batch_size) == (5, 60)
    assert short.schedule.warmup_epochs == 1.0
    assert (short.optimizer.name, short.optimizer.lr) == ("adamw", 0.02)
    assert short.method.projection_dim == 32
    assert (short.evaluate.selections, short.evaluate.online_probe) == (0, False)
    assert short.classifier.kind is None
    whole = tuning.with_settings(asked, {"optimizer.lr": 0.02})
    assert whole.optimizer.lr == 0.02
    assert whole.classifier == asked.classifier
    assert (whole.train, whole.schedule) == (asked.train, asked.schedule)


def test_settings_that_a_key_does_not_take_are_refused():
    asked = check_config({"data": {"source": "made/"}, "method": {"name": "supcon"}})
    with pytest.raises(ConfigError, match=r"optimizer\.lr"):
        tuning.with_settings(asked, {"optimizer.lr": -1.0})
