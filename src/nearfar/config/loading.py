"""From a TOML file, flags and `--set` to a `RunConfig`; every problem is collected before one error
is raised.
"""

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from nearfar.config.classifier import AS_EVALUATED, ClassifierConfig
from nearfar.config.encoder import EncoderConfig
from nearfar.config.models import SECTIONS, MethodConfig, RunConfig
from nearfar.config.problems import nearest, problem, typed, with_lists
from nearfar.config.section import Section
from nearfar.config.training import OWN_KEYS
from nearfar.core.errors import ConfigError, UserError

Sections = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Known:
    """The names that a configuration may use; the layers above supply them."""

    methods: Mapping[str, Callable[[], type[MethodConfig]]]
    # of a method in `methods`; None: its settings are faulty
    fewest_views: Callable[[str, MethodConfig | None], int]
    # what is wrong with views.policy
    policy_problems: Callable[[str | Mapping[str, Any]], Sequence[str]]
    encoders: Callable[[], Sequence[str]]  # a function, because the list is slow to make
    evaluators: Callable[[], Sequence[str]]  # likewise
    # the settings of one of them
    evaluator_config: Callable[[str], type[Section]]


def read_toml(path: Path) -> Sections:
    """The sections of a TOML file. UserError: missing, unreadable, not TOML, a key outside a
    section.
    """
    return parse_toml(read_text(path), str(path))


def read_text(path: Path) -> str:
    """Of a TOML file. UserError: missing, unreadable, no text."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); want a TOML file") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not TOML: {error}") from error


def parse_toml(text: str, where: str) -> Sections:
    """The sections of a TOML text. UserError: not TOML, a key outside a section."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{where}: is not TOML: {error}") from error
    loose = [key for key, value in values.items() if not isinstance(value, dict)]
    if loose:
        raise ConfigError(
            [f"{key}: stands outside a section such as [train]" for key in loose], where
        )
    return values


def parse_override(text: str) -> tuple[str, str, Any]:
    """`train.epochs=10` as ("train", "epochs", 10). The value is TOML, or a number such as .5, else
    a plain string; where a key takes a list, `0.5,0.5,0.5` is one as well (`build_config`).
    """
    path, equals, value = text.partition("=")
    section, dot, key = path.strip().partition(".")
    if not equals or not dot or not section or not key:
        raise ConfigError([f"{text}: want SECTION.KEY=VALUE, for example train.epochs=10"], "--set")
    return section, key, typed(value)


def merge(base: Sections, overrides: Sequence[tuple[str, str, Any]]) -> Sections:
    """The sections with each (section, key, value) put over them; nothing is changed in place."""
    merged = {section: dict(values) for section, values in base.items()}
    for section, key, value in overrides:
        merged.setdefault(section, {})[key] = value
    return merged


def build_config(sections: Sections, known: Known, where: str = "configuration") -> RunConfig:
    """The checked configuration. ConfigError with every problem: path, wanted value, nearest
    name.
    """
    problems = [
        f"{name}: unknown section{nearest(name, [*SECTIONS, 'method'])}"
        for name in sections
        if name not in SECTIONS and name != "method"
    ]
    built: dict[str, Section] = {}
    for name, model in SECTIONS.items():
        part, wrong = _section(name, model, sections.get(name, {}))
        problems += wrong
        if part is not None:
            built[name] = part
    method_values = dict(sections.get("method", {}))
    method_name = method_values.pop("name", None)
    method, wrong = _method(method_name, method_values, known)
    problems += (
        wrong + _of_policy(sections.get("views", {}).get("policy"), known) + _across(built, known)
    )
    count = getattr(built.get("views"), "count", None)
    named = isinstance(method_name, str) and method_name in known.methods
    fewest = known.fewest_views(method_name, method) if named else 1
    if count is not None and count < fewest:
        problems.append(f"views.count: want at least {fewest} ({method_name}), got {count}")
    if problems or method is None:
        raise ConfigError(problems, where)
    return RunConfig.model_validate({"method_name": method_name, "method": method, **built})


def _section(
    name: str, model: type[Section], values: Mapping[str, Any]
) -> tuple[Section | None, list[str]]:
    values = with_lists(values, model)
    try:
        return model.model_validate(values), []
    except ValidationError as error:
        found = [problem(name, details, values, model) for details in error.errors()]
        return None, list(dict.fromkeys(found))


def _method(
    name: object, values: Mapping[str, Any], known: Known
) -> tuple[MethodConfig | None, list[str]]:
    if name is None:
        return None, [f"method.name: is missing; want one of {', '.join(known.methods)}"]
    if not isinstance(name, str):
        return None, [f"method.name: want one of {', '.join(known.methods)}, got {name!r}"]
    if name not in known.methods:
        names = list(known.methods)
        hint = nearest(name, names) or f"; want one of {', '.join(names)}, or MODULE:CLASS of yours"
        return None, [f'method.name: no method "{name}"{hint}']
    part, problems = _section("method", known.methods[name](), values)
    return (part if isinstance(part, MethodConfig) else None), problems


