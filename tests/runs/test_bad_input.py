"""Bad input: a clear message, exit 2, no traceback, nothing half-written."""

import json
import os
import shutil
import tarfile
from pathlib import Path

import pytest
from PIL import Image

import nearfar
from nearfar.methods import METHODS, method_class

QUICK = ("--epochs", "1", "--encoder", "conv4")


def pictures(folder: Path, n: int, color: int = 90) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(n):
        Image.new("RGB", (20, 20), (color, number, 0)).save(folder / f"{number:03d}.png")


@pytest.fixture
def refused(tmp_path, nearfar_command):
    """Calls train, checks code, traceback and that no run folder is left; gives the message."""

    def check(*arguments, code: int = 2) -> str:
        out = tmp_path / "run"
        ended = nearfar_command("train", *arguments, "--out", out)
        assert ended.code == code, ended.err
        assert "Traceback" not in ended.err
        assert not out.exists()
        return ended.err

    return check


def test_a_missing_path_suggests_its_neighbor(tmp_path, refused):
    pictures(tmp_path / "flowers" / "rose", 3)
    assert "flowers" in refused(tmp_path / "flower")


def test_an_empty_folder(tmp_path, refused):
    (tmp_path / "empty").mkdir()
    assert "empty" in refused(tmp_path / "empty")


def test_one_class_for_a_method_that_needs_labels(tmp_path, refused):
    pictures(tmp_path / "data" / "rose", 20)
    message = refused(tmp_path / "data", "--method", "supcon", *QUICK)
    assert "at least 2 classes" in message
    assert "rose" in message


def test_labels_where_there_are_none(tmp_path, refused):
    pictures(tmp_path / "data" / "unlabeled", 20)
    assert "supcon needs labels, and data has none" in refused(
        tmp_path / "data", "--method", "supcon", *QUICK
    )


def test_every_problem_of_the_configuration_at_once(refused):
    message = refused(
        "digits",
        "--method",
        "supcon",
        "--epochs",
        "10",
        "--set",
        "method.temprature=0.2",
        "--set",
        "method.projection_dim=0",
        "--set",
        "schedule.warmup_epochs=20",
    )
    assert "configuration: 3 problems" in message
    assert 'method.temprature: unknown key (did you mean "temperature"?)' in message
    assert "method.projection_dim: want more than 0, got 0" in message
    assert "schedule.warmup_epochs: want at most 10 (train.epochs), got 20" in message


@pytest.mark.parametrize(
    ("option", "wrong", "right"),
    [
        ("--method", "supcom", "supcon"),
        ("--encoder", "resnet19", "resnet18"),
        ("--set", "view.policy=simclr", "views"),
    ],
)
def test_unknown_names_get_the_nearest(refused, option, wrong, right):
    message = refused("digits", option, wrong)
    assert f'did you mean "{right}"?' in message


