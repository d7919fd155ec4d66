"""`train.precision`: by rule, or measured once for all runs of a comparison; run.toml names it."""

import time
import tomllib
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import nearfar

QUICK = {"smoke": True, "quiet": True, "data.size": 8}


class Slow(nn.Module):
    """Sleeps in one precision, so that the other is faster on every machine."""

    in_bf16 = True

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3 * 8 * 8, 4)

    def forward(self, rows: Tensor) -> Tensor:
        if self.training and torch.is_autocast_enabled("cpu") == self.in_bf16:
            time.sleep(0.02)
        return self.layer(rows.flatten(1))


class SlowInFloat32(Slow):
    in_bf16 = False


def precision_of(run: Path) -> str:
    return tomllib.loads((run / "run.toml").read_text())["train"]["precision"]


@pytest.mark.parametrize(("module", "faster"), [(Slow, "float32"), (SlowInFloat32, "bf16")])
def test_measured_is_what_is_faster_and_the_run_says_it(tmp_path, module, faster):
    measured = {"train.precision": "measure", "out": tmp_path / "run", **QUICK}
    run = nearfar.train("digits", method="cross_entropy", encoder=module(), **measured)
    assert precision_of(run.path) == faster
    assert run.results["train"]["precision"] == faster


def test_a_run_goes_on_in_the_precision_that_it_began_with(tmp_path):
    measured = {"train.precision": "measure", "out": tmp_path / "run", **QUICK}
    module = Slow()
    run = nearfar.train("digits", method="cross_entropy", encoder=module, **measured)
    (run.path / "results.json").unlink()
    module.in_bf16 = False
    again = nearfar.train("digits", method="cross_entropy", encoder=module, resume=True, **measured)
    assert precision_of(again.path) == again.results["train"]["precision"] == "float32"


def test_a_comparison_is_measured_once_and_has_one_precision(tmp_path, monkeypatch):
    counted = []
    real = nearfar.experiment.precision.seconds_a_step
    monkeypatch.setattr(
        "nearfar.experiment.precision.seconds_a_step",
        lambda *given: counted.append(1) or real(*given),
    )
    measured = {"train.precision": "measure", "out": tmp_path / "all", **QUICK}
    asked = {"methods": ["cross_entropy", "simclr"], "seeds": 2, "encoder": SlowInFloat32()}
    nearfar.compare("digits", **asked, **measured)
    runs = sorted((tmp_path / "all").glob("*/seed*"))
    assert len(runs) == 4
    assert {precision_of(run) for run in runs} == {"bf16"}
    for run in runs[:2]:
        (run / "results.json").unlink()
    asked["encoder"].in_bf16 = True
    nearfar.compare("digits", **asked, **measured, resume=True)
    assert {precision_of(run) for run in runs} == {"bf16"}
    assert len(counted) == 1


def test_what_was_measured_holds_where_a_budget_resolves_the_run_anew(tmp_path, monkeypatch):
    def seen(_request, _budget, _job, config, *_rest):
        raise KeyError(config.train.precision)

    monkeypatch.setattr("nearfar.api.train._lengthened", seen)
    measured = {"train.precision": "measure", "out": tmp_path / "run", "quiet": True}
    with pytest.raises(KeyError, match="bf16"):
        nearfar.train("digits", method="simclr", encoder=SlowInFloat32(), minutes=9, **measured)
