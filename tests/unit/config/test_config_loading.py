"""Configuration: every problem at once, each with its path, what was wanted and the nearest
name.
"""

import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest
import tomli_w
from pydantic import Field, ValidationError, create_model

from nearfar.config.loading import (
    Known,
    Sections,
    build_config,
    merge,
    parse_override,
    read_toml,
)
from nearfar.config.models import SECTIONS, MethodConfig, RunConfig
from nearfar.config.problems import nearest
from nearfar.config.renamed import KEYS
from nearfar.config.section import Section
from nearfar.core.errors import ConfigError, UserError


class FewConfig(Section):
    labels_per_class: int = Field(10, ge=1, description="of each class")


class NearConfig(MethodConfig):
    temperature: float = Field(0.2, gt=0)
    projection_dim: int = Field(128, gt=0)
    hidden_dim: int | None = Field(None, gt=0)


class PlainConfig(MethodConfig):
    pass


POLICIES = ("simclr", "supcon", "basic", "digits")


def policy_problems(policy: str | Mapping[str, Any]) -> list[str]:
    """What the views would say, in short: names only."""
    return (
        []
        if not isinstance(policy, str) or policy in POLICIES
        else [f'views.policy: no policy "{policy}"']
    )


KNOWN = Known(
    methods={
        "simclr": lambda: NearConfig,
        "supcon": lambda: NearConfig,
        "cross_entropy": lambda: PlainConfig,
    },
    fewest_views=lambda name, _config: 2 if name == "simclr" else 1,
    policy_problems=policy_problems,
    encoders=lambda: ["conv4", "resnet18", "resnet50", "vit_tiny_patch16_224"],
    evaluators=lambda: ["linear", "knn", "few_label"],
    evaluator_config=lambda name: FewConfig if name == "few_label" else Section,
)
SMALLEST: Sections = {"data": {"source": "digits"}, "method": {"name": "simclr"}}


MEAN = "encoder.mean: want 3 numbers, such as --set encoder.mean=[0.5,0.5,0.5], got {}"


def configured(*overrides: str, base: Sections = SMALLEST) -> RunConfig:
    return build_config(
        merge(base, [parse_override(text) for text in overrides]), KNOWN, "run.toml"
    )


def problems_of(*overrides: str, base: Sections = SMALLEST) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        configured(*overrides, base=base)
    assert caught.value.exit_code == 2
    assert str(caught.value).startswith("run.toml: ")
    return caught.value.problems


def test_the_message_counts_the_problems_and_names_path_wanted_value_and_nearest_name() -> None:
    sections: Sections = {
        "data": {"source": "digits"},
        "method": {"name": "simclr", "temprature": 0.2, "projection_dim": 0},
        "schedule": {"warmup_epochs": 20},
        "train": {"epochs": 10},
    }
    with pytest.raises(ConfigError) as caught:
        build_config(sections, KNOWN, "run.toml")
    assert sorted(str(caught.value).splitlines()) == sorted(
        [
            "run.toml: 3 problems",
            '  method.temprature: unknown key (did you mean "temperature"?)',
            "  method.projection_dim: want more than 0, got 0",
            "  schedule.warmup_epochs: want at most 10 (train.epochs), got 20",
        ]
    )


