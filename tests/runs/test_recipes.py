"""`nearfar recipes`, `--recipe NAME|FILE`, `compare --recipes` and `--smoke`, as they are typed."""

import csv
import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
import timm
from PIL import Image

import nearfar
from nearfar.config.recipes import find_recipe, recipe_names

CLASSES = ("ash", "birch", "cedar")
SMALL = ("quick-cpu-supcon", "quick-cpu-swav", "quick-cpu-dino", "relational-stl10-conv4")


def networks() -> dict[tuple[str, int], str]:
    """Each network at each side of its views, and the first recipe that has it."""
    found: dict[tuple[str, int], str] = {}
    for name in recipe_names():
        sections = find_recipe(name).sections
        found.setdefault((sections["encoder"]["name"], min(64, sections["data"]["size"])), name)
    return found


WITH_ITS_NETWORK = {*networks().values(), *SMALL}
RECIPES = [
    pytest.param(name, marks=[] if name in SMALL else [pytest.mark.ci]) for name in recipe_names()
]


def draw(path: Path, side: int, seed: int) -> None:
    """A picture like no other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def kaggle(root: Path) -> Path:
    """train.csv beside train_images/, numbers for classes, and images without a label."""
    rows = [(f"{number}.jpg", number % len(CLASSES)) for number in range(24)]
    for name, _ in rows:
        draw(root / "train_images" / name, 80, int(name.removesuffix(".jpg")))
    draw(root / "test_images" / "x.jpg", 80, 99)
    with (root / "train.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image_id", "label"), *rows])
    names = {str(number): name for number, name in enumerate(CLASSES)}
    (root / "label_num_to_disease_map.json").write_text(json.dumps(names))
    return root


def folders(root: Path, side: int, *, splits: tuple[str, ...] = (), unlabeled: int = 0) -> Path:
    for seed in range(24):
        split = splits[seed % len(splits)] if splits else ""
        draw(root / split / CLASSES[seed // 8] / f"{seed}.png", side, seed)
    for seed in range(unlabeled):
        draw(root / "unlabeled" / f"{seed}.png", side, 100 + seed)
    return root


def layout(name: str, root: Path) -> Path:
    """A made folder such as the recipe is for."""
    size = find_recipe(name).sections["data"]["size"]
    if "cassava" in name:
        return kaggle(root)
    if "stl10" in name:
        return folders(root, 96, unlabeled=12)
    return folders(root, 80, splits=("train", "val")) if size > 64 else folders(root, 32)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_runs_shrunk_on_data_of_its_layout(name, tmp_path, nearfar_command):
    """Of a network that several have only the first trains it, the others conv4: a second each."""
    data, out = layout(name, tmp_path / "data"), tmp_path / "run"
    network = () if name in WITH_ITS_NETWORK else ("--encoder", "conv4")
    ended = nearfar_command("train", data, "--recipe", name, "--smoke", "--out", out, *network)
    assert ended.code == 0, ended.err
    results = json.loads((out / "results.json").read_text())
    recipe, train = find_recipe(name), results["train"]
    assert (results["recipe"], results["method"]) == (name, recipe.method)
    assert (train["epochs"], train["steps_per_epoch"], results["cost"]["steps"]) == (1, 2, 2)
    assert train["batch_size"] <= 8
    assert results["encoder"]["size"] <= 64
    if (stage := recipe.sections.get("classifier")) is not None:
        assert results["classifier"]["epochs"] == 1
        assert results["classifier"]["kind"] == stage["kind"]
    said = f"new weights for {name} instead of those that would be downloaded"
    assert (said in ended.err) == bool(recipe.sections["encoder"].get("pretrained"))


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(set(recipe_names()) - WITH_ITS_NETWORK))
def test_every_recipe_runs_shrunk_with_its_network(name, tmp_path, nearfar_command):
    data, out = layout(name, tmp_path / "data"), tmp_path / "run"
    ended = nearfar_command("train", data, "--recipe", name, "--smoke", "--out", out)
    assert ended.code == 0, ended.err


def test_the_walk_over_networks_sees_all():
    assert {"resnet50", "resnet200", "vit_base_patch16_224", "conv4"} <= {n for n, _ in networks()}
    assert len(WITH_ITS_NETWORK) >= 10


def test_recipes_are_listed_with_what_to_type_and_what_to_expect(nearfar_command):
    rows = json.loads(nearfar_command("recipes", "--json").out)
    assert [row["name"] for row in rows] == recipe_names()
    assert {"name", "source", "command", "expected"} <= set(rows[0])
    ended = nearfar_command("recipes", "--search", "supcon-cifar10")
    assert ended.out.startswith("supcon-cifar10\n    Khosla et al. 2020")
    assert "    nearfar train cifar10 --recipe supcon-cifar10\n    expected: 96.0 %" in ended.out


def test_a_name_that_no_recipe_has_gets_the_nearest(nearfar_command):
    for command in (("train", "digits", "--recipe"), ("compare", "digits", "--recipes")):
        ended = nearfar_command(*command, "supcon-cifar11")
        assert ended.code == 2
        assert 'no recipe "supcon-cifar11" (did you mean "supcon-cifar10' in ended.err
        assert "Traceback" not in ended.err


def test_what_is_wrong_in_a_recipe_says_file_and_line(tmp_path, nearfar_command, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text(
        '[method]\nname = "simclr"\ntemprature = 0.1\n\n[train]\nbatch_size = 5000\nepochs = 0\n'
    )
    ended = nearfar_command("train", "digits", "--recipe", "mine.toml", "--set", "train.epochs=-1")
    assert ended.code == 2
    assert "mine.toml:3: method.temprature: unknown key" in ended.err
    assert "\n  train.epochs: want at least 1, got -1" in ended.err  # it was typed
    Path("mine.toml").write_text('method = {name = "simclr"}\ntrain = {batch_size = 5000}\n')
    ended = nearfar_command("train", "digits", "--recipe", "mine.toml")
    assert ended.code == 2
    assert "nearfar: mine.toml:2: train.batch_size: want at most 1077" in ended.err
    ended = nearfar_command("compare", "digits", "--recipes", "mine.toml,quick-cpu-simclr")
    assert "mine.toml:2: train.batch_size: want at most 1077" in ended.err


def test_recipes_stand_side_by_side_under_their_names(tmp_path, nearfar_command):
    """Of one method too: the folders, the table and the report tell them apart."""
    (tmp_path / "warm.toml").write_text(
        'method = {name = "simclr", temperature = 0.5}\ntrain = {epochs = 2, batch_size = 64}\n'
        "encoder = {name = \"conv4\"}\nevaluate = {probes = ['knn']}\n"
    )
    (tmp_path / "cold.toml").write_text(
        'method = {name = "simclr", temperature = 0.1}\ntrain = {epochs = 1, batch_size = 64}\n'
        "encoder = {name = \"conv4\"}\nevaluate = {probes = ['knn']}\n"
    )
    both, out = f"{tmp_path}/warm.toml,{tmp_path}/cold.toml", tmp_path / "out"
    command = ("compare", "digits", "--recipes", both, "--seeds", "2", "--out", out)
    ended = nearfar_command(*command)
    assert ended.code == 0, ended.err
    assert "2 epochs (warm), 1 epoch (cold)" in ended.err
    found = json.loads((out / "compare.json").read_text())
    assert found["methods"] == ["warm", "cold"]
    assert found["runs"] == ["warm/seed0", "cold/seed0", "warm/seed1", "cold/seed1"]
    assert {row["method"] for row in found["table"]} == {"untrained", "warm", "cold"}
    assert [(pair["a"], pair["b"]) for pair in found["comparisons"]] == [
        ("warm", "cold"),
        ("warm", "untrained"),
        ("cold", "untrained"),
    ]
    for label, temperature, epochs in (("warm", 0.5, 2), ("cold", 0.1, 1)):
        results = json.loads((out / label / "seed1" / "results.json").read_text())
        assert (results["recipe"], results["method"]) == (label, "simclr")
        assert results["train"]["epochs"] == epochs
        config = (out / label / "seed1" / "run.toml").read_text()
        assert f"temperature = {temperature}" in config
        assert "recipe" not in config
    page = (out / "report.html").read_text()
    assert '<th scope="row">warm</th>' in page
    assert "simclr (warm) and simclr (cold)" in page
    assert "2 epochs (warm), 1 epoch (cold)" in page
    again = nearfar_command(*command, "--resume")
    assert again.code == 0, again.err
    assert json.loads((out / "compare.json").read_text())["table"] == found["table"]


def test_each_gain_is_over_the_recipe_s_own_start(tmp_path):
    """Encoders may differ: then what stood before training is called so."""
    for encoder in ("conv4", "resnet18"):
        (tmp_path / f"{encoder}.toml").write_text(
            'method = {name = "cross_entropy"}\ntrain = {epochs = 1, steps_per_epoch = 2}\n'
            f'data = {{size = 8}}\nencoder = {{name = "{encoder}"}}\n'
        )
    table = nearfar.compare(
        "digits",
        recipes=[tmp_path / "conv4.toml", tmp_path / "resnet18.toml"],
        seeds=1,
        out=tmp_path / "out",
        quiet=True,
        **{"evaluate.probes": ["knn"], "train.batch_size": 16},
    ).results
    assert table["floor"] == "before training"
    for pair in table["comparisons"][1:]:
        run = json.loads((tmp_path / "out" / pair["a"] / "seed0" / "results.json").read_text())
        before, after = (
            next(m["value"] for m in run[key] if m["name"] == pair["name"] and m["selection"] == of)
            for key, of in (("untrained", None), ("measurements", "last"))
        )
        assert pair["difference"] == pytest.approx(after - before)


def test_recipes_that_show_other_images_are_told_to_agree(nearfar_command):
    ended = nearfar_command(
        "compare", "digits", "--recipes", "quick-cpu-simclr,relational-stl10-conv4", "--smoke"
    )
    assert ended.code == 2
    assert "quick-cpu-simclr 32 px, relational-stl10-conv4 64 px" in ended.err
    assert "--size" in ended.err


def test_recipes_whose_weights_are_resampled_otherwise_say_so(tmp_path, nearfar_command):
    recipe = 'method = {name = "frozen"}\nencoder = {name = "%s", weights = "%s"}\n'
    for name, way in (("resnet10t", "bicubic"), ("resnet18", "bilinear")):
        net = timm.create_model(name)
        timm.models.save_for_hf(net, tmp_path / name, safe_serialization=True)
        config = json.loads((tmp_path / name / "config.json").read_text())
        config["pretrained_cfg"] |= {"interpolation": way, "crop_pct": 1.0}
        (tmp_path / name / "config.json").write_text(json.dumps(config))
        (tmp_path / f"{name}.toml").write_text(recipe % (name, tmp_path / name))
    both = ",".join(str(tmp_path / f"{name}.toml") for name in ("resnet10t", "resnet18"))
    ended = nearfar_command("compare", "digits", "--recipes", both, "--size", "32")
    assert ended.code == 2, ended.err
    assert "their resampling differs (resnet10t bicubic, resnet18 bilinear)" in ended.err
    assert "--size" not in ended.err


def test_recipes_of_other_labels_have_a_floor_of_their_own(tmp_path):
    for name, labels in (("few", "labels_per_class = 3"), ("all", "")):
        (tmp_path / f"{name}.toml").write_text(
            'method = {name = "cross_entropy"}\ntrain = {epochs = 1, steps_per_epoch = 2}\n'
            f'encoder = {{name = "conv4"}}\n[data]\n{labels}\n'
        )
    table = nearfar.compare(
        "digits", recipes=[tmp_path / "few.toml", tmp_path / "all.toml"], seeds=1,
        out=tmp_path / "out", quiet=True, **{"evaluate.probes": ["knn"]},
    ).results  # fmt: skip
    floors = {
        name: next(
            m["value"]
            for m in json.loads((tmp_path / "out" / name / "seed0/results.json").read_text())[
                "untrained"
            ]
            if m["name"] == "knn.top1"
        )
        for name in ("few", "all")
    }
    assert floors["few"] < floors["all"] - 0.1
    (line,) = [
        entry
        for entry in table["table"]
        if (entry["method"], entry["name"]) == ("untrained", "knn.top1")
    ]
    assert line["mean"] == pytest.approx(sum(floors.values()) / 2)


def test_a_folder_called_like_a_section_is_no_line_of_a_recipe(
    tmp_path, nearfar_command, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    ended = nearfar_command("train", "data", "--recipe", "quick-cpu-supcon")
    assert ended.code == 2
    assert "nearfar: data: no such file or folder" in ended.err


def test_a_recipe_with_probes_that_are_no_list_is_refused(tmp_path, nearfar_command):
    path = tmp_path / "mine.toml"
    path.write_text('method = {name = "simclr"}\n[evaluate]\nprobes = true\n')
    ended = nearfar_command("train", "digits", "--recipe", path)
    assert ended.code == 2
    assert f"{path}:3: evaluate.probes: want" in ended.err


@pytest.mark.parametrize(
    ("options", "batch"),
    [
        (("--method", "cross_entropy", "--labels-per-class", "1"), 2),
        (
            (
                "--method",
                "triplet",
                "--set",
                "data.sampling=m_per_class",
                "--set",
                "data.per_class=5",
            ),
            10,  # two classes
        ),
        (("--method", "simclr"), 8),
        (("--method", "simclr", "--batch-size", "4"), 4),
        (("--method", "simclr", "--batch-size", "64"), 8),
    ],
)
def test_a_smoke_run_has_batches_of_at_most_eight_and_fits_few_labels(
    options, batch, tmp_path, nearfar_command
):
    out = tmp_path / "run"
    few = ("--set", "evaluate.probes=[knn]", "--smoke", "--out", out)
    ended = nearfar_command("train", "digits", *options, *few)
    assert ended.code == 0, ended.err
    assert tomllib.loads((out / "run.toml").read_text())["train"]["batch_size"] == batch


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (("--recipes", "quick-cpu-simclr", "--methods", "byol"), "either --recipes or --methods"),
        (("--recipes", "quick-cpu-simclr", "--recipe", "ce-cifar10"), "either --recipes or --rec"),
        (("--recipe", "ce-cifar10"), "compare whole recipes by --recipes A,B"),
        (("--recipes", "quick-cpu-simclr,quick-cpu-simclr"), "two are called quick-cpu-simclr"),
        (("--recipes", "quick-cpu-simclr", "--set", "train.seed=3"), "train.seed: a comparison"),
    ],
)
def test_what_does_not_go_together_is_said(asked, told, nearfar_command):
    ended = nearfar_command("compare", "digits", *asked)
    assert ended.code == 2
    assert told in ended.err


def test_what_is_typed_goes_over_a_recipe(tmp_path):
    run = nearfar.train(
        "digits",
        recipe="quick-cpu-simclr",
        epochs=1,
        out=tmp_path / "run",
        quiet=True,
        **{"data.size": 8, "method.temperature": 0.4, "evaluate.probes": ["knn"]},
    )
    assert run.results["recipe"] == "quick-cpu-simclr"
    assert run.results["train"]["epochs"] == 1
    assert "temperature = 0.4" in (run.path / "run.toml").read_text()
    other = nearfar.train(
        "digits",
        recipe="quick-cpu-simclr",
        method="cross_entropy",
        out=tmp_path / "other",
        smoke=True,
        quiet=True,
    )
    assert "recipe" not in other.results
    assert other.results["method"] == "cross_entropy"


def test_forms_of_one_experiment_and_its_twin_are_set_side_by_side(tmp_path, nearfar_command):
    """Balanced batches, weights that are not downloaded, methods of different names."""
    names = ["supcon-cassava", "supcon-cassava-code", "ce-cassava"]
    ended = nearfar_command(
        "compare",
        kaggle(tmp_path / "data"),
        *("--recipes", ",".join(names), "--encoder", "conv4", "--seeds", "1"),
        *("--smoke", "--out", tmp_path / "out", "--json"),
    )
    assert ended.code == 0, ended.err
    assert ended.err.count("instead of those that would be downloaded") == 3
    table = json.loads(ended.out)
    assert table["methods"] == names
    assert {pair["b"] for pair in table["comparisons"]} == {*names[1:], "untrained"}
    page = (tmp_path / "out" / "report.html").read_text()
    assert "n_pairs (supcon-cassava-code) and cross_entropy (ce-cassava)" in page
