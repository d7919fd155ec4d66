"""Optimizers and schedules of a run: what the plan says, what run.toml holds, and what moves."""

import json
import tomllib

import pytest
import torch

QUICK = (
    "--epochs",
    "2",
    "--batch-size",
    "128",
    "--set",
    "evaluate.selections=0",
    "--set",
    'evaluate.probes=["knn"]',
    "--set",
    "evaluate.map_rows=20",
)
LARS = {"trust_coefficient": 0.001, "trust_ratio": "norm_of_sum", "trust_clip": False}
CASES = [
    (
        "simclr",
        ("optimizer.name=lars",),
        "lars, lr 0.15 (0.3 per 256 images, usual for lars)",
        False,
        LARS,
    ),
    (
        "simclr",
        ("optimizer.name=rmsprop",),
        "rmsprop, lr 0.025 (0.05 per 256 images, usual",
        True,
        {"epsilon": 1e-3},
    ),
    ("simclr", ("optimizer.name=adamw",), "adamw, lr 0.001 (usual)", True, {}),
    (
        "byol",
        (),
        "sgd, lr 0.25 (0.5 per 256 images), weight decay 0.0001, none on norms and biases",
        False,
        {},
    ),
    (
        "byol",
        ("optimizer.decay_norms_and_biases=true",),
        "weight decay 0.0001; cosine after",
        True,
        {},
    ),
]


@pytest.mark.parametrize(("method", "settings", "plan", "decayed", "own"), CASES)
def test_the_plan_and_run_toml_say_what_was_chosen(
    tmp_path, nearfar_command, method, settings, plan, decayed, own
):
    options = [part for text in settings for part in ("--set", text)]
    ended = nearfar_command(
        "train", "digits", "--method", method, "--out", tmp_path / "run", *QUICK, *options
    )
    assert ended.code == 0, ended.err
    assert plan in ended.err
    chosen = tomllib.loads((tmp_path / "run" / "run.toml").read_text())["optimizer"]
    assert chosen["decay_norms_and_biases"] is decayed
    assert {key: value for key, value in chosen.items() if key in {*LARS, "epsilon"}} == own
    saved = torch.load(tmp_path / "run" / "checkpoint" / "last.pt", weights_only=True)["optimizer"][
        "param_groups"
    ]
    assert sorted(group["weight_decay"] for group in saved) == (
        [0.0001] if decayed else [0.0, 0.0001]
    )
    theirs = {"epsilon": "eps"}  # timm's name for ours
    own = {theirs.get(key, key): value for key, value in own.items()}
    assert all(own.items() <= group.items() for group in saved)


def test_steps_as_moco_v1_has_them_and_a_predictor_at_a_constant_rate(tmp_path, nearfar_command):
    out = tmp_path / "run"
    ended = nearfar_command(
        "train",
        "digits",
        "--method",
        "simsiam",
        "--out",
        out,
        *QUICK,
        "--epochs",
        "5",
        "--set",
        "schedule.decay=steps",
        "--set",
        "schedule.milestones=[0.6, 0.8]",
        "--set",
        "schedule.factor=0.1",
        "--set",
        "schedule.warmup_epochs=0",
        "--set",
        "optimizer.lr=0.1",
    )
    assert ended.code == 0, ended.err
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [row["lr"] for row in rows] == pytest.approx([0.1, 0.1, 0.1, 0.01, 0.001])
    saved = torch.load(out / "checkpoint" / "last.pt", weights_only=True)["optimizer"][
        "param_groups"
    ]
    assert {(group["constant_rate"], round(group["lr"], 9)) for group in saved} == {
        (False, 0.001),
        (True, 0.1),
    }
    assert tomllib.loads((out / "run.toml").read_text())["schedule"] == {
        "warmup_epochs": 0.0,
        "decay": "steps",
        "milestones": [0.6, 0.8],
        "factor": 0.1,
    }


@pytest.mark.parametrize(
    ("method", "asked", "decay"),
    [
        ("relational", None, "constant"),
        ("relational", "cosine", "cosine"),
        ("simclr", None, "cosine"),
    ],
)
def test_relational_keeps_its_rate_unless_asked_and_others_let_it_fall(
    tmp_path, nearfar_command, method, asked, decay
):
    more = ("--set", f"schedule.decay={asked}") if asked else ()
    ended = nearfar_command(
        "train", "digits", "--method", method, "--out", tmp_path / "run", *QUICK, *more
    )
    assert ended.code == 0, ended.err
    assert f"{decay} after 0.2 warm-up epochs" in ended.err
    lines = (tmp_path / "run/metrics.jsonl").read_text(encoding="utf-8").splitlines()
    rates = [row["lr"] for row in map(json.loads, lines) if "lr" in row]
    assert (rates[-1] == max(rates)) == (decay == "constant"), rates
