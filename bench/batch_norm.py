"""BatchNorm's groups on CIFAR-10 with Conv4: all views in one group, or each view alone as the
authors have it. And what else might move BYOL and SwAV. Resumable, run by run.

    NEARFAR_DATA=FOLDER python bench/batch_norm.py OUT [--images 20000] [--seeds 3]
    [--methods byol,...] [--forms views,all] [--with method.momentum=0.95 ...]
    NEARFAR_DATA=FOLDER python bench/batch_norm.py OUT --table

Images, epochs and batch are bench/methods.py's. Validation is kNN of the last epoch among 5,000
training images. Each run is a process of its own on one thread; OUT/batch_norm.jsonl has a line a
run.
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import methods as bench

METHODS = "byol,simsiam,barlow_twins,vicreg,nnclr"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--images", default="20000", help="training images, or all")
    parser.add_argument("--methods", default=METHODS)
    parser.add_argument("--forms", default="views,all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--with", dest="settings", nargs="*", default=[], metavar="KEY=VALUE")
    parser.add_argument("--table", action="store_true", help="print what is done, and run nothing")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)  # method, form, seed
    chosen = parser.parse_args()
    log = chosen.out / "batch_norm.jsonl"
    if chosen.one:
        run(chosen.out, chosen.images, chosen.one, chosen.settings)
        return
    chosen.out.mkdir(parents=True, exist_ok=True)
    asked = itertools.product(
        range(chosen.seeds), chosen.methods.split(","), chosen.forms.split(",")
    )
    for seed, method, form in () if chosen.table else asked:
        same = {"images": chosen.images, "method": method, "form": form, "seed": seed}
        same["settings"] = chosen.settings
        if not any(same.items() <= row.items() for row in bench.rows(log)):
            start(chosen, method, form, seed)
    print(table(bench.rows(log)))


def start(chosen: argparse.Namespace, method: str, form: str, seed: int) -> None:
    arguments = [str(chosen.out), "--images", chosen.images, "--one", method, form, str(seed)]
    if chosen.settings:
        arguments += ["--with", *chosen.settings]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, __file__, *arguments], env=environment, capture_output=True, check=False
    )
    last = (done.stderr.decode().strip().splitlines() or ["died"])[-1]
    print(method, form, seed, last if done.returncode else "done", file=sys.stderr, flush=True)


def run(out: Path, images: str, one: list[str], settings: list[str]) -> None:
    """Trains and probes one method in the asked form, and appends the line."""
    method, form, seed = one
    import torch

    import nearfar
    from nearfar.methods import method_class

    torch.set_num_threads(1)
    chosen = method_class(method)
    authors = chosen.batch_norm_groups
    chosen.batch_norm_groups = form  # what a method declares; a run has no setting for it
    folder = out / "runs" / images / "_".join([method, form, seed, *settings]).replace("/", "_")
    done = nearfar.train(
        bench.subset(out, images),
        method=method,
        encoder="conv4",
        epochs=bench.EPOCHS,
        seed=int(seed),
        out=folder,
        force=True,
        quiet=True,
        **{
            "train.batch_size": bench.BATCHES.get(method, bench.BATCH),
            "evaluate.probes": ["linear", "knn"],
            "evaluate.selections": 1,
            "evaluate.map_rows": 200,
            **{key: json.loads(value) for key, value in (one.split("=", 1) for one in settings)},
        },
    )
    metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    row: dict[str, Any] = {"images": images, "method": method, "form": form, "seed": int(seed)}
    row |= {"settings": settings, "authors": authors}
    row["knn.val"] = [m["knn.top1.val"] for m in metrics if "knn.top1.val" in m][-1]
    for found in done.results["measurements"]:
        if (found["split"], found["selection"]) == ("test", "last"):
            row[found["name"]] = found["value"]
    row["loss"] = metrics[-1].get("loss")
    row["train_seconds"] = done.results["cost"]["train_seconds"]
    with (out / "batch_norm.jsonl").open("a") as log:
        log.write(json.dumps(row) + "\n")


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: mean and standard deviation over seeds, in percent."""
    head = ["images", "method", "groups", "settings"]
    head += ["kNN, validation", "kNN, test", "linear, test", "seeds"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    kinds = [(r["images"], r["method"], r["form"], " ".join(r["settings"])) for r in rows]
    for kind in sorted(set(kinds)):
        some = [row for row, its in zip(rows, kinds, strict=True) if its == kind]
        cells = []
        for name in ("knn.val", "knn.top1", "linear_probe.top1"):
            values = [100 * row[name] for row in some]
            spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.1f}{spread}")
        lines.append(f"| {' | '.join([*kind, *cells, str(len(some))])} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
