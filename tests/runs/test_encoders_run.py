"""What can be asked of an encoder, through the command: where it starts, what of it learns, what its
representation is.
"""

import json
import tomllib

import pytest
import torch
from safetensors.torch import load_file, save_file

import nearfar

SHORT = ("--smoke", "--set", "evaluate.probes=knn", "--set", "evaluate.selections=0")


def state(run):
    return load_file(run / "encoder" / "model.safetensors")


def test_a_run_given_as_weights_brings_its_network_size_and_normalization(
    tiny_run, tmp_path, nearfar_command
):
    out = tmp_path / "run"
    ended = nearfar_command(
        "train", "digits", "--method", "frozen", "--set", f"encoder.weights={tiny_run}", "--out", out,
        *SHORT,
    )  # fmt: skip
    assert ended.code == 0, ended.err
    assert f"encoder    conv4 (own stem, {tiny_run})" in ended.err
    given, found = state(tiny_run), state(out)
    assert all(torch.equal(given[name], found[name]) for name in given)
    about = [json.loads((run / "encoder/config.json").read_text()) for run in (tiny_run, out)]
    assert about[0] == about[1]
    assert tomllib.loads((out / "run.toml").read_text())["encoder"]["name"] == "conv4"


def test_weights_of_another_network_than_is_asked_for_are_refused(
    tiny_run, tmp_path, nearfar_command
):
    ended = nearfar_command(
        "train", "digits", "--encoder", "resnet8", "--set", f"encoder.weights={tiny_run}",
        "--out", tmp_path / "run",
    )  # fmt: skip
    assert ended.code == 2
    assert f"encoder.name: want conv4, of which {tiny_run} is, got resnet8" in ended.err
    assert not (tmp_path / "run").exists()


def test_frozen_stages_leave_training_as_they_came_and_the_others_do_not(
    tiny_run, tmp_path, nearfar_command
):
    out = tmp_path / "run"
    ended = nearfar_command(
        "train", "digits", "--method", "supcon", "--set", f"encoder.weights={tiny_run}",
        "--set", "encoder.frozen=stages 0-1", "--out", out, *SHORT,
    )  # fmt: skip
    assert ended.code == 0, ended.err
    assert "M parameters (0.00142 M frozen)" in ended.err
    assert tomllib.loads((out / "run.toml").read_text())["encoder"]["frozen"] == 2
    given, found = state(tiny_run), state(out)
    same = {name for name in given if torch.equal(given[name], found[name])}
    assert same == {name for name in given if int(name.split(".")[0]) < 8}


def test_frozen_batch_norm_keeps_the_given_statistics_while_the_weights_learn(
    tiny_run, tmp_path, nearfar_command
):
    out = tmp_path / "run"
    ended = nearfar_command(
        "train", "digits", "--method", "supcon", "--set", f"encoder.weights={tiny_run}",
        "--set", "encoder.frozen_batch_norm=true", "--out", out, *SHORT,
    )  # fmt: skip
    assert ended.code == 0, ended.err
    assert "M parameters, BatchNorm frozen, " in ended.err
    assert tomllib.loads((out / "run.toml").read_text())["encoder"]["frozen_batch_norm"] is True
    given, found = state(tiny_run), state(out)
    same = {name for name in given if torch.equal(given[name], found[name])}
    assert same == {name for name in given if "running" in name or "tracked" in name}


def test_what_of_a_checkpoint_did_not_match_is_listed_in_the_plan_and_in_the_results(
    tiny_run, tmp_path, nearfar_command
):
    content = {f"m.{name}": value for name, value in state(tiny_run).items()}
    del content["m.1.weight"], content["m.1.bias"]
    content["m.head.weight"] = torch.zeros(3)
    save_file(content, tmp_path / "w.safetensors")
    ended = nearfar_command(
        "train", "digits", "--method", "frozen", "--out", tmp_path / "run", *SHORT,
        "--set", f"encoder.weights={tmp_path / 'w.safetensors'}", "--encoder", "conv4",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    assert "weights    new, because the given weights have none: 1.bias, 1.weight\n" in ended.err
    assert "weights    not used of the given weights: m.head.weight\n" in ended.err
    encoder = json.loads((tmp_path / "run" / "results.json").read_text())["encoder"]
    assert encoder["not_in_weights"] == ["1.bias", "1.weight"]
    assert encoder["weights_unused"] == ["m.head.weight"]


@pytest.mark.parametrize(
    ("name", "asked", "width"),
    [
        ("mobilenetv3_small_050", {"encoder.outputs": 12}, 12),
        ("resnet8", {}, 64),
        ("convnext_atto", {"encoder.gradient_checkpointing": "true", "encoder.drop_path": 0.1}, 320),
    ],
)  # fmt: skip
def test_a_run_is_loaded_as_its_encoder_was_built(
    name, asked, width, photographs, tmp_path, nearfar_command
):
    out = tmp_path / "run"
    settings = [part for key, value in asked.items() for part in ("--set", f"{key}={value}")]
    ended = nearfar_command(
        "train", photographs, "--method", "supcon", "--encoder", name, "--out", out, *settings, *SHORT,
        "--batch-size", "8", "--size", "32",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    model = nearfar.load(out)
    assert model.embed([photographs / "leaf" / "00.png"]).shape == (1, width)
    found = model.encoder.net.state_dict()
    assert all(torch.equal(value, found[key]) for key, value in state(out).items())
