"""View policies through the command line: a user's own trains, is kept and can be probed; a wrong
one is refused.
"""

import json
import tomllib

import numpy as np
import pytest
from PIL import Image

import nearfar

OWN = """
[[views.policy.kinds]]
operations = [
  { op = "crop", area = [0.6, 1] },
  { op = "rotate", degrees = [5, 15], either_sign = true, probability = 0.8 },
  { op = "one_of", times = 2, among = [
    [{ op = "brightness", factor = [0.5, 1.5] }], [{ op = "noise", sigma = [0, 0.1] }], [],
  ] },
  { op = "cutout", side = [0.2, 0.4] },
]
outside = "black"

[[views.policy.kinds]]
operations = [{ op = "crop" }, { op = "posterize", bits = [2, 6] }]
"""
ONE_KIND = (
    '{operations = [{op = "crop", area = [0.7, 1.0]}, {op = "contrast", factor = [0.6, 1.4]}],'
    ' outside = "black"}'
)
QUICK = ("--epochs", "1", "--batch-size", "128", "--set", "evaluate.selections=0")


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(OWN, encoding="utf-8")
    return path


def test_a_policy_in_a_file_trains_stands_in_run_toml_resumes_and_can_be_probed(
    tmp_path, nearfar_command, own
):
    out = tmp_path / "run"
    ended = nearfar_command(
        "train", "digits", "--method", "simclr", "--recipe", own, "--out", out, *QUICK
    )
    assert ended.code == 0, ended.err
    assert "views      custom x 2; batch 128" in ended.err
    stored = tomllib.loads((out / "run.toml").read_text(encoding="utf-8"))
    assert stored["views"]["policy"] == tomllib.loads(OWN)["views"]["policy"]
    assert (
        json.loads((out / "results.json").read_text(encoding="utf-8"))["views"]["policy"]
        == "custom"
    )
    again = nearfar_command(
        "train",
        "digits",
        "--method",
        "simclr",
        "--recipe",
        out / "run.toml",
        "--out",
        tmp_path / "again",
        *QUICK,
    )
    assert again.code == 0, again.err
    losses = [
        json.loads((folder / "metrics.jsonl").read_text().splitlines()[0])["loss"]
        for folder in (out, tmp_path / "again")
    ]
    assert losses[0] == losses[1]
    resumed = nearfar_command(
        "train",
        "digits",
        "--method",
        "simclr",
        "--recipe",
        out / "run.toml",
        "--out",
        out,
        "--resume",
        *QUICK,
    )
    assert resumed.code == 0, resumed.err
    assert "is complete already" in resumed.err
    probed = nearfar_command("probe", out, "--data", "digits")
    assert probed.code == 0, probed.err
    assert nearfar.load(out).embed([np.zeros((8, 8), np.uint8)]).shape == (1, 64)


def test_a_policy_by_set_and_by_keyword_is_the_same(tmp_path, nearfar_command):
    out = tmp_path / "run"
    ended = nearfar_command(
        "train",
        "digits",
        "--method",
        "simclr",
        "--out",
        out,
        *QUICK,
        "--set",
        f"views.policy={ONE_KIND}",
    )
    assert ended.code == 0, ended.err
    policy = tomllib.loads(f"policy = {ONE_KIND}")["policy"]
    settings = {"train.batch_size": 128, "evaluate.selections": 0}
    run = nearfar.train(
        "digits",
        method="simclr",
        out=out,
        epochs=1,
        resume=True,
        quiet=True,
        **settings,
        **{"views.policy": policy},
    )
    assert run.path == out  # complete already: every setting is the same
    with pytest.raises(nearfar.NearfarError, match=r"views\.policy"):
        nearfar.train(
            "digits", method="simclr", out=out, epochs=1, resume=True, quiet=True, **settings
        )


@pytest.mark.parametrize(
    ("policy", "problem"),
    [
        ("simclrr", 'views.policy: no policy "simclrr" (did you mean "simclr"?)'),
        (
            '{operations = [{op = "flipp"}]}',
            'views.policy.operations[0].op: no operation "flipp" (did you mean "flip"?)',
        ),
        (
            '{operations = [{op = "flip", probability = 1.5}]}',
            "views.policy.operations[0].probability: want at most 1, got 1.5",
        ),
        (
            '{operations = [{op = "flip"}, {op = "crop"}]}',
            "views.policy.operations: want crop first, and once, got it later",
        ),
        (
            '{operations = [{op = "crop", area = [1, 0.2]}]}',
            "views.policy.operations[0].area: want (low, high), got (1.0, 0.2)",
        ),
        ("{kinds = []}", "views.policy.kinds: want at least 1 item, got none"),
        (
            "{kinds = [{count = 2}]}",
            "views.policy.kinds: want one without a count, which views.count fills",
        ),
        ("3", "views.policy"),
        ("true", "views.policy"),
        ("[1]", "views.policy"),
        (
            "swav",
            (
                "views.policy: makes views of 4 px of data.size=8; conv4: cannot take images of 4 x"
                " 4 px"
            ),
        ),
        (
            "patches",
            (
                "views.policy: makes views of 2 px of data.size=8; conv4: cannot take images of 2 x"
                " 2 px"
            ),
        ),
    ],
)
def test_a_wrong_policy_is_refused_by_its_path(tmp_path, nearfar_command, policy, problem):
    ended = nearfar_command(
        "train",
        "digits",
        "--method",
        "simclr",
        "--out",
        tmp_path / "run",
        "--set",
        f"views.policy={policy}",
    )
    assert ended.code == 2, ended.err
    assert problem in ended.err
    assert "Traceback" not in ended.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("method", ["jigsaw", "relative_position", "counting"])