def test_problems_of_every_section_come_in_one_error() -> None:
    found = problems_of(
        "data.size=2",
        "views.count=0",
        "encoder.stem=tiny",
        "optimizer.lr=0",
        "schedule.decay=linear",
        "train.epochs=0",
        "evaluate.selections=-1",
        "method.temperature=-1",
        "trian.epochs=3",
    )
    assert len(found) == 9
    assert {problem.split(":")[0] for problem in found} == {
        "data.size",
        "views.count",
        "encoder.stem",
        "optimizer.lr",
        "schedule.decay",
        "train.epochs",
        "evaluate.selections",
        "method.temperature",
        "trian",
    }


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("trian.epochs=3", 'trian: unknown section (did you mean "train"?)'),
        ("metod.temperature=1", 'metod: unknown section (did you mean "method"?)'),
        ("zzz.epochs=3", "zzz: unknown section"),
        ("train.epoch=3", 'train.epoch: unknown key (did you mean "epochs"?)'),
        ("train.zzz=3", "train.zzz: unknown key"),
        ("method.temprature=3", 'method.temprature: unknown key (did you mean "temperature"?)'),
        ("method.name=simclear", 'method.name: no method "simclear" (did you mean "simclr"?)'),
        (
            "method.name=zzz",
            (
                'method.name: no method "zzz"; want one of simclr, supcon, cross_entropy, or'
                " MODULE:CLASS of yours"
            ),
        ),
        ("views.policy=zzz", 'views.policy: no policy "zzz"'),
        (
            "encoder.name=resnet81",
            (
                'encoder.name: no encoder "resnet81" (did you mean "resnet18"?); `nearfar encoders`'
                " lists them"
            ),
        ),
        ("encoder.name=zzz", 'encoder.name: no encoder "zzz"; `nearfar encoders` lists them'),
    ],
)
def test_an_unknown_name_is_an_error_that_suggests_the_nearest(override: str, problem: str) -> None:
    assert problems_of(override) == (problem,)


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("data.size=3", "data.size: want at least 4, got 3"),
        ("data.eval_crop=0", "data.eval_crop: want more than 0.0, got 0"),
        ("data.eval_crop=1.5", "data.eval_crop: want at most 1.0, got 1.5"),
        ("optimizer.momentum=1.0", "optimizer.momentum: want less than 1.0, got 1.0"),
        ("train.epochs=many", "train.epochs: want a whole number, got 'many'"),
        ("train.epochs=1.5", "train.epochs: want a whole number, got 1.5"),
        ("train.epochs=true", "train.epochs: want a whole number, got True"),
        ("train.epochs='10'", "train.epochs: want a whole number without quotes, got '10'"),
        ("encoder.pretrained=yes", "encoder.pretrained: want true or false, got 'yes'"),
        ("encoder.pretrained=1", "encoder.pretrained: want true or false, got 1"),
        ("data.source=3", "data.source: want text in quotes, got 3"),
        ("views.policy=3", "views.policy: want a name or a table, got 3"),
        ("views.policy=['flip']", "views.policy: want a name or a table, got ['flip']"),
        ("optimizer.lr=nan", "optimizer.lr: want a finite number, got nan"),
        ("optimizer.lr=inf", "optimizer.lr: want a finite number, got inf"),
        ("optimizer.lr=1e38", "optimizer.lr: want at most 1e+30, got 1e+38"),
        ("classifier.lr=1e38", "classifier.lr: want at most 1e+30, got 1e+38"),
        ("method.temperature=inf", "method.temperature: want a finite number, got inf"),
        (
            "train.precision=fp16",
            "train.precision: want one of 'auto', 'float32', 'bf16' or 'measure', got 'fp16'",
        ),
        (
            "evaluate.probes=['mlp']",
            'evaluate.probes: no evaluator "mlp"; want some of linear, knn, few_label, or'
            " MODULE:CLASS of yours",
        ),
        (
            "evaluate.probes=['linear', 'kn']",
            'evaluate.probes: no evaluator "kn" (did you mean "knn"?)',
        ),
        (
            "evaluate.probes=3",
            "evaluate.probes: want a list of names, such as --set evaluate.probes=[linear,knn],"
            " got 3",
        ),
        (
            "evaluate.probes=[linear,3]",
            "evaluate.probes: want a list of names, such as --set evaluate.probes=[linear,knn],"
            " got ['linear', 3]",
        ),
        ("encoder.mean=[0.5]", MEAN.format("[0.5]")),
        ("encoder.mean=0.5,0.5", MEAN.format("[0.5, 0.5]")),
        ("encoder.mean=0.5,0.5,0.5,0.5", MEAN.format("[0.5, 0.5, 0.5, 0.5]")),
        ("encoder.mean=0.5,0.5,gray", MEAN.format("[0.5, 0.5, 'gray']")),
        ("encoder.mean=true", MEAN.format("True")),
        ("encoder.mean=[true, 0.5, 0.5]", MEAN.format("[True, 0.5, 0.5]")),
        (
            "schedule.milestones=half",
            "schedule.milestones: want a list of numbers, such as"
            " --set schedule.milestones=[0.6,0.75,0.9], got ['half']",
        ),
        (
            "schedule.milestones=[]",
            (
                "schedule.milestones: want a list of numbers, such as"
                " --set schedule.milestones=[0.6,0.75,0.9], got []"
            ),
        ),
        (
            "evaluate.settings={few_label={labels_per_class=0}}",
            "evaluate.settings.few_label.labels_per_class: want at least 1, got 0",
        ),
        (
            "evaluate.settings={few_label={label_per_class=5}}",
            'evaluate.settings.few_label.label_per_class: unknown key (did you mean "labels_per_class"?)',
        ),
        (
            "evaluate.settings={few_labels={}}",
            'evaluate.settings: no evaluator "few_labels" (did you mean "few_label"?)',
        ),
        ("method.name=['a']", "method.name: want one of simclr, supcon, cross_entropy, got ['a']"),
        ("method.name=3", "method.name: want one of simclr, supcon, cross_entropy, got 3"),
    ],
)
def test_a_value_out_of_bounds_or_of_the_wrong_type_is_named_beside_what_was_wanted(
    override: str, problem: str
) -> None:
    assert problems_of(override) == (problem,)