@pytest.mark.parametrize(
    ("method", "settings", "problem"),
    [
        ("relational", ("views.count=1",), "views.count: want at least 2 (relational), got 1"),
        ("relational", ("method.block_size=1",), "method.block_size: want at least 2, got 1"),
        (
            "n_pairs",
            ("views.count=1", "method.form=pairs"),
            "views.count: want at least 2 (n_pairs), got 1",
        ),
        (
            "n_pairs",
            ("method.length_weight=0.1",),
            'method.length_weight: want 0 with form="soft_labels", got 0.1',
        ),
        (
            "triplet",
            ("method.soft_margin=true",),
            'method.soft_margin: want mining="hard" or "semi_hard" with it',
        ),
        (
            "triplet",
            ("method.mining=soft",),
            "method.mining: want one of 'all', 'semi_hard' or 'hard', got 'soft'",
        ),
        (
            "moco",
            ("method.queue_size=100",),
            "method.queue_size: want at least 128 (train.batch_size), got 100",
        ),
        (
            "nnclr",
            ("method.queue_size=16", "train.batch_size=32"),
            "method.queue_size: want at least 32",
        ),
        (
            "supcon_moco",
            ("method.queue_size=31", "train.batch_size=32"),
            "method.queue_size: want at least 32",
        ),
        (
            "swav",
            ("method.queue_size=31", "train.batch_size=32"),
            "method.queue_size: want at least 32",
        ),
        ("moco", ("method.queue_size=0",), "method.queue_size: want at least 1, got 0"),
        ("supcon_moco", ("method.momentum=1.1",), "method.momentum: want at most 1.0, got 1.1"),
        ("byol", ("method.momentum=-0.1",), "method.momentum: want at least 0.0, got -0.1"),
        (
            "swav",
            ("method.prototypes=1078",),
            "method.prototypes: want at most 1077 (the training images), got 1078",
        ),
        (
            "dino",
            ("method.prototypes=1078",),
            "method.prototypes: want at most 1077 (the training images), got 1078",
        ),
        ("dino", ("method.prototypes=1",), "method.prototypes: want at least 2, got 1"),
        ("simsiam", ("views.count=1",), "views.count: want at least 2 (simsiam), got 1"),
        ("vicreg", ("train.batch_size=1",), "train.batch_size: want at least 2, got 1"),
        (
            "byol",
            ("optimizer.trust_clip=true",),
            'optimizer.trust_clip: want optimizer.name = "lars" beside it',
        ),
        ("simclr", ("optimizer.momentum=1",), "optimizer.momentum: want less than 1.0, got 1"),
        (
            "byol",
            ("method.projector=none",),
            'method.projector: want "linear", "relu" or "mlp" (byol\'s predictor answers in the'
            ' width of a projection), got "none"',
        ),
        (
            "simclr",
            ("method.projector_layers=0",),
            "method.projector_layers: want at least 2, got 0",
        ),
        (
            "supcon",
            ("method.positives_cap=3",),
            "method.positives_cap: want a multiple of 2 (the views of each image), got 3",
        ),
        (
            "supcon",
            ("method.positives_cap=4", "views.count=3"),
            "method.positives_cap: want a multiple of 3 (the views of each image), got 4",
        ),
        (
            "supcon",
            ("method.positives_cap=6", "views.policy=swav"),
            "method.positives_cap: want a multiple of 8 (the views of each image), got 6",
        ),
    ],
)
def test_settings_of_a_method_that_cannot_be(refused, method, settings, problem):
    message = refused(
        "digits", "--method", method, *(part for text in settings for part in ("--set", text))
    )
    assert "configuration: 1 problem" in message
    assert problem in message


def test_another_source_than_the_data_argument_is_refused(refused, tmp_path):
    assert "data.source: is the command's first argument" in refused(
        "digits", "--set", "data.source=elsewhere"
    )
    with pytest.raises(nearfar.NearfarError, match=r"data\.source"):
        nearfar.train("digits", out=tmp_path / "run", quiet=True, **{"data.source": "elsewhere"})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--set", "train.seed=5"),
            "train.seed: a comparison trains the seeds 0 ... n-1; leave it out, and give n by",
        ),
        (
            ("--set", "method.name=simclr"),
            "method.name: a comparison's methods are given by --methods",
        ),
        (("--methods", "all,supcom"), 'no method "supcom" (did you mean "supcon"?)'),
        (
            ("--methods", ","),
            f"--methods: want at least one of {', '.join(METHODS)}, or all; got none",
        ),
        (("--methods", ""), "--methods: want at least one of"),
        (("--seeds", "0"), "--seeds: want at least 1, got 0"),
    ],
)
def test_what_a_comparison_would_pass_over_is_refused(tmp_path, nearfar_command, options, message):
    ended = nearfar_command("compare", "digits", "--smoke", "--out", tmp_path / "out", *options)
    assert ended.code == 2, ended.err
    assert message in ended.err
    assert "configuration: 1 problem" in ended.err
    assert not (tmp_path / "out").exists()