def test_views_too_small_to_be_cut_up_are_refused(tmp_path, nearfar_command, method):
    out = ("--out", tmp_path / "run")
    ended = nearfar_command("train", "digits", "--method", method, *out)
    assert ended.code == 2, ended.err
    assert f"{method} needs images of at least 32 px, these have 8" in ended.err
    ended = nearfar_command(
        "train",
        "digits",
        "--method",
        method,
        *out,
        "--set",
        "data.size=32",
        "--set",
        "views.policy=patches",
    )
    assert ended.code == 2, ended.err
    assert (
        f"views.policy: makes views of 8 px of data.size=32; {method} needs at least 32"
        in ended.err
    )
    assert not (tmp_path / "run").exists()


def test_wrong_policies_of_a_file_come_beside_its_other_problems(tmp_path, nearfar_command):
    path = tmp_path / "own.toml"
    path.write_text(
        OWN.replace('"posterize", bits = [2, 6]', '"posterise", bits = [2, 6]').replace("0.8", "8")
        + "\n[train]\nepoch = 3\n",
        encoding="utf-8",
    )
    ended = nearfar_command(
        "train", "digits", "--method", "simclr", "--recipe", path, "--out", tmp_path / "run"
    )
    assert ended.code == 2, ended.err
    for line in (
        "configuration: 3 problems",
        "views.policy.kinds[0].operations[1].probability: want at most 1, got 8",
        (
            'views.policy.kinds[1].operations[1].op: no operation "posterise" (did you mean'
            ' "posterize"?)'
        ),
        'train.epoch: unknown key (did you mean "epochs"?)',
    ):
        assert line in ended.err
    assert "Traceback" not in ended.err


def test_a_mean_outside_the_range_of_pixels_is_refused(tmp_path, nearfar_command):
    ended = nearfar_command(
        "train",
        "digits",
        "--out",
        tmp_path / "run",
        "--set",
        "encoder.mean=[0.5, 2, 0.5]",
        "--set",
        "encoder.std=[0.5, 0.5, 0.5]",
    )
    assert ended.code == 2, ended.err
    assert "encoder.mean: want values in [0, 1], got [0.5, 2.0, 0.5]" in ended.err


def test_small_crops_of_swav_train_where_the_encoder_can_take_them(
    tmp_path, nearfar_command, photographs
):
    ended = nearfar_command(
        "train",
        photographs,
        "--method",
        "simclr",
        "--encoder",
        "conv4",
        "--out",
        tmp_path / "run",
        "--epochs",
        "1",
        "--batch-size",
        "8",
        "--set",
        "views.policy=swav",
        "--set",
        "data.size=40",
    )
    assert ended.code == 0, ended.err
    assert "swav x 2 + 6 of 16 px" in ended.err


def test_hostile_pictures_of_every_kind_train_or_are_left_out_by_name(tmp_path, nearfar_command):
    """Gray, transparent, deep, flat, CMYK, turned, 1 x 1, 1 x 10,000 and 20,000 px wide, in two
    classes.
    """
    random = np.random.default_rng(0)
    rgb = Image.fromarray(random.integers(0, 256, (30, 40, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    for shift, label in enumerate(("rose", "tulip")):
        folder = tmp_path / "data" / label
        folder.mkdir(parents=True)
        for number, mode in enumerate(("RGB", "L", "RGBA", "LA", "1", "P", "CMYK")):
            shade = rgb.point(lambda v, n=20 * number + shift: (v + n) % 256)
            shade.convert(mode).save(folder / f"{mode}.{'tiff' if mode == 'CMYK' else 'png'}")
        deep = random.integers(0, 65536, (20, 20)).astype(np.uint16)
        Image.fromarray(deep).save(folder / "deep.png")
        rgb.point(lambda v, n=shift: (v + n) % 256).save(folder / "turned.jpg", exif=exif)
        for name, (height, width) in {
            "dot": (1, 1),
            "post": (10_000, 1),
            "road": (2, 20_000),
        }.items():
            Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(
                folder / f"{name}.png"
            )
        for number in range(20):
            Image.fromarray(random.integers(0, 256, (24, 24, 3), dtype=np.uint8)).save(
                folder / f"{number}.png"
            )
    out = tmp_path / "run"
    ended = nearfar_command(
        "train",
        tmp_path / "data",
        "--method",
        "simclr",
        "--encoder",
        "conv4",
        "--out",
        out,
        "--epochs",
        "1",
        "--batch-size",
        "16",
        "--set",
        "data.size=16",
        "--set",
        "views.policy=stacked_rand_augment",
    )
    assert ended.code == 0, ended.err
    assert "64" in ended.err
    assert np.isfinite(json.loads((out / "metrics.jsonl").read_text().splitlines()[0])["loss"])
