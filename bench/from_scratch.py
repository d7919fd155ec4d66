"""From new weights on small sets of photographs: what the defaults learn in 40 epochs, and what
other settings would. Resumable, run by run.

    NEARFAR_DATA=FOLDER python bench/from_scratch.py OUT [--sets flowers5,...] [--seeds 1]
    [--methods supcon,...] [--epochs 40] [--encoder conv4] [--with optimizer.lr=0.3 ...] [--test]
    NEARFAR_DATA=FOLDER python bench/from_scratch.py OUT --table

FOLDER holds flowers5.tar, signdigits10.tar and cifar10.tar.xz (its training images are the 100 a
class whose names have the smallest SHA-256). Images are 64 px. Settings are judged by the linear
probe on validation; `--test` measures the test images instead, which nothing is chosen by. Each run
is a process of its own on one thread; OUT/from_scratch.jsonl has a line a run.
"""

import argparse
import itertools
import json
import os
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import photographs

if TYPE_CHECKING:
    from nearfar.evaluate.features import Features

SETS = {
    "flowers5": "flowers5.tar",
    "signdigits10": "signdigits10.tar",
    "cifar10_1000": "cifar10.tar.xz",
}
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--methods", default="supcon,cross_entropy")
    parser.add_argument("--encoder", default="conv4")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--with", dest="settings", nargs="*", default=[], metavar="KEY=VALUE")
    parser.add_argument("--test", action="store_true", help="measure the test images")
    parser.add_argument("--table", action="store_true", help="print what is done, and run nothing")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)  # set, method, seed
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    log = chosen.out / "from_scratch.jsonl"
    if chosen.one:
        row = run(chosen)
        with log.open("a") as lines:
            lines.write(json.dumps(row) + "\n")
        return
    asked = itertools.product(
        range(chosen.seeds), chosen.sets.split(","), chosen.methods.split(",")
    )
    for seed, name, method in () if chosen.table else asked:
        if not any(
            kind(chosen, name, method, seed).items() <= row.items() for row in photographs.rows(log)
        ):
            photographs.start(__file__, sys.argv[1:], name, method, str(seed))
    print(table(photographs.rows(log)))


def kind(chosen: argparse.Namespace, name: str, method: str, seed: int) -> Row:
    """What tells one run from another."""
    return {
        "set": name,
        "method": method,
        "seed": seed,
        "encoder": chosen.encoder,
        "epochs": chosen.epochs,
        "settings": chosen.settings,
        "split": "test" if chosen.test else "val",
    }


def run(chosen: argparse.Namespace) -> Row:
    import torch

    import nearfar

    torch.set_num_threads(1)
    name, method, seed = chosen.one
    row = kind(chosen, name, method, int(seed))
    data = Path(os.environ["NEARFAR_DATA"]) / SETS[name]
    if name == "cifar10_1000":
        data = photographs.part(data, chosen.out / f"{name}.tar", images=100)
    folder = chosen.out / "runs" / "_".join([name, method, seed, *chosen.settings])
    settings = dict(one.split("=", 1) for one in chosen.settings)
    done = nearfar.train(
        data,
        method=method,
        encoder=chosen.encoder,
        epochs=chosen.epochs,
        seed=int(seed),
        out=folder,
        force=True,
        quiet=True,
        **{
            "data.size": 64,
            "train.precision": "float32",
            "evaluate.selections": 0,
            **{key: parsed(value) for key, value in settings.items()},
        },
    )
    found = {m["name"]: m["value"] for m in done.results["measurements"]}
    row["accuracy"] = (
        found["linear_probe.top1"]
        if chosen.test
        else on_validation(*validation_features(folder, data))
    )
    metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    row |= {key: metrics[-1].get(key) for key in ("loss", "chance", "floor")}
    row["verdicts"] = [verdict["code"] for verdict in done.results["verdicts"]]
    return row | {"train_seconds": done.results["cost"]["train_seconds"]}


def parsed(value: str) -> Any:
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value


def validation_features(folder: Path, data: Path) -> tuple["Features", "Features", int]:
    """Of training and of validation images, and the number of classes."""
    import numpy as np

    from nearfar.api.embed import embed
    from nearfar.evaluate.features import Features

    embed(folder, data, folder / "all.npz", force=True, quiet=True)
    found = np.load(folder / "all.npz")
    x, y, split = found["embeddings"], found["labels"], found["split"]
    train, val = (
        Features(x[rows], y[rows], rows)
        for rows in (np.flatnonzero((split == name) & (y >= 0)) for name in ("train", "val"))
    )
    return train, val, int(y.max()) + 1


def on_validation(train: "Features", val: "Features", n_classes: int) -> float:
    """The linear probe of all training images on the validation images."""
    from nearfar.evaluate.logistic import fit_probe

    probe = fit_probe(train, val, n_classes)
    return float((probe.classifier.predict(val.x) == val.y).mean())


def table(done: list[Row]) -> str:
    """Markdown: mean and standard deviation over seeds, in percent."""
    names = ("split", "encoder", "epochs", "method", "settings")
    sets = list(dict.fromkeys(row["set"] for row in done))
    lines = [f"| {' | '.join([*names, *sets])} |", "|---" * (len(names) + len(sets)) + "|"]
    for its in dict.fromkeys(tuple(str(row[name]) for name in names) for row in done):
        same = [row for row in done if tuple(str(row[name]) for name in names) == its]
        cells = [_cell([row for row in same if row["set"] == name]) for name in sets]
        lines.append(f"| {' | '.join([*its, *cells])} |")
    return "\n".join(lines)


def _cell(some: list[Row]) -> str:
    """Accuracy, then how far the loss came on its way from chance to floor, and what is said."""
    if not some:
        return ""
    values = [100 * row["accuracy"] for row in some]
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    ways = [
        (row["chance"] - row["loss"]) / (row["chance"] - row["floor"])
        for row in some
        if row["chance"] is not None and row["floor"] is not None
    ]
    way = f", {100 * statistics.mean(ways):.0f} % of the way" if ways else ""
    said = sorted({code for row in some for code in row["verdicts"]})
    return f"{statistics.mean(values):.1f}{spread}{way}{', '.join(['', *said])}"


if __name__ == "__main__":
    main()
