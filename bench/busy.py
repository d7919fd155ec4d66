"""A small run alone and beside a busy process: as OpenMP comes, and as the command sets it up.

    python bench/busy.py OUT [--epochs 8] [--repeats 5] [--beside nobody,one] [--how ...]
    python bench/busy.py OUT --ladder

Each measurement is a whole `nearfar train digits` in a process of its own; what is quoted is the
run's own seconds of training and evaluation, without Python's start, medians of `--repeats`, all
candidates in turn, after one run that is not counted and compiles what is cached. The ways:

- spinning: as many threads as cores, which spin 300,000 times before they sleep, libgomp's default
  (what nearfar 0.1.0 did);
- sleeping: as many threads as cores, which sleep where they wait;
- nearfar: what the command does when nothing is set: they sleep, and a small step has one thread.

The busy process computes nothing, in an endless loop. Writes OUT/busy.json and OUT/busy.md. With
`--ladder` it times encoder steps of growing size in one thread and in all, in turn, instead: on an
idle machine, where the limit of `nearfar.core.threads` belongs. Writes OUT/ladder.json and
OUT/ladder.md. About five minutes on two cores, the ladder one.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CORES = len(os.sched_getaffinity(0))
WAYS = {
    "spinning": {"GOMP_SPINCOUNT": "300000", "OMP_NUM_THREADS": str(CORES)},
    "sleeping": {"OMP_WAIT_POLICY": "passive", "OMP_NUM_THREADS": str(CORES)},
    "nearfar": {},
}
SETTINGS = ("OMP_WAIT_POLICY", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "GOMP_SPINCOUNT")
NEIGHBORS = {"nobody": 0, "one": 1}
LADDER = (  # encoder, px, views a step
    ("conv4", 8, 64),
    ("conv4", 8, 256),
    ("conv4", 8, 512),
    ("conv4", 16, 256),
    ("conv4", 16, 512),
    ("conv4", 32, 128),
    ("conv4", 32, 512),
    ("resnet18", 32, 4),
    ("mobilenetv3_small_100", 64, 16),
    ("tf_efficientnet_lite0", 64, 16),
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--beside", default="nobody,one")
    parser.add_argument("--how", default="spinning,nearfar", help=f"of {', '.join(WAYS)}")
    parser.add_argument("--ladder", action="store_true")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    if asked.ladder:
        write(asked.out, "ladder", ladder(asked.repeats))
    else:
        write(asked.out, "busy", runs(asked))


def write(out: Path, name: str, found: dict[str, Any]) -> None:
    (out / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    (out / f"{name}.md").write_text(found["table"], encoding="utf-8")
    print(found["table"])


def runs(asked: argparse.Namespace) -> dict[str, Any]:
    ways, beside = asked.how.split(","), asked.beside.split(",")
    taken: dict[str, dict[str, list[float]]] = {n: {way: [] for way in ways} for n in beside}
    small_run("nearfar", 1)
    for _ in range(asked.repeats):
        for neighbors, of_ways in taken.items():
            for way, seconds in of_ways.items():
                with busy(NEIGHBORS[neighbors]):
                    seconds.append(small_run(way, asked.epochs))
                print(f"beside {neighbors}, {way}: {seconds[-1]:.2f} s", flush=True)
    lines = ["| | " + " | ".join(f"beside {one}, s" for one in beside) + " | times as long |"]
    lines.append("|---|" + "---|" * (len(beside) + 1))
    for way in ways:
        middle = [statistics.median(taken[one][way]) for one in beside]
        cells = [f"{seconds:.2f}" for seconds in middle]
        lines.append(f"| {way} | {' | '.join(cells)} | {middle[-1] / middle[0]:.2f} |")
    about = {"cores": CORES, "epochs": asked.epochs, "load": os.getloadavg()}
    return {"about": about, "seconds": taken, "table": "\n".join(lines) + "\n"}


def small_run(way: str, epochs: int) -> float:
    """Its seconds of training and evaluation, as results.json has them."""
    rest = {key: value for key, value in os.environ.items() if key not in SETTINGS}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        options = ["--method", "supcon", "--epochs", str(epochs), "--out", str(out), "--quiet"]
        subprocess.run(
            [sys.executable, "-m", "nearfar", "train", "digits", *options],
            env={**rest, **WAYS[way]},
            check=True,
            stdout=subprocess.DEVNULL,
        )
        results = json.loads((out / "results.json").read_text(encoding="utf-8"))
    return float(results["cost"]["total_seconds"])


@contextmanager
def busy(count: int) -> Iterator[None]:
    """So many processes beside this one that compute without end."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def ladder(repeats: int) -> dict[str, Any]:
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    import torch

    from nearfar.core.hardware import choose_precision
    from nearfar.core.threads import ONE_THREAD_UP_TO
    from nearfar.nn.arithmetic import arithmetic_by_name
    from nearfar.nn.building import build_encoder

    found = []
    for name, side, views in LADDER:
        arithmetic = arithmetic_by_name(name, side, "auto")
        encoder = build_encoder(name, example=torch.zeros(1, 3, side, side)).train()
        encoder.precision = choose_precision(
            "auto", torch.device("cpu"), narrow_share=arithmetic.narrow_share
        )
        rows = torch.randn(views, 3, side, side)
        taken: dict[int, list[float]] = {1: [], CORES: []}
        for trial in range(4 * repeats + 1):
            for threads, seconds in taken.items():
                torch.set_num_threads(threads)
                started = time.perf_counter()
                encoder(rows).square().mean().backward()
                if trial:
                    seconds.append(time.perf_counter() - started)
        work = arithmetic.multiply_adds * views
        middle = {threads: statistics.median(seconds) for threads, seconds in taken.items()}
        chosen = 1 if work <= ONE_THREAD_UP_TO else CORES
        found.append({"step": f"{name}@{side} x {views}", "work": work, "seconds": middle})
        found[-1] |= {"rule": chosen, "lost": middle[chosen] / min(middle.values())}
    lines = [
        (
            f"| step | million multiply-adds | 1 thread, ms | {CORES} threads, ms | rule | over the"
            " faster |"
        ),
        "|---|---|---|---|---|---|",
    ]
    for one in sorted(found, key=lambda one: one["work"]):
        alone, all_of_them = (1e3 * seconds for seconds in one["seconds"].values())
        lines.append(
            f"| {one['step']} | {one['work'] / 1e6:.1f} | {alone:.2f} | {all_of_them:.2f} |"
            f" {one['rule']} | {one['lost']:.2f} |"
        )
    about = {"cores": CORES, "load": os.getloadavg()}
    return {"about": about, "steps": found, "table": "\n".join(lines) + "\n"}


if __name__ == "__main__":
    main()
