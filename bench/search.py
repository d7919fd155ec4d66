"""From given weights: which settings are best on validation, thinned by successive halving.

    NEARFAR_DATA=FOLDER python bench/search.py OUT --method supcon
    NEARFAR_DATA=FOLDER python bench/search.py OUT --method supcon --sets flowers5_128 --try '{...}'
    NEARFAR_DATA=FOLDER python bench/search.py OUT --table

Each setting of the method's grid trains tf_efficientnet_lite0 from its ImageNet weights on three
sets: flowers5 (96 px, 5 epochs), signdigits10 (64 px, 10) and 200 images a class of cifar10 (64 px,
5). All of them for two fifths of the epochs, then the best third by the mean over the sets for all
epochs, and the best with either kind of BatchNorm. With `--try`, only those settings, for that
`--share` of the epochs, on the sets named: flowers5_128 and signdigits10_128 are the same images at
128 px, 5 epochs. Judged by the linear probe of all training images on validation images, beside it
one of ten labels a class; test images are never looked at. Each run is a process of its own on one
thread, seed 0, `--at-once` of them side by side; OUT/search.jsonl has a line a run, and what is
done is not done again.
"""

import argparse
import itertools
import json
import os
import statistics
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import from_scratch
import photographs

SETS = {  # source, px, epochs
    "flowers5": ("flowers5.tar", 96, 5),
    "signdigits10": ("signdigits10.tar", 64, 10),
    "cifar10_2000": ("cifar10.tar.xz", 64, 5),
}
LARGER = {
    "flowers5_128": ("flowers5.tar", 128, 5),
    "signdigits10_128": ("signdigits10.tar", 128, 5),
}
PART = "cifar10_2000.tar"  # in OUT
BATCH_NORM = "encoder.frozen_batch_norm"
WARM_UP = "warm_up"  # share of the epochs
EVERY: dict[str, tuple[Any, ...]] = {
    BATCH_NORM: (True, False),
    "optimizer.lr": (3e-4, 6e-4, 1e-3),
    WARM_UP: (0.1, 0.3),
}
GRIDS: dict[str, dict[str, tuple[Any, ...]]] = {
    "cross_entropy": {},
    "supcon": {"views.policy": ("supcon", "basic")},
    "simclr": {"method.temperature": (0.5, 0.1)},
}
SHARE, KEPT = 0.4, 3  # of the epochs in the first rung; one of so many goes on
Row = dict[str, Any]
Settings = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--method", choices=GRIDS, default="supcon")
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--try", dest="tried", nargs="*", type=json.loads, metavar="JSON")
    parser.add_argument("--share", type=float, default=1.0, help="of the epochs, with --try")
    parser.add_argument("--at-once", type=int, default=1, help="processes")
    parser.add_argument("--table", action="store_true", help="print what is done, and run nothing")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)  # set, settings, share of epochs
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    log = chosen.out / "search.jsonl"
    if chosen.one:
        row = run(chosen.out, chosen.method, *chosen.one)
        with log.open("a") as lines:
            lines.write(json.dumps(row) + "\n")
        return
    if not chosen.table:
        cifar10 = Path(os.environ["NEARFAR_DATA"]) / SETS["cifar10_2000"][0]
        photographs.part(cifar10, chosen.out / PART, images=200)
        sets = chosen.sets.split(",")
        if chosen.tried:
            attempt(log, chosen.method, chosen.tried, chosen.share, sets, chosen.at_once)
        else:
            search(log, chosen.method, sets, chosen.at_once)
    print(table(photographs.rows(log)))


