"""The cassava recipes on photographs of flowers, from ImageNet weights.

    NEARFAR_DATA=FOLDER python bench/cassava.py OUT [--seeds 3] [--kaggle]

FOLDER holds flowers5.tar and the ImageNet weights of tf_efficientnet_lite0, which takes the place
of EfficientNet-B3 at 128 px instead of 512. With --kaggle its training images lie in
OUT/kaggle/train_images beside train.csv and label_num_to_disease_map.json, its test images without
a label in test_images. Runs `nearfar compare` of both forms of supcon-cassava and of ce-cassava
into OUT/flowers5 or OUT/kaggle_runs; an interrupted one goes on.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

RECIPES = "supcon-cassava,supcon-cassava-code,ce-cassava"
MEAN, STD = 127 / 255, 128 / 255


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--kaggle", action="store_true")
    asked = parser.parse_args()
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


if __name__ == "__main__":
    main()