def test_a_batch_larger_than_the_data(refused):
    message = refused("digits", "--batch-size", "5000")
    assert "train.batch_size: want at most 1077" in message


def test_as_many_prototypes_as_images_and_a_queue_as_long_as_the_batch_are_taken(tmp_path):
    for method, settings in [
        ("swav", {"method.prototypes": 1077, "method.queue_size": 0}),
        ("moco", {"method.queue_size": 128}),
    ]:
        run = nearfar.train(
            "digits", method=method, epochs=1, quiet=True, out=tmp_path / method, **settings
        )
        assert run.results["complete"]


def test_a_batch_larger_than_what_can_be_read(tmp_path, refused):
    """Of 150 training images one turns out unreadable: that is known only after decoding."""
    for split, n in (("train", 75), ("val", 5), ("test", 5)):
        for color, name in enumerate(("rose", "tulip")):
            pictures(tmp_path / "data" / split / name, n, color=90 * color)
    (tmp_path / "data" / "train" / "rose" / "007.png").write_bytes(b"torn")
    message = refused(tmp_path / "data", "--batch-size", "150", *QUICK)
    assert (
        "train.batch_size: want at most 149 (the training images that can be read), got 150"
        in message
    )


def test_a_class_left_with_a_single_image_that_can_be_read(tmp_path, refused, nearfar_command):
    for split, n in (("train", 98), ("val", 1), ("test", 1)):
        pictures(tmp_path / "data" / split / "rose", n)
    pictures(tmp_path / "data" / "train" / "tulip", 2, color=200)
    (tmp_path / "data" / "train" / "tulip" / "001.png").write_bytes(b"torn")
    want = "want at least 2 training images of each class, got fewer of tulip"
    assert want in refused(tmp_path / "data", "--batch-size", "10", *QUICK)
    found = json.loads(nearfar_command("check", tmp_path / "data", "--json").out)["findings"]
    assert (found[0]["code"], found[0]["severity"]) == ("refused", "error")
    assert want in found[0]["text"]
    fitting = found[-1]["text"].removeprefix("methods that fit: ").split(", ")
    assert set(fitting) <= {name for name in METHODS if not method_class(name).needs_labels}
    assert "simclr" in fitting


@pytest.mark.parametrize(
    ("method", "why"),
    [("supcon", "would train on 5 images without one"), ("simclr", "simclr learns without labels")],
)
def test_balanced_batches_where_they_cannot_be(tmp_path, refused, method, why):
    pictures(tmp_path / "data" / "rose", 10)
    pictures(tmp_path / "data" / "tulip", 10, color=200)
    pictures(tmp_path / "data" / "unlabeled", 5, color=30)
    message = refused(
        tmp_path / "data", "--method", method, "--set", "data.sampling=balanced", *QUICK
    )
    assert "data.sampling: " in message
    assert why in message
    assert "leave data.sampling out" in message


def test_chunks_of_one_row_for_batch_norm(refused):
    message = refused("digits", "--set", "train.micro_batch_size=1", *QUICK)
    assert "train.micro_batch_size: want at least 2 with conv4 (BatchNorm" in message


def test_a_class_with_a_single_sample_is_named(tmp_path, refused):
    pictures(tmp_path / "data" / "rose", 20)
    pictures(tmp_path / "data" / "tulip", 20, color=150)
    pictures(tmp_path / "data" / "orchid", 1, color=200)
    assert "orchid" in refused(tmp_path / "data", *QUICK)


def test_too_many_unreadable_files_are_named(tmp_path, refused):
    for name in ("rose", "tulip"):
        pictures(tmp_path / "data" / name, 20, color=len(name))
    Image.effect_noise((64, 64), 50).save(tmp_path / "data" / "rose" / "cut.jpg")
    whole = (tmp_path / "data" / "rose" / "cut.jpg").read_bytes()
    (tmp_path / "data" / "rose" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "data" / "tulip" / "text.png").write_text("no picture")
    message = refused(tmp_path / "data", *QUICK)
    assert "cut.jpg" in message
    assert "text.png" in message