def test_a_key_of_an_earlier_version_is_an_error_that_names_the_new_one() -> None:
    for old, new in (
        ("normalise_representation=true", "normalize_representation"),
        ("centre_momentum=0.9", "center_momentum"),
        ("grey=0.5", "gray"),
        ("colour=drop", "color"),
        ("batch_norm=true", "projector_batch_norm"),
    ):
        key = old.partition("=")[0]
        known = replace(KNOWN, methods={"simclr": lambda key=new: model_with(key)})
        sections = merge(SMALLEST, [parse_override(f"method.{old}")])
        with pytest.raises(ConfigError) as caught:
            build_config(sections, known)
        assert caught.value.problems == (f"method.{key}: is called method.{new} now",)
    assert problems_of("data.balanced=true") == ("data.balanced: is called data.sampling now",)
    assert len(KEYS) == 6
    unknown = problems_of("method.grey=0.5")
    assert unknown[0].startswith("method.grey: unknown key")


def model_with(key: str) -> type[MethodConfig]:
    return create_model("OneKey", __base__=MethodConfig, **{key: (float | bool | str, 0.5)})


@pytest.mark.parametrize("typed", ["[0.5,0.5,0.25]", "0.5,0.5,0.25", "[.5, .5, .25]", ".5, .5,.25"])
def test_a_list_is_typed_with_brackets_or_without(typed: str) -> None:
    config = configured(
        f"encoder.mean={typed}",
        f"encoder.std={typed}",
        "schedule.decay=steps",
        "schedule.milestones=0.5",
        "evaluate.probes=knn",
    )
    assert config.encoder.mean == config.encoder.std == (0.5, 0.5, 0.25)
    assert config.schedule.milestones == (0.5,)
    assert config.evaluate.probes == ("knn",)
    steps = configured("schedule.decay=steps", "schedule.milestones=.25,.5")
    assert steps.schedule.milestones == (0.25, 0.5)
    both = [configured(f"evaluate.probes={typed}") for typed in ("[linear,knn]", "linear, knn")]
    assert [config.evaluate.probes for config in both] == [("linear", "knn")] * 2


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        (
            ("train.epochs=5", "schedule.warmup_epochs=5.5"),
            "schedule.warmup_epochs: want at most 5 (train.epochs), got 5.5",
        ),
        (("encoder.mean=[0.5, 0.5, 0.5]",), "encoder.mean: want mean and std together, got one"),
        (("encoder.std=[0.5, 0.5, 0.5]",), "encoder.mean: want mean and std together, got one"),
        (
            ("encoder.mean=[0.5, 0.5, 0.5]", "encoder.std=[0.5, 0, 0.5]"),
            "encoder.std: want more than 0 in each channel, got [0.5, 0.0, 0.5]",
        ),
        (
            ("encoder.name=resnet18", "encoder.pretrained=true", "encoder.weights=w.safetensors"),
            "encoder.weights: want either weights or pretrained, got both",
        ),
        (
            ("encoder.name=conv4", "encoder.pretrained=true"),
            "encoder.pretrained: want the name of a timm encoder beside it, got none with weights",
        ),
        (
            ("encoder.pretrained=true",),
            "encoder.pretrained: want the name of a timm encoder beside it, got none with weights",
        ),
        (("views.count=1",), "views.count: want at least 2 (simclr), got 1"),
        (
            ("optimizer.name=sgd", "optimizer.trust_ratio=sum_of_norms"),
            'optimizer.trust_ratio: want optimizer.name = "lars" beside it, got sgd',
        ),
        (
            ("optimizer.trust_coefficient=0.02",),
            (
                'optimizer.trust_coefficient: want optimizer.name = "lars" beside it, got the'
                " method's own"
            ),
        ),
        (
            ("optimizer.name=lars", "optimizer.epsilon=1"),
            'optimizer.epsilon: want optimizer.name = "rmsprop" beside it, got lars',
        ),
        (
            ("schedule.milestones=[0.6]",),
            'schedule.milestones: want schedule.decay = "steps" beside it, got the method\'s own',
        ),
        (
            ("schedule.factor=0.1",),
            'schedule.factor: want schedule.decay = "steps" beside it, got the method\'s own',
        ),
        (
            ("schedule.decay=steps", "schedule.floor=0.1"),
            'schedule.floor: want schedule.decay = "cosine" beside it, got steps',
        ),
        (
            ("schedule.decay=steps", "schedule.milestones=[0.8, 0.6]"),
            "schedule.milestones: want rising parts of the run, between 0 and 1, got [0.8, 0.6]",
        ),
        (
            ("schedule.decay=steps", "schedule.milestones=[120, 160]"),
            (
                "schedule.milestones: want rising parts of the run, between 0 and 1, got [120.0,"
                " 160.0]"
            ),
        ),
        (
            ("schedule.decay=steps", "schedule.milestones=[0.1, 0.8]", "schedule.warmup_epochs=11"),
            (
                "schedule.milestones: want none before the end of the warm-up (11 of 100 epochs),"
                " got 0.1"
            ),
        ),
    ],
)
def test_settings_that_contradict_each_other_are_an_error(
    overrides: tuple[str, ...], problem: str
) -> None:
    assert problems_of(*overrides) == (problem,)


