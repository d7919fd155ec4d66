"""The cassava recipes on photographs of flowers, from ImageNet weights.

    NEARFAR_DATA=FOLDER python bench/cassava.py OUT [--seeds 3] [--kaggle]
    python bench/cassava.py OUT --draw docs/cassava.svg

FOLDER holds flowers5.tar and the ImageNet weights of tf_efficientnet_lite0, which takes the place
of EfficientNet-B3 at 128 px instead of 512. With --kaggle its training images lie in
OUT/kaggle/train_images beside train.csv and label_num_to_disease_map.json, its test images without
a label in test_images. Runs `nearfar compare` of both forms of supcon-cassava and of ce-cassava
into OUT/flowers5 or OUT/kaggle_runs; an interrupted one goes on. --draw puts the maps of the
reports' test images beside each other, seed 0, points alone.
"""

import argparse
import csv
import itertools
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np

from nearfar.report.palette import class_styles

SIDE, EDGE, GAP = 280, 8, 16  # of a panel, px
RECIPES = "supcon-cassava,supcon-cassava-code,ce-cassava"
MEAN, STD = 127 / 255, 128 / 255


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--kaggle", action="store_true")
    parser.add_argument("--draw", type=Path)
    asked = parser.parse_args()
    if asked.draw:
        asked.draw.write_text(drawn(asked.out / "flowers5"), encoding="utf-8")
        return
    data = Path(os.environ["NEARFAR_DATA"])
    source, runs = data / "flowers5.tar", asked.out / "flowers5"
    if asked.kaggle:
        source, runs = as_kaggle_has_it(source, asked.out / "kaggle"), asked.out / "kaggle_runs"
    weights = data / "tf_efficientnet_lite0_imagenet.safetensors"
    settings = {
        "encoder.name": "tf_efficientnet_lite0",
        "encoder.weights": weights,
        "encoder.mean": [MEAN] * 3,
        "encoder.std": [STD] * 3,
    }
    typed = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    command = [sys.executable, "-m", "nearfar", "compare", source, "--recipes", RECIPES, *typed]
    command += ["--size", "128", "--seeds", str(asked.seeds), "--out", runs]
    command += ["--resume"] * runs.exists()
    subprocess.run(list(map(str, command)), check=True)


def as_kaggle_has_it(source: Path, folder: Path) -> Path:
    """The folder; what is there already is left."""
    if (folder / "train.csv").exists():
        return folder
    with tarfile.open(source) as tar:
        members = [member for member in tar if member.isfile() and "/" in member.name]
        names = sorted({Path(member.name).parent.name for member in members})
        rows = []
        for place, member in enumerate(members):
            split, name = Path(member.name).parts[-3], Path(member.name).parent.name
            image = f"{place:06d}.jpg"
            target = folder / f"{split}_images" / image
            target.parent.mkdir(parents=True, exist_ok=True)
            content = tar.extractfile(member)
            assert content is not None
            target.write_bytes(content.read())
            if split == "train":
                rows.append((image, names.index(name)))
    classes = {str(number): name for number, name in enumerate(names)}
    (folder / "label_num_to_disease_map.json").write_text(json.dumps(classes), encoding="utf-8")
    with (folder / "train.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("image_id", "label"), *rows])
    return folder


def drawn(comparison: Path) -> str:
    """An SVG of a panel a recipe."""
    panels, names = [], RECIPES.split(",")
    for place, name in enumerate(names):
        run = comparison / name / "seed0"
        rows = np.load(run / "embeddings.npz")
        classes = json.loads((run / "results.json").read_text())["data"]["classes"]
        styles, xy = class_styles(len(classes)), rows["xy"].astype(float)
        low, high = xy.min(0), xy.max(0)
        at = ((xy - (low + high) / 2) / (high - low).max() + 0.5) * (SIDE - 2 * EDGE) + EDGE
        dots = [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{styles[label].color}"/>'
            for (x, y), label in zip(at, rows["labels"], strict=True)
        ]
        title = f'<text x="{EDGE}" y="-8" font-weight="bold">{name}</text>'
        frame = f'<rect width="{SIDE}" height="{SIDE}" fill="none" stroke="#c5ccd6"/>'
        left = GAP + place * (SIDE + GAP)
        panels.append(f'<g transform="translate({left} 40)">{title}{frame}{"".join(dots)}</g>')
    legend = [
        f'<circle cx="{x}" cy="{SIDE + 62}" r="5" fill="{style.color}"/>'
        f'<text x="{x + 10}" y="{SIDE + 66}">{name}</text>'
        for x, name, style in zip(itertools.count(GAP + 8, 130), classes, styles, strict=False)
    ]
    width, height = GAP + len(names) * (SIDE + GAP), SIDE + 80
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}"'
        f' font-family="sans-serif" font-size="14"><rect width="{width}" height="{height}"'
        f' fill="#ffffff"/>{"".join([*panels, *legend])}</svg>\n'
    )


if __name__ == "__main__":
    main()