@pytest.mark.parametrize("kind", ["climbs", "link"])
def test_an_archive_that_leaves_its_folder_is_refused(tmp_path, refused, kind):
    pictures(tmp_path / "rose", 1)
    with tarfile.open(tmp_path / "data.tar", "w") as archive:
        archive.add(
            tmp_path / "rose" / "000.png", "../../evil.png" if kind == "climbs" else "rose/000.png"
        )
        if kind == "link":
            member = tarfile.TarInfo("rose/link.png")
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(member)
    assert ("evil.png" if kind == "climbs" else "link.png") in refused(
        tmp_path / "data.tar", *QUICK
    )


def test_an_output_folder_that_cannot_be_written(tmp_path, nearfar_command, monkeypatch):
    (tmp_path / "file").write_text("")
    assert nearfar_command("train", "digits", "--out", tmp_path / "file").code == 2
    monkeypatch.setattr(os, "access", lambda *_: False)
    ended = nearfar_command("train", "digits", "--out", tmp_path / "run")
    assert ended.code == 2
    assert "cannot be written" in ended.err


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("encoder/config.json", "missing"),
        ("encoder/config.json", "cut"),
        ("encoder/model.safetensors", "missing"),
        ("encoder/model.safetensors", "cut"),
        ("classifier.safetensors", "cut"),
        ("classifier.safetensors", "missing"),
        ("encoder/config.json", "wrong"),
    ],
)
def test_a_run_folder_with_a_file_missing_or_cut_short(
    tiny_run, tmp_path, nearfar_command, name, damage
):
    import shutil

    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    path = run / name
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        content = json.loads(path.read_text())
        content["nearfar"]["input_size"] = "big"
        path.write_text(json.dumps(content))
    pictures(tmp_path / "look", 1)
    ended = nearfar_command("predict", run, tmp_path / "look")
    assert ended.code == 2, ended.err
    assert name in ended.err
    assert "Traceback" not in ended.err


def test_no_run_folder_at_all(tmp_path, nearfar_command):
    for command in (
        ("probe", tmp_path / "no"),
        ("report", tmp_path / "no"),
        ("predict", tmp_path / "no", tmp_path),
    ):
        ended = nearfar_command(*command)
        assert ended.code == 2, ended.err
        assert str(tmp_path / "no") in ended.err


def test_predict_says_which_run_was_meant(tiny_run, tmp_path, nearfar_command):
    pictures(tmp_path / "look", 1)
    inside = tmp_path / "comparison" / "supcon" / "seed0"
    shutil.copytree(tiny_run, inside)
    for arguments, said in (
        (
            (tiny_run / "encoder/model.safetensors", tmp_path / "look"),
            f"give the run's folder, {tiny_run}",
        ),
        ((tmp_path / "comparison", tmp_path / "look"), f"give one of its runs, such as {inside}"),
        ((tmp_path / "look", tiny_run), "the run comes first, then images"),
    ):
        ended = nearfar_command("predict", *arguments)
        assert ended.code == 2, ended.err
        assert said in ended.err
        assert "--force" not in ended.err


def test_wrong_usage_is_exit_2_without_a_traceback(nearfar_command):
    for arguments in (("train",), ("train", "digits", "--epoch", "3"), ("trian", "digits")):
        ended = nearfar_command(*arguments)
        assert ended.code == 2
        assert ended.err


def test_an_unforeseen_error_is_ours(nearfar_command, monkeypatch):
    from nearfar.api import lists

    monkeypatch.setattr(lists, "METHODS", {"broken": "nowhere:Nothing"})
    ended = nearfar_command("methods")
    assert ended.code == 1
    assert "please report" in ended.err


def test_debug_shows_the_traceback(nearfar_command):
    ended = nearfar_command("train", "nothing-here", "--debug")
    assert ended.code == 2
    assert "Traceback" in ended.err