@pytest.mark.parametrize(
    "overrides",
    [
        ("train.epochs=5", "schedule.warmup_epochs=5"),
        ("encoder.mean=[0.5, 0.5, 0.5]", "encoder.std=[0.5, 0.5, 1]"),
        ("encoder.name=resnet18", "encoder.pretrained=true"),
        ("encoder.name=resnet18.a1_in1k",),
        ("encoder.name=conv4",),
        ("method.name=supcon", "views.count=1"),
        ("optimizer.lr=1",),
        ("optimizer.name=lars", "optimizer.trust_clip=false", "optimizer.trust_coefficient=0.02"),
        ("optimizer.name=rmsprop", "optimizer.epsilon=1"),
        (
            "schedule.decay=steps",
            "schedule.milestones=[0.1, 0.8]",
            "schedule.factor=0.1",
            "schedule.warmup_epochs=10",
        ),
        ("schedule.decay=cosine", "schedule.floor=0.001"),
        ("evaluate.probes=[]",),
    ],
)
def test_settings_that_agree_pass(overrides: tuple[str, ...]) -> None:
    configured(*overrides)


def test_a_method_of_the_wrong_type_hides_no_other_problem() -> None:
    found = problems_of("method.name=['simclr']", "views.count=1", "train.epochs=0")
    assert [problem.split(":")[0] for problem in found] == ["train.epochs", "method.name"]


@pytest.mark.parametrize(
    ("setting", "want"),
    [("train.epochs=0", "at least 1, got 0"), ("optimizer.lr=0", "more than 0.0, got 0")],
)
def test_no_epochs_or_no_rate_is_answered_with_the_run_that_trains_nothing(
    setting: str, want: str
) -> None:
    (found,) = problems_of("method.name=simclr", setting)
    key = setting.partition("=")[0]
    assert found == f"{key}: want {want}; --method frozen measures given weights and trains nothing"
    (other,) = problems_of("method.name=simclr", setting.replace("=0", "=-1"))
    assert "frozen" not in other


def test_too_few_views_are_reported_beside_a_fault_of_the_method() -> None:
    found = problems_of("views.count=1", "method.temperature=0")
    assert [problem.split(":")[0] for problem in found] == ["method.temperature", "views.count"]