def _across(built: Mapping[str, Section], known: Known) -> list[str]:
    """What two sections, or a section and the known names, must agree on. Faulty sections are
    skipped.
    """
    problems = []
    train, schedule = built.get("train"), built.get("schedule")
    warmup = getattr(schedule, "warmup_epochs", None)
    epochs = getattr(train, "epochs", None)
    if warmup is not None and epochs is not None and warmup > epochs:
        problems.append(
            f"schedule.warmup_epochs: want at most {epochs} (train.epochs), got {warmup:g}"
        )
    if isinstance(encoder := built.get("encoder"), EncoderConfig):
        problems += encoder.problems(known.encoders)
    problems += _of_evaluators(built.get("evaluate"), known)
    problems += _of_classifier(built.get("classifier"), known)
    return problems + _unread(built) + _milestones(schedule, epochs, warmup)


def _of_evaluators(section: Section | None, known: Known) -> list[str]:
    """Names in evaluate.probes and evaluate.settings that no evaluator has, and settings that it
    has not or that are wrong.
    """
    settings: Mapping[str, Mapping[str, Any]] = getattr(section, "settings", None) or {}
    asked = [("probes", name) for name in getattr(section, "probes", None) or ()]
    asked += [("settings", name) for name in settings]
    problems = []
    for key, name in asked:
        if name not in (names := known.evaluators()):
            want = f"; want some of {', '.join(names)}, or MODULE:CLASS of yours"
            hint = nearest(name, names) or want
            problems.append(f'evaluate.{key}: no evaluator "{name}"{hint}')
        elif key == "settings":
            model = known.evaluator_config(name)
            problems += _section(f"evaluate.settings.{name}", model, settings[name])[1]
    return problems


def _of_policy(policy: object, known: Known) -> list[str]:
    """What is wrong with views.policy, whatever else may be wrong in its section."""
    return list(known.policy_problems(policy)) if isinstance(policy, str | Mapping) else []


def _of_classifier(section: Section | None, known: Known) -> list[str]:
    """Keys of the classifier stage that nothing would read, and its policy."""
    if not isinstance(section, ClassifierConfig):
        return []
    given = [
        name
        for name in type(section).model_fields
        if name in section.model_fields_set and name != "kind"
    ]
    if section.kind is None:
        return [
            f"classifier.{name}: wants classifier.kind (linear or mlp) beside it, got none"
            for name in given
        ]
    problems = []
    if section.kind == "linear":
        problems += [
            f"classifier.{name}: wants classifier.kind=mlp beside it, got linear"
            for name in ("hidden_dim", "dropout")
            if getattr(section, name) is not None
        ]
    elif section.init == "probe":
        problems.append(
            "classifier.init: want random for classifier.kind=mlp, got probe, which is linear"
        )
    if section.encoder == "frozen" and section.encoder_lr is not None:
        problems.append(
            "classifier.encoder_lr: wants classifier.encoder=finetuned beside it, got frozen"
        )
    if section.policy == AS_EVALUATED:
        if section.encoder == "finetuned":
            problems.append(
                f"classifier.policy: want views, such as basic, for finetuned, got {AS_EVALUATED}"
            )
    elif section.policy is not None:
        found = known.policy_problems(section.policy)
        problems += [problem.replace("views.policy", "classifier.policy", 1) for problem in found]
    return problems


def _unread(built: Mapping[str, Section]) -> list[str]:
    """Keys that nothing would read beside these others."""
    problems = []
    for (section, choice, wanted), keys in OWN_KEYS.items():
        values = built.get(section)
        found = getattr(values, choice, None) or "the method's own"
        if found != wanted:
            given = [key for key in keys if getattr(values, key, None) is not None]
            problems += [
                f'{section}.{key}: want {section}.{choice} = "{wanted}" beside it, got {found}'
                for key in given
            ]
    return problems


def _milestones(schedule: Section | None, epochs: int | None, warmup: float | None) -> list[str]:
    milestones = getattr(schedule, "milestones", None)
    if milestones is None:
        return []
    if not all(a < b for a, b in pairwise((0.0, *milestones, 1.0))):
        return [
            "schedule.milestones: want rising parts of the run, between 0 and 1, got"
            f" {list(milestones)}"
        ]
    if warmup is not None and epochs is not None and milestones[0] * epochs < warmup:
        return [
            f"schedule.milestones: want none before the end of the warm-up ({warmup:g} of {epochs}"
            f" epochs), got {milestones[0]:g}"
        ]
    return []
