"""Folders of a few pictures a class, or of one large and one small class, by command."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import nearfar
from nearfar.config.models import MethodConfig
from nearfar.core.errors import UserError
from nearfar.core.types import DataFacts
from nearfar.experiment.optimizing import make_optimizer
from nearfar.experiment.setup import OptimizerSetup
from nearfar.methods.base import Method
from nearfar.nn.building import own_encoder

SECOND = """
import sys
import nearfar.experiment.run as run
from nearfar.cli.main import main

def still_working(*_anything):
    print("working", flush=True)
    sys.stdin.read()

run.measure_untrained = still_working
main()
"""
WARNS = """
import logging
import warnings
import nearfar.evaluate.knn as knn
from nearfar.cli.main import main

was = knn.KNN.run

def warned(self, context):
    warnings.warn("from a library", UserWarning)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("from a library that insists", UserWarning)
    logging.getLogger("library").warning("from its log")
    return was(self, context)

knn.KNN.run = warned
main()
"""
QUICK = ("--encoder", "conv4", "--set", "data.size=16", "--set", "evaluate.probes=knn", "--quiet")


def draw(folder, **counts):
    random = np.random.default_rng(0)
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            image = random.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(image).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture
def imbalanced(tmp_path):
    return draw(tmp_path / "data", dandelion=100, rose=8)


@pytest.mark.parametrize("settings", [("triplet",), ("n_pairs", "--set", "method.form=pairs")])
def test_batches_without_a_pair_are_left_out_and_the_results_say_how_many(
    imbalanced, tmp_path, nearfar_command, settings
):
    out = tmp_path / "run"
    asked = ("train", imbalanced, "--method", *settings, "--batch-size", "4", *QUICK[:-1])
    ended = nearfar_command(*asked, "--epochs", "2", "--out", out)
    assert ended.code == 0, ended.err
    results = json.loads((out / "results.json").read_text())
    (said,) = [text for text in results["diagnosis"] if "left out" in text]
    assert ended.err.count("steps were left out") == 1
    left, steps = said.split(" steps")[0].split(" of ")
    assert 0 < int(left) < int(steps) == results["cost"]["steps"]
    assert "data.sampling=balanced" in said and "train.batch_size" in said


def test_one_view_of_few_images_of_many_classes(tmp_path, nearfar_command):
    folder = draw(tmp_path / "data", **{f"class{k}": 4 for k in range(12)})
    asked = ("train", folder, "--method", "supcon", "--set", "views.count=1", "--epochs", "1")
    ended = nearfar_command(*asked, "--batch-size", "4", "--out", tmp_path / "a", *QUICK)
    assert ended.code == 0, ended.err
    diagnosis = json.loads((tmp_path / "a" / "results.json").read_text())["diagnosis"]
    assert any("left out" in text for text in diagnosis)
    refused = nearfar_command(*asked, "--batch-size", "2", "--out", tmp_path / "b", *QUICK)
    assert refused.code == 2
    assert "two images of a class, which" in refused.err and "views.count=2" in refused.err
    assert not (tmp_path / "b").exists()


def test_a_comparison_balances_what_can_be_balanced_and_says_for_whom_not(
    imbalanced, tmp_path, nearfar_command
):
    asked = ("compare", imbalanced, "--seeds", "1", "--epochs", "1", "--set", "data.sampling=sqrt")
    both = ("--methods", "cross_entropy,simclr", "--out", tmp_path / "both")
    ended = nearfar_command(*asked, *both, *QUICK[:-1])
    assert ended.code == 0, ended.err
    assert ended.err.count("data.sampling is left out for simclr: learns without labels") == 1
    assert "without data.sampling: simclr: learns" in ended.out
    for method, sampling in (("cross_entropy", "sqrt"), ("simclr", "uniform")):
        config = (tmp_path / "both" / method / "seed0" / "run.toml").read_text()
        assert f'sampling = "{sampling}"' in config
    none = nearfar_command(*asked, "--methods", "simclr", "--out", tmp_path / "none", *QUICK)
    assert none.code == 2 and "leave data.sampling out" in none.err


@pytest.mark.parametrize("command", [("train", "--method"), ("compare", "--seeds=1", "--methods")])
def test_a_second_process_on_a_run_folder_is_refused_while_the_first_works(
    imbalanced, tmp_path, nearfar_command, command
):
    name, *of = command
    asked = (name, imbalanced, *of, "simclr", "--epochs", "1", "--out", tmp_path / "run", *QUICK)
    first = subprocess.Popen(
        [sys.executable, "-c", SECOND, *map(str, asked)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert first.stdout.readline() == "working\n"
        for how in ("--resume", "--force"):
            refused = nearfar_command(*asked, how)
            assert refused.code == 2
            assert f"{tmp_path / 'run'} is in use: another nearfar" in refused.err
            assert str(first.pid) in refused.err
    finally:
        first.kill()
        first.wait()
        first.stdin.close()
        first.stdout.close()
    ended = nearfar_command(*asked, "--resume")
    assert ended.code == 0, ended.err
    assert not (tmp_path / "run" / ".lock").exists()


class Frozen(nn.Sequential):
    """An encoder in which nothing learns: its weights want no gradient, or it has none."""

    def __init__(self, *, weights: bool) -> None:
        convolution = [nn.Conv2d(3, 8, 3)] if weights else []
        super().__init__(*convolution, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.requires_grad_(False)


class Headless(Method):
    Config = MethodConfig


@pytest.mark.parametrize("weights", [True, False])
def test_an_encoder_in_which_nothing_learns(imbalanced, tmp_path, capsys, weights):
    quick = {"data.size": 16, "evaluate.probes": ["knn"], "encoder": Frozen(weights=weights)}
    floor = nearfar.train(imbalanced, method="frozen", out=tmp_path / "floor", quiet=True, **quick)
    capsys.readouterr()
    headed = nearfar.train(
        imbalanced, method="cross_entropy", epochs=1, out=tmp_path / "head", **quick,
        **{"train.precision": "measure"},
    )  # fmt: skip
    assert "only cross_entropy's own layers are trained" in capsys.readouterr().err

    def knn(run):
        return {m["value"] for m in run.results["measurements"] if m["name"] == "knn.top1"}

    assert knn(floor) == knn(headed) != set()
    with pytest.raises(UserError, match=r"Frozen has no parameter .* Headless has none of its own"):
        make_optimizer(
            OptimizerSetup("sgd", 0.1, None, 0.0, 0.9, True, {}),
            Headless(
                own_encoder(Frozen(weights=weights), torch.zeros(1, 3, 16, 16)),
                MethodConfig(),
                DataFacts("tiny", 16, (), (), 8),
            ),
        )


@pytest.mark.parametrize("quiet", [True, False])
def test_no_library_is_heard_where_it_is_quiet(imbalanced, tmp_path, quiet):
    asked = ("train", imbalanced, "--epochs", "1", "--out", tmp_path / "run", *QUICK[:-1])
    asked += ("--quiet",) if quiet else ()
    ended = subprocess.run(
        [sys.executable, "-c", WARNS, *map(str, asked)], capture_output=True, text=True, check=True
    )
    for heard in ("from a library", "from a library that insists", "from its log"):
        assert (heard in ended.stderr) != quiet
    assert not quiet or ended.stderr == ""