def test_the_list_of_encoders_is_not_made_where_none_is_named() -> None:
    def slow(*_name: str) -> NoReturn:
        raise AssertionError("asked")

    build_config(
        SMALLEST, Known(KNOWN.methods, KNOWN.fewest_views, KNOWN.policy_problems, slow, slow, slow)
    )


def test_an_unknown_key_hides_nothing_that_is_wrong_with_the_policy() -> None:
    assert problems_of("views.cuont=2", "views.policy=zzz") == (
        'views.cuont: unknown key (did you mean "count"?)',
        'views.policy: no policy "zzz"',
    )


def test_a_missing_source_and_a_missing_method_are_both_reported() -> None:
    assert problems_of(base={}) == (
        "data.source: is missing",
        "method.name: is missing; want one of simclr, supcon, cross_entropy",
    )


@pytest.mark.parametrize(
    "text", ["epochs=10", "train.epochs", "train.=10", ".epochs=10", "=", "", "train"]
)
def test_a_malformed_override_says_what_one_looks_like(text: str) -> None:
    with pytest.raises(
        ConfigError, match=r"want SECTION\.KEY=VALUE, for example train\.epochs=10"
    ) as caught:
        parse_override(text)
    assert str(caught.value).startswith("--set: 1 problem")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a.b=10", 10),
        ("a.b=0.5", 0.5),
        ("a.b=1e-3", 1e-3),
        ("a.b=.003", 0.003),
        ("a.b=-5.", -5.0),
        ("a.b=true", True),
        ("a.b=[1, 2]", [1, 2]),
        ('a.b="10"', "10"),
        ("a.b=adamw", "adamw"),
        ("a.b= adamw ", "adamw"),
        ("a.b=/data/x=y", "/data/x=y"),
        ("a.b=True", "True"),
        ("a.b=", ""),
        (" a.b =3", 3),
        ("a.b=1\nvalue2 = 2", 1),
    ],
)
def test_the_value_of_an_override_is_toml_or_a_number_else_a_plain_string(
    text: str, value: Any
) -> None:
    section, key, parsed = parse_override(text)
    assert (section, key, parsed) == ("a", "b", value)
    assert type(parsed) is type(value)


def test_overrides_win_in_their_order_and_change_nothing_in_place() -> None:
    base: Sections = {"train": {"epochs": 3, "seed": 1}}
    merged = merge(base, [("train", "epochs", 5), ("optimizer", "lr", 1.0), ("train", "epochs", 7)])
    assert merged == {"train": {"epochs": 7, "seed": 1}, "optimizer": {"lr": 1.0}}
    assert base == {"train": {"epochs": 3, "seed": 1}}


def test_a_file_is_read_as_sections(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('[data]\nsource = "digits"\n[method]\nname = "simclr"\n', encoding="utf-8")
    assert read_toml(path) == SMALLEST


def test_keys_outside_a_section_are_an_error_that_lists_them_all(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text(
        "epochs = 3\nseed = 1\n[train]\nepochs = 3\n[[views]]\ncount = 2\n", encoding="utf-8"
    )
    with pytest.raises(ConfigError) as caught:
        read_toml(path)
    assert caught.value.problems == tuple(
        f"{key}: stands outside a section such as [train]" for key in ("epochs", "seed", "views")
    )
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"[train\na = 3", b"epochs 3", b"[train]\na = 1\na = 2", b"\xff\xfe"]
)
def test_a_file_that_is_not_toml_is_an_error_with_its_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "run.toml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"run\.toml: is not TOML"):
        read_toml(path)