def search(log: Path, method: str, sets: list[str], at_once: int) -> None:
    everything = settings_of(method)
    attempt(log, method, everything, SHARE, sets, at_once)
    done = [row for row in photographs.rows(log) if row["set"] in sets]
    ranked = sorted(everything, key=lambda one: -sum_of(done, method, one, SHARE))
    kept = ranked[: len(everything) // KEPT]
    of_each = [next(one for one in ranked if one[BATCH_NORM] is kind) for kind in (True, False)]
    attempt(log, method, [one for one in ranked if one in kept + of_each], 1.0, sets, at_once)


def settings_of(method: str) -> list[Settings]:
    """Every combination of the grid."""
    grid = {**EVERY, **GRIDS[method]}
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def attempt(
    log: Path, method: str, settings: list[Settings], share: float, sets: list[str], at_once: int
) -> None:
    done = photographs.rows(log)
    options = [str(log.parent), "--method", method]
    with ThreadPoolExecutor(at_once) as processes:
        for one, name in itertools.product(settings, sets):
            like = {"method": method, "set": name, "settings": one, "share": share}
            if not any(like.items() <= row.items() for row in done):
                text = json.dumps(one)
                processes.submit(photographs.start, __file__, options, name, text, str(share))


def run(out: Path, method: str, name: str, text: str, share: str) -> Row:
    import torch

    import nearfar
    from nearfar.evaluate.few_label import few_label_probes

    torch.set_num_threads(1)
    source, size, epochs = (SETS | LARGER)[name]
    data = Path(os.environ["NEARFAR_DATA"]) / source
    if name == "cifar10_2000":
        data = out / PART
    settings: Settings = json.loads(text)
    epochs = max(1, round(epochs * float(share)))
    warm_up = epochs * settings[WARM_UP]
    folder = out / "runs" / f"{method}-{name}-{os.getpid()}"
    done = nearfar.train(
        data,
        method=method,
        encoder=photographs.ENCODER,
        epochs=epochs,
        seed=0,
        out=folder,
        quiet=True,
        **{key: value for key, value in settings.items() if key != WARM_UP},
        **{
            "schedule.warmup_epochs": warm_up,
            "data.size": size,
            "encoder.weights": str(Path(os.environ["NEARFAR_DATA"]) / photographs.WEIGHTS),
            "encoder.mean": (photographs.MEAN,) * 3,
            "encoder.std": (photographs.STD,) * 3,
            "train.precision": "float32",
            "evaluate.selections": 0,
            "evaluate.probes": ["linear"],
        },
    )
    train, val, n_classes = from_scratch.validation_features(folder, data)
    few = few_label_probes(train, val, n_classes, per_class=10, seed=0)
    return {
        "method": method,
        "set": name,
        "settings": settings,
        "share": float(share),
        "accuracy": from_scratch.on_validation(train, val, n_classes),
        "ten_labels": statistics.mean(
            float((probe.classifier.predict(val.x) == val.y).mean()) for probe in few
        ),
        "train_seconds": done.results["cost"]["train_seconds"],
    }


def sum_of(done: list[Row], method: str, settings: Settings, share: float) -> float:
    """Summed over the sets; what died counts as nothing right."""
    same = {"method": method, "settings": settings, "share": share}
    return sum(row["accuracy"] for row in done if same.items() <= row.items())


def table(done: list[Row]) -> str:
    """Markdown, percent, the best of each method and length first; in brackets with ten labels."""
    sets = [name for name in SETS | LARGER if any(row["set"] == name for row in done)]
    head = ["method", "share of the epochs", "settings", *sets, "mean"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    kinds = {(row["method"], row["share"], json.dumps(row["settings"])) for row in done}

    def rank(kind: tuple[str, float, str]) -> tuple[str, float, float]:
        method, share, text = kind
        return method, -share, -sum_of(done, method, json.loads(text), share)

    for method, share, text in sorted(kinds, key=rank):
        same = {"method": method, "share": share, "settings": json.loads(text)}
        found = {row["set"]: row for row in done if same.items() <= row.items()}
        words = ", ".join(f"{key}={value}" for key, value in same["settings"].items()) or "defaults"
        cells = [cell(found[name]) if name in found else "" for name in sets]
        small = [100 * found[name]["accuracy"] for name in SETS if name in found]
        cells.append(f"{statistics.mean(small):.1f}" if len(small) == len(SETS) else "")
        lines.append(f"| {' | '.join([method, f'{share:g}', words, *cells])} |")
    return "\n".join(lines)


def cell(row: Row) -> str:
    few = f" ({100 * row['ten_labels']:.1f})" if "ten_labels" in row else ""
    return f"{100 * row['accuracy']:.1f}{few}"


if __name__ == "__main__":
    main()
