"""What `--tune` tries for a method, and how its trials are thinned: values around the defaults, in
short runs whose better half goes on to longer ones.

Successive halving (Jamieson and Talwalkar 2016, arXiv:1502.07943). Deviation: the defaults stay to
the end, whatever their rank, so that what is chosen and the defaults are judged at equal length.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nearfar.config.loading import Sections, merge
from nearfar.config.models import RunConfig
from nearfar.experiment.configuration import check_config
from nearfar.experiment.setup import Setup
from nearfar.run_folder.comparison import Trial, Tuning

TRIALS = 8  # of each method, the defaults among them
LAST_TRIALS = 2  # the defaults and the best other one, at half a run's length


@dataclass(frozen=True)
class Knob:
    """A setting that is tuned. `span` is the largest factor on its default in either direction;
    None: from 0 to twice the default. `stride` spreads its values (see `candidates`).
    """

    path: str
    default: float
    span: float | None
    stride: float

    def at(self, place: float) -> float:
        """The value at a place in [0, 1), of which .5 is the default's."""
        far = 2 * place - 1
        return self.default * (1 + far if self.span is None else self.span**far)


# Multiples of square roots of primes, modulo 1, spread evenly (Richtmyer 1951). The golden ratio's
# spread best, for what matters most; the other two are those least correlated with it, and with
# each other, over 8 trials (at most .26; of 2 and 5 it is -.96).
RATE, STRENGTH, TEMPERATURE = (5**0.5 - 1) / 2, 17**0.5 - 4, 3**0.5 - 1


def knobs(setup: Setup, given: Collection[str]) -> tuple[Knob, ...]:
    """What there is to tune: the rate; the strength of views where their policy has one; the
    temperature where the method has one. Not what the user has `given`; nothing of a method that
    does not train.
    """
    if not setup.trains:
        return ()
    views, method = setup.config.views, setup.config.method
    base = setup.views.policy
    found = [Knob("optimizer.lr", setup.optimizer.lr, 10.0, RATE)]
    if base.stronger(0.5) != base:
        found.append(Knob("views.strength", views.strength, None, STRENGTH))
    temperature = getattr(method, "temperature", None)
    if isinstance(temperature, float):
        found.append(Knob("method.temperature", temperature, 3.0, TEMPERATURE))
    return tuple(knob for knob in found if knob.path not in given)


def defaults_of(tuned: Sequence[Knob]) -> dict[str, float]:
    return {knob.path: knob.default for knob in tuned}


def candidates(tuned: Sequence[Knob], count: int = TRIALS) -> list[dict[str, float]]:
    """So many settings, the defaults first; the others spread around them, the same every time. Two
    digits each.
    """
    others = [
        {knob.path: float(f"{knob.at((0.5 + i * knob.stride) % 1):.2g}") for knob in tuned}
        for i in range(1, count)
    ]
    return [defaults_of(tuned), *others]


@dataclass(frozen=True)
class Rung:
    """So many trials of so many epochs."""

    trials: int
    epochs: int


def rungs(epochs: int, trials: int = TRIALS) -> tuple[Rung, ...]:
    """For runs of `epochs`: 8 trials of an eighth, 4 of a quarter, 2 of half of them, in whole
    epochs; of rungs that would be equally long only the first.
    """
    found: list[Rung] = []
    left = trials
    while left >= LAST_TRIALS:
        rung = Rung(left, -(-epochs // left))
        if not found or rung.epochs > found[-1].epochs:
            found.append(rung)
        left //= 2
    return tuple(found)


def epochs_of(plan: Sequence[Rung]) -> int:
    """Epochs of all trials of a method."""
    return sum(rung.trials * rung.epochs for rung in plan)


def halve(
    plan: Sequence[Rung],
    settings: Sequence[dict[str, float]],
    attempt: Callable[[Sequence[dict[str, float]], int], list[Trial]],
) -> list[Trial]:
    """All trials, rung after rung; `attempt` makes those of some settings and so many epochs. It
    ends where fewer than two are left.
    """
    done: list[Trial] = []
    here: list[Trial] = []
    for rung in plan:
        going = [trial.settings for trial in survivors(here, rung.trials)] if here else settings
        if len(going) < LAST_TRIALS:
            break
        here = attempt(going, rung.epochs)
        done += here
    return done


def survivors(trials: Sequence[Trial], most: int) -> list[Trial]:
    """The best of a rung, in the order in which they stand; of equal ones the earlier. The first,
    the defaults, stays where it did not lose.
    """
    known = [trial for trial in trials if trial.score is not None]
    kept = [trial for trial in known if trial is trials[0]]
    ranked = sorted((trial for trial in known if trial is not trials[0]), key=_rank)
    chosen = [*kept, *ranked[: most - len(kept)]]
    return [trial for trial in trials if trial in chosen]


def best(trials: Sequence[Trial]) -> Trial | None:
    """The best of the longest trials that did not lose; of equal ones the first. None: all lost."""
    known = [trial for trial in trials if trial.score is not None]
    longest = max((trial.epochs for trial in known), default=0)
    return min((trial for trial in known if trial.epochs == longest), key=_rank, default=None)


def _rank(trial: Trial) -> float:
    return -(trial.score or 0.0)


def conclude(method: str, tuned: Sequence[Knob], trials: Sequence[Trial], judged_by: str) -> Tuning:
    """What the trials say. Where all lost, the defaults are chosen: they are what is known."""
    defaults = defaults_of(tuned)
    found = best(trials)
    like = [t for t in trials if found and t.epochs == found.epochs and t.settings == defaults]
    return Tuning(
        method=method,
        judged_by=judged_by,
        defaults=defaults,
        chosen=found.settings if found else defaults,
        score=found.score if found else None,
        default_score=like[0].score if like else None,
        seconds=round(sum(trial.seconds for trial in trials), 3),
        trials=tuple(trials),
    )


def moved(settings: Mapping[str, float], tuned: Sequence[Knob]) -> dict[str, float]:
    """Those of the settings that are not the defaults."""
    defaults = defaults_of(tuned)
    return {path: value for path, value in settings.items() if value != defaults[path]}


def with_settings(config: RunConfig, settings: Mapping[str, Any]) -> RunConfig:
    """What was asked for, with these settings over it. ConfigError: a value that its key does not
    take.
    """
    return check_config(_over(_asked(config), settings))


def trial_config(
    config: RunConfig, settings: Mapping[str, float], epochs: int, *, whole: int
) -> RunConfig:
    """A short run, instead of one of `whole` epochs, in which nothing is measured on the way; no
    classifier follows.
    """
    sections = _asked(config)
    del sections["classifier"]
    changes: dict[str, Any] = {
        **settings,
        "train.epochs": epochs,
        "evaluate.selections": 0,
        "evaluate.online_probe": False,
    }
    if (warmup := config.schedule.warmup_epochs) is not None:
        changes["schedule.warmup_epochs"] = warmup * epochs / whole
    return check_config(_over(sections, changes))


def _asked(config: RunConfig) -> Sections:
    """The sections without what nobody asked for."""
    sections: Sections = config.model_dump(exclude_unset=True)
    sections["method"]["name"] = sections.pop("method_name")
    return sections


def _over(sections: Sections, settings: Mapping[str, Any]) -> Sections:
    changes = [(*path.split(".", 1), value) for path, value in settings.items()]
    return merge(sections, [(section, key, value) for section, key, value in changes])
