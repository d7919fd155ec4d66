"""Do nearfar's views train as well as torchvision's, and does aliasing cost accuracy? Two
comparisons, paired by seed.

    NEARFAR_DATA=FOLDER python bench/views_training.py OUT [faith aliasing] [--seeds 3]

`faith`: SimCLR with the full `simclr` policy (crop, flip, jitter, gray, blur), Conv4, CIFAR-10 at
32 px: our views against torchvision's transforms of the same parameters, one image at a time.
`aliasing`: SimCLR on photographs of 128 px shown at 32 px: nearfar as it is (stored at 64 px with a
half beside); stored at 128 px with the half beside; stored at 128 px without any smaller level,
which aliases; and torchvision's antialiased resize of the 128 px.

Everything else is the same in all arms: encoder, loss, optimizer, steps, evaluation. Each arm and
seed is a process; what is done already is not done again. Appends to OUT/views_training.jsonl and
prints mean ± sd.
"""

import argparse
import importlib
import json
import math
import os
import statistics
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

ARMS = {
    "faith": ("nearfar", "torchvision"),
    "aliasing": ("nearfar", "128 px and half", "128 px alone", "torchvision"),
}
SETTINGS: dict[str, dict[str, Any]] = {
    "faith": {
        "source": "cifar10.tar.xz",
        "epochs": 5,
        "train.steps_per_epoch": 60,
        "train.batch_size": 256,
    },
    "aliasing": {"source": "flowers5.tar", "epochs": 30, "data.size": 32, "train.batch_size": 128},
}
MEASURES = ("linear_probe.top1", "knn.top1")
_torchvision: list[Any] = []  # of a worker process: the transform


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("experiments", nargs="*", default=[*ARMS])
    parser.add_argument("--seeds", type=int, default=3)
    # arm, seed: what a process of its own does
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    if chosen.one:
        train(chosen.out, chosen.experiments[0], chosen.one[0], int(chosen.one[1]))
        return
    log = chosen.out / "views_training.jsonl"
    for experiment in chosen.experiments:
        for seed in range(chosen.seeds):
            for arm in ARMS[experiment]:
                if not any(
                    row["arm"] == arm and row["seed"] == seed for row in rows(log, experiment)
                ):
                    arguments = [str(chosen.out), experiment, "--one", arm, str(seed)]
                    subprocess.run([sys.executable, __file__, *arguments], check=True)
        report(experiment, rows(log, experiment))


def rows(log: Path, experiment: str) -> list[dict[str, Any]]:
    lines = log.read_text().splitlines() if log.exists() else []
    return [row for row in map(json.loads, lines) if row["experiment"] == experiment]


def report(experiment: str, done: list[dict[str, Any]]) -> None:
    for arm in ARMS[experiment]:
        for measure in MEASURES:
            values = [100 * row[measure] for row in done if row["arm"] == arm]
            spread = statistics.stdev(values) if len(values) > 1 else math.nan
            print(
                f"{experiment:9} {arm:16} {measure:18} {statistics.mean(values):5.1f} ±"
                f" {spread:.1f} ({len(values)})"
            )


def train(out: Path, experiment: str, arm: str, seed: int) -> None:
    """One run of one arm, its measurements appended."""
    import nearfar

    settings = dict(SETTINGS[experiment])
    source = Path(os.environ["NEARFAR_DATA"]) / settings.pop("source")
    if "128" in arm or (experiment, arm) == ("aliasing", "torchvision"):
        nearfar.data.store.store_side = lambda _listing, _view: 128
    if arm == "128 px alone":
        importlib.import_module("nearfar.views.kernels").SHRINK = math.inf
    pool = None
    if arm == "torchvision":
        pool = ProcessPoolExecutor(2)
        use_torchvision(pool, settings.get("data.size", 32))
    folder = out / experiment / arm.replace(" ", "_") / f"seed{seed}"
    run = nearfar.train(
        source, method="simclr", encoder="conv4", seed=seed, out=folder, force=True, **settings
    )
    found = {
        (m["name"], m["selection"]): m["value"]
        for m in run.results["measurements"]
        if m["split"] == "test"
    }
    row = {"experiment": experiment, "arm": arm, "seed": seed} | {
        name: found[name, "last"] for name in MEASURES
    }
    with (out / "views_training.jsonl").open("a") as log:
        log.write(json.dumps(row | {"seconds": run.results["cost"]["train_seconds"]}) + "\n")
    if pool is not None:
        pool.shutdown()


def use_torchvision(pool: ProcessPoolExecutor, size: int) -> None:
    """Training batches take torchvision's views; the evaluation view stays nearfar's."""
    import numpy as np
    import torch

    import nearfar.training.batches as batches

    def make_views(
        stored: Any, plan: Any, *, seed: int, epoch: int, index: Any, draw: Any
    ) -> tuple[Any, ...]:
        from nearfar.core.randomness import stream_seed

        images = stored.images.numpy()
        parts = np.array_split(np.arange(len(images)), 2)
        jobs = [
            pool.submit(
                _views_by_torchvision,
                images[part],
                plan.count,
                size,
                plan.mean,
                plan.std,
                stream_seed(
                    seed, "torchvision", epoch, int(index[part[0]]), int(draw[part[0]]), len(part)
                ),
            )
            for part in parts
        ]
        return (torch.from_numpy(np.concatenate([job.result() for job in jobs], 1)),)

    batches.make_views = make_views


def _views_by_torchvision(
    images: Any, count: int, size: int, mean: Any, std: Any, seed: int
) -> Any:
    import numpy as np
    import torch
    from torchvision.transforms import v2

    if not _torchvision:
        torch.set_num_threads(1)
        kernel = max(3, 2 * (size // 10 // 2) + 1)
        _torchvision.append(
            v2.Compose(
                [
                    v2.RandomResizedCrop(size, scale=(0.08, 1.0), antialias=True),
                    v2.RandomHorizontalFlip(),
                    v2.RandomApply([v2.ColorJitter(0.8, 0.8, 0.8, 0.2)], p=0.8),
                    v2.RandomGrayscale(0.2),
                    v2.RandomApply([v2.GaussianBlur(kernel, (0.1, 2.0))], p=0.5),
                    v2.ToDtype(torch.float32, scale=True),
                    v2.Normalize(mean, std),
                ]
            )
        )
    torch.manual_seed(seed)
    tensors = torch.from_numpy(images).permute(0, 3, 1, 2)
    made = [torch.stack([_torchvision[0](tensor) for tensor in tensors]) for _ in range(count)]
    return np.stack([view.numpy() for view in made])


if __name__ == "__main__":
    main()
