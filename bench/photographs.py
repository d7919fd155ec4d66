"""The photograph comparisons of docs/benchmarks.md: cross_entropy and supcon on flowers5, three
settings.

    NEARFAR_DATA=FOLDER python bench/photographs.py OUT [conv4 resnet18 pretrained]

Each comparison is resumable: a second call continues where the first was stopped, and appends
nothing twice.
"""

import os
import sys
from pathlib import Path

import nearfar

METHODS = ("cross_entropy", "supcon")
SETTINGS = {
    "conv4": {"encoder": "conv4", "epochs": 60, "seeds": 3, "data.size": 64},
    "resnet18": {"encoder": "resnet18", "epochs": 8, "seeds": 3, "data.size": 64},
    "pretrained": {
        "encoder": "tf_efficientnet_lite0",
        "epochs": 5,
        "seeds": 1,
        "data.size": 128,
        "encoder.mean": (127 / 255,) * 3,
        "encoder.std": (128 / 255,) * 3,
    },
}


def main() -> None:
    data = Path(os.environ["NEARFAR_DATA"])
    out = Path(sys.argv[1])
    for name in sys.argv[2:] or SETTINGS:
        settings = dict(SETTINGS[name])
        if name == "pretrained":
            settings["encoder.weights"] = str(data / "tf_efficientnet_lite0_imagenet.safetensors")
        folder = out / name
        done = nearfar.compare(
            data / "flowers5.tar", methods=METHODS, out=folder, resume=folder.exists(), **settings
        )
        for row in done.results["table"]:
            print(name, row["method"], row["name"], row["selection"], row["mean"], row["sd"])


if __name__ == "__main__":
    main()
