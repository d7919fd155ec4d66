"""Every method on CIFAR-10 with Conv4: what its frozen encoder is worth, what it takes. Resumable,
run by run.

    NEARFAR_DATA=FOLDER python bench/methods.py OUT [--images 20000] [--seeds 3] [--methods all]
    [--workers 1] NEARFAR_DATA=FOLDER python bench/methods.py OUT --images all --seeds 1 --methods
    cross_entropy,supcon,... python bench/methods.py OUT --table

FOLDER/cifar10.tar.xz, all its test images, and of its training images all or a fixed part (as many
of each class, those whose names have the smallest SHA-256), a fifth of which (at most 5,000)
becomes validation and is not trained on. Ten epochs, batch 256 (relational 64), every other setting
the method's default; docs/benchmarks.md says which defaults were chosen by these test images. Each
run is a process of its own on one thread; `--workers` of them at a time. What is done already is
not done again: OUT/methods.jsonl has a line a run, and `--table` prints it.
"""

import argparse
import hashlib
import io
import itertools
import json
import os
import statistics
import subprocess
import sys
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

EPOCHS, BATCH, BATCHES = 10, 256, {"relational": 64}
MEASURES = ("linear_probe.top1", "knn.top1")
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--images", default="20000", help="training images, or all")
    parser.add_argument("--methods", default="all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument(
        "--table", action="store_true", help="print the table of what is done, and run nothing"
    )
    # method, seed: what a process of its own does
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    log = chosen.out / "methods.jsonl"
    if chosen.one:
        run(chosen.out, chosen.images, chosen.one[0], int(chosen.one[1]))
        return
    if not chosen.table:
        chosen.out.mkdir(parents=True, exist_ok=True)
        subset(chosen.out, chosen.images)
        todo = [
            (method, seed)
            for seed, method in itertools.product(range(chosen.seeds), names(chosen.methods))
            if not any(
                (row["part"], row["method"], row["seed"]) == (chosen.images, method, seed)
                for row in rows(log)
            )
        ]
        with ThreadPoolExecutor(chosen.workers) as pool:
            list(pool.map(lambda one: start(chosen.out, chosen.images, *one), todo))
    print(table(rows(log)))


def names(asked: str) -> list[str]:
    from nearfar.methods import METHODS

    return list(METHODS) if asked == "all" else asked.split(",")


def rows(log: Path) -> list[Row]:
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def subset(out: Path, images: str) -> Path:
    """The archive that is trained on."""
    whole = Path(os.environ["NEARFAR_DATA"]) / "cifar10.tar.xz"
    part = out / f"cifar10_{images}.tar"
    if images == "all" or part.exists():
        return whole if images == "all" else part
    unfinished = part.with_suffix(".unfinished")
    with tarfile.open(whole) as source, tarfile.open(unfinished, "w") as target:
        content = {member.name: _read(source, member) for member in source if member.isfile()}
        classes: dict[str, list[str]] = {}
        for name in content:
            classes.setdefault(name.rpartition("/")[0], []).append(name)
        training = [folder for folder in classes if "train" in Path(folder).parts]
        for folder, found in classes.items():
            most = int(images) // len(training) if folder in training else len(found)
            for name in sorted(found, key=lambda name: hashlib.sha256(name.encode()).hexdigest())[
                :most
            ]:
                member = tarfile.TarInfo(name)
                member.size = len(content[name])
                target.addfile(member, io.BytesIO(content[name]))
    unfinished.rename(part)
    return part


def _read(source: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = source.extractfile(member)
    assert file is not None
    return file.read()


def start(out: Path, images: str, method: str, seed: int) -> None:
    """One run as a process on one thread, so that a busy neighbor costs it little."""
    arguments = [str(out), "--images", images, "--one", method, str(seed)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, __file__, *arguments], env=environment, capture_output=True, check=False
    )
    last = (
        (done.stderr.decode().strip().splitlines() or ["died"])[-1] if done.returncode else "done"
    )
    print(images, method, seed, last, file=sys.stderr, flush=True)


def run(out: Path, images: str, method: str, seed: int) -> None:
    """Trains and probes, and appends the line."""
    import torch

    import nearfar

    torch.set_num_threads(1)
    started = time.process_time()
    done = nearfar.train(
        subset(out, images),
        method=method,
        encoder="conv4",
        epochs=EPOCHS,
        seed=seed,
        out=out / "runs" / images / method / f"seed{seed}",
        force=True,
        quiet=True,
        **{
            "train.batch_size": BATCHES.get(method, BATCH),
            "evaluate.probes": ["linear", "knn"],
            "evaluate.selections": 0,
            "evaluate.map_rows": 200,
        },
    )
    results = done.results
    found = {
        m["name"]: m
        for m in results["measurements"]
        if m["split"] == "test" and m["selection"] == "last"
    }
    floor = {m["name"]: m for m in results["untrained"] if m["split"] == "test"}
    row: Row = {"part": images, "method": method, "seed": seed, **results["train"]}
    for name in MEASURES:
        row[name] = [found[name]["value"], *found[name]["interval"]]
        row[f"untrained.{name}"] = [floor[name]["value"], *floor[name]["interval"]]
    row["train_seconds"] = results["cost"]["train_seconds"]
    row["cpu_seconds"] = time.process_time() - started
    row["peak_memory_bytes"] = results["cost"]["peak_memory_bytes"]
    row["views_seen"] = results["cost"]["views_seen"]
    row["views"] = results["views"]
    row["diagnosis"] = results["diagnosis"]
    with (out / "methods.jsonl").open("a") as log:
        log.write(json.dumps(row) + "\n")


def table(done: list[Row]) -> str:
    """Markdown: mean over seeds, the interval of seed 0 over its test images, the shortest of the
    seeds' times.
    """
    lines = [
        "| images | method | linear | its interval | kNN | train s | peak MB | seeds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for images in dict.fromkeys(row["part"] for row in done):
        some = [row for row in done if row["part"] == images]
        first_of_each_seed = list({row["seed"]: row for row in reversed(some)}.values())
        lines.append(
            line(
                images,
                "untrained",
                sorted(first_of_each_seed, key=lambda row: row["seed"]),
                "untrained.",
            )
        )
        for method in dict.fromkeys(row["method"] for row in some):
            lines.append(line(images, method, [row for row in some if row["method"] == method]))
    return "\n".join(lines)


def line(images: str, method: str, some: list[Row], prefix: str = "") -> str:
    linear, knn = ([100 * row[prefix + name][0] for row in some] for name in MEASURES)
    low, high = (100 * end for end in some[0][prefix + MEASURES[0]][1:])
    cost = "–", "–"
    if not prefix:
        cost = (
            f"{min(row['train_seconds'] for row in some):.0f}",
            f"{max(row['peak_memory_bytes'] for row in some) / 1e6:.0f}",
        )
    spread = f" ± {statistics.stdev(linear):.1f}" if len(linear) > 1 else ""
    cells = [images, method, f"{statistics.mean(linear):.1f}{spread}", f"{low:.1f}–{high:.1f}"]
    return f"| {' | '.join([*cells, f'{statistics.mean(knn):.1f}', *cost, str(len(some))])} |"


if __name__ == "__main__":
    main()
