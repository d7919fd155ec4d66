"""One contract over the table of evaluators, and over one's own."""

from typing import get_args

import numpy as np
import pytest
import torch
from evaluate_clouds import context, stored_images
from torch import nn

from nearfar.core.errors import UserError
from nearfar.data.center import CenterSquare
from nearfar.data.samples import EvaluationView, ImageSamples
from nearfar.evaluate import EVALUATORS, choosable, evaluator_class, measured_by_default
from nearfar.evaluate.base import Context, Evaluator, EvaluatorConfig, Need, When
from nearfar.evaluate.classifier import Classifier, Trained
from nearfar.run_folder.records import Better, Unit

VIEW = EvaluationView(CenterSquare(8), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def full() -> Context:
    """A context with everything that an evaluator may need."""
    weight = np.eye(3, 5, dtype=np.float32)
    return context(
        images=ImageSamples(stored_images(), VIEW, torch.device("cpu")),
        head=nn.Linear(5, 3),
        classifier=Trained(Classifier(weight, np.zeros(3, np.float32)), None, "by hand", 0.0),
    )


def test_the_walk_sees_the_whole_table() -> None:
    assert len(EVALUATORS) == 6
    assert full().has == set(get_args(Need))


@pytest.mark.parametrize("name", list(EVALUATORS))
def test_an_evaluator_keeps_the_contract(name: str) -> None:
    kind = evaluator_class(name)
    assert kind.name == name
    assert kind.title
    assert kind.needs
    assert kind.needs <= set(get_args(Need))
    assert kind.when in get_args(When)
    assert issubclass(kind.Config, EvaluatorConfig)
    here = full()
    outcome = kind(kind.Config()).run(here)
    again = kind(kind.Config()).run(here)
    assert list(outcome.measurements) == list(again.measurements)
    names = [m.name for m in outcome.measurements]
    assert kind.main is None or kind.main in names
    assert set(outcome.also_shown) <= set(names)
    assert len(set(names)) == len(names) > 0
    for m in outcome.measurements:
        assert m.title
        assert m.unit in get_args(Unit)
        assert m.better in (*get_args(Better), None)
        assert m.protocol
        assert (m.split, m.selection, m.n) == ("test", "last", 80)
        if m.interval is not None:
            assert m.interval[0] <= m.value <= m.interval[1]


def test_names_of_measurements_are_each_one_evaluator_s() -> None:
    kinds = [evaluator_class(name) for name in EVALUATORS]
    names = [m.name for kind in kinds for m in kind(kind.Config()).run(full()).measurements]
    assert len(set(names)) == len(names) == 14


def test_what_may_be_chosen_is_what_is_not_there_anyway() -> None:
    assert choosable() == ["linear", "knn", "few_label", "retrieval"]
    assert measured_by_default() == choosable()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_module_here:Mine", "ModuleNotFoundError"),
        ("nearfar.evaluate.knn:Nothing", "AttributeError"),
        ("nearfar.evaluate.knn:knn_predict", "is not a subclass"),
        ("evaluate_faulty:Untitled", "has no title, main"),
        ("evaluate_faulty:Idle", "has no run"),
    ],
)
def test_an_evaluator_of_one_s_own_that_is_none_is_refused(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as refused:
        evaluator_class(name)
    assert str(refused.value).startswith("evaluate.probes: ")


def test_a_name_that_is_in_no_table_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        evaluator_class("mlp")


def test_an_evaluator_is_abstract_until_it_measures() -> None:
    with pytest.raises(TypeError):
        Evaluator(EvaluatorConfig())