def test_a_missing_file_and_a_folder_are_errors_with_their_name(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(UserError, match="cannot be read") as caught:
            read_toml(path)
        assert str(path) in str(caught.value)


def test_every_section_is_frozen_and_so_is_the_run() -> None:
    config = configured()
    assert len(SECTIONS) == 8
    for part in (config, config.method, *(getattr(config, name) for name in SECTIONS)):
        field = next(iter(type(part).model_fields), None)
        assert field is not None
        with pytest.raises(ValidationError, match="frozen"):
            setattr(part, field, None)


def test_every_field_of_every_section_is_documented() -> None:
    fields = [
        (name, key, field)
        for name, model in SECTIONS.items()
        for key, field in model.model_fields.items()
    ]
    assert len(fields) == 68
    assert [f"{name}.{key}" for name, key, field in fields if not field.description] == []


def test_a_configuration_survives_the_way_through_a_toml_file() -> None:
    config = configured(
        "method.temperature=0.07",
        "method.projection_dim=64",
        "encoder.mean=[0.1, 0.2, 0.3]",
        "encoder.std=[0.5, 0.5, 1]",
        "evaluate.probes=['knn']",
        "views.policy=digits",
        "optimizer.name=adamw",
        "optimizer.lr=3e-4",
        "train.gradient_clip=1",
        "schedule.warmup_epochs=2",
    )
    sections = config.sections()
    assert sections["method"] == {"name": "simclr", "temperature": 0.07, "projection_dim": 64}
    again = build_config(tomllib.loads(tomli_w.dumps(sections)), KNOWN)
    assert again == config
    assert isinstance(again.method, NearConfig)
    assert again.sections() == sections


def test_sections_leave_out_what_has_no_value() -> None:
    sections = configured().sections()
    assert "lr" not in sections["optimizer"]
    assert set(sections) == {*SECTIONS, "method"} - {"classifier"}
    assert configured("classifier.kind=linear").sections()["classifier"].items() >= {
        ("kind", "linear")
    }


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        (
            ("classifier.epochs=3",),
            "classifier.epochs: wants classifier.kind (linear or mlp) beside it, got none",
        ),
        (
            ("classifier.lr=0.1",),
            "classifier.lr: wants classifier.kind (linear or mlp) beside it, got none",
        ),
        (
            ("classifier.kind=linear", "classifier.hidden_dim=9"),
            "classifier.hidden_dim: wants classifier.kind=mlp beside it, got linear",
        ),
        (
            ("classifier.kind=linear", "classifier.dropout=0.1"),
            "classifier.dropout: wants classifier.kind=mlp beside it, got linear",
        ),
        (
            ("classifier.kind=mlp", "classifier.encoder_lr=0.1"),
            "classifier.encoder_lr: wants classifier.encoder=finetuned beside it, got frozen",
        ),
        (("classifier.kind=mlp", "classifier.policy=zzz"), 'classifier.policy: no policy "zzz"'),
        (
            ("classifier.kind=mlp", "classifier.policy=evaluation", "classifier.encoder=finetuned"),
            "classifier.policy: want views, such as basic, for finetuned, got evaluation",
        ),
        (
            ("classifier.kind=mlp", "classifier.init=probe"),
            "classifier.init: want random for classifier.kind=mlp, got probe, which is linear",
        ),
        *(
            (
                (f"classifier.{key}",),
                f"classifier.{key.partition('=')[0]}: wants classifier.kind (linear or mlp) beside"
                " it, got none",
            )
            for key in ("optimizer=adam", "decay=constant", "momentum=0.8", "standardize=false")
        ),
        (
            ("classifier.kind=mlp", "classifier.optimizer=adagrad"),
            "classifier.optimizer: want one of 'sgd', 'adamw', 'adam', 'lars' or 'rmsprop', got"
            " 'adagrad'",
        ),
        (("classifier.kind=deep",), "classifier.kind: want one of 'linear' or 'mlp', got 'deep'"),
        (
            ("classifier.kind=mlp", "classifier.dropout=1.0"),
            "classifier.dropout: want less than 1.0, got 1.0",
        ),
    ],
)
def test_a_classifier_stage_s_keys_must_be_read(overrides: tuple[str, ...], problem: str) -> None:
    assert problems_of(*overrides) == (problem,)


def test_a_classifier_stage_survives_the_way_through_a_toml_file() -> None:
    config = configured(
        "classifier.kind=mlp", "classifier.encoder=finetuned", "classifier.encoder_lr=1e-4"
    )
    again = build_config(tomllib.loads(tomli_w.dumps(config.sections())), KNOWN)
    assert again == config


def test_nearest_is_silent_where_no_name_is_near() -> None:
    assert nearest("epoch", ["epochs", "seed"]) == ' (did you mean "epochs"?)'
    assert nearest("zzz", ["epochs", "seed"]) == ""


def test_configuration_and_errors_are_imported_without_torch() -> None:
    code = (
        "import sys; import nearfar.config.loading, nearfar.core.errors; "
        "print([name for name in ('torch', 'numpy', 'timm', 'sklearn') if name in sys.modules])"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert shown.stdout.strip() == "[]"
