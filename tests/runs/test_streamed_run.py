"""Runs on data that are decoded anew in every epoch."""

import json
import tarfile

import numpy as np
import pytest
from PIL import Image

QUICK = ("--method", "supcon", "--encoder", "conv4", "--size", "16", "--batch-size", "16")
QUICK += ("--set", "evaluate.probes=[linear]")


def draw(folder, *, each=30):
    """Noise whose mean tells the classes apart."""
    for label, name in enumerate(("daisy", "rose")):
        (folder / name).mkdir(parents=True)
        for number in range(each):
            random = np.random.default_rng([label, number])
            noise = random.integers(90 * label, 90 * label + 160, (16, 20, 3), dtype=np.uint8)
            Image.fromarray(noise).save(folder / name / f"{number:03d}.png")
    return folder


def told(out):
    """What training and measuring came to, without seconds."""
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    results = json.loads((out / "results.json").read_text())
    losses = [(row["loss"], row["lr"]) for row in rows]
    return losses, [(m["name"], m["selection"], m["value"]) for m in results["measurements"]]


@pytest.fixture(scope="module")
def stored(tmp_path_factory, nearfar_session):
    """The photographs, and a run that stored them."""
    folder = draw(tmp_path_factory.mktemp("streams") / "photographs")
    out = folder.parent / "stored"
    ended = nearfar_session("train", folder, *QUICK, "--epochs", "3", "--out", out)
    assert ended.code == 0, ended.err
    return folder, out


def test_a_run_on_streamed_images_is_that_on_stored_ones(stored, tmp_path, nearfar_command):
    folder, out = stored
    streamed = ("--set", "data.stream=true", "--out", tmp_path / "run")
    ended = nearfar_command("train", folder, *QUICK, "--epochs", "3", *streamed)
    assert ended.code == 0, ended.err
    assert "decoded anew in every epoch" in ended.err
    assert told(tmp_path / "run") == told(out)
    assert (tmp_path / "run" / "report.html").exists()
    ended = nearfar_command("probe", tmp_path / "run", "--kind", "knn", "--json")
    assert ended.code == 0, ended.err


def test_a_run_on_shards_goes_on_where_it_stopped(stored, tmp_path, nearfar_command, monkeypatch):
    folder, _ = stored
    shards = tmp_path / "set"
    shards.mkdir()
    files = sorted(folder.rglob("*.png"))
    for number in range(4):
        with tarfile.open(shards / f"train-{number:02d}.tar", "w") as archive:
            for place, file in enumerate(files[number::4]):
                key = shards / f"{place:04d}"
                key.with_suffix(".cls").write_text(str(int(file.parent.name == "rose")))
                archive.add(file, f"{key.name}.png")
                archive.add(key.with_suffix(".cls"), f"{key.name}.cls")
                key.with_suffix(".cls").unlink()
    monkeypatch.setattr("nearfar.data.sampler.SHARDS_AT_ONCE", 1)
    streamed = (*QUICK, "--set", "data.stream=true", "--out")
    whole = nearfar_command("train", shards, *streamed, tmp_path / "whole", "--epochs", "3")
    assert whole.code == 0, whole.err

    from nearfar.training import loop

    clip, steps = loop.finite_norm, []

    def interrupted(norm):
        steps.append(norm)
        if len(steps) == 4:  # in the second epoch
            raise KeyboardInterrupt
        return clip(norm)

    monkeypatch.setattr(loop, "finite_norm", interrupted)
    broken = nearfar_command("train", shards, *streamed, tmp_path / "parts", "--epochs", "3")
    assert broken.code == 130, broken.err
    monkeypatch.setattr(loop, "finite_norm", clip)
    resumed = nearfar_command(
        "train", shards, *streamed, tmp_path / "parts", "--epochs", "3", "--resume"
    )
    assert resumed.code == 0, resumed.err
    assert told(tmp_path / "parts") == told(tmp_path / "whole")
