"""Images from shards: how fast training runs from them, and what WebDataset's own loader gives.

    NEARFAR_DATA=FOLDER python bench/shards.py OUT [--images 10000] [--repeats 5]

FOLDER holds cifar10.tar.xz, whose first training images are written into ten .tar shards in
WebDataset's layout and ten parquet files (row groups of 100), as the JPEGs they are.

- training: an epoch of SimCLR on Conv4 at 32 px, batch 256, from the store and, decoded in that
  epoch, from the shards; images a second of the training loop.
- loader: batches of two SimCLR views of 256 images, nothing trained: nearfar's samples, and
  WebDataset's pipeline with torchvision's transforms of the same policy (crop, flip, jitter, gray)
  in as many worker processes as cores.

Each measurement is a process; candidates take turns, medians are quoted. `pip install webdataset`
for the peer. Writes OUT/shards.json and prints it as a table.
"""

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

SHARDS, BATCH, PX = 10, 256, 32
CANDIDATES = {
    "training": ("store", "tar", "parquet"),
    "loader": ("store", "tar", "parquet", "webdataset"),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)  # what, candidate
    chosen = parser.parse_args()
    if chosen.one:
        what, candidate = chosen.one
        print((training if what == "training" else loader)(chosen.out, candidate))
        return
    chosen.out.mkdir(parents=True, exist_ok=True)
    write_shards(chosen.out, chosen.images)
    kinds = [(what, candidate) for what, its in CANDIDATES.items() for candidate in its]
    rates: dict[str, list[float]] = {" ".join(kind): [] for kind in kinds}
    for _ in range(chosen.repeats):
        for kind in kinds:
            command = [sys.executable, __file__, str(chosen.out), "--one", *kind]
            done = subprocess.run(command, capture_output=True, check=True, text=True)
            rates[" ".join(kind)].append(float(done.stdout.splitlines()[-1]))
            print(*kind, f"{rates[' '.join(kind)][-1]:,.0f} images/s", flush=True)
    (chosen.out / "shards.json").write_text(json.dumps(rates, indent=1) + "\n")
    print(table(rates))


def table(rates: dict[str, list[float]]) -> str:
    lines = ["| | images/s | of the store |", "|---|---|---|"]
    for kind, its in rates.items():
        store = statistics.median(rates[f"{kind.split()[0]} store"])
        median = statistics.median(its)
        lines.append(f"| {kind} | {median:,.0f} | {median / store:.2f} |")
    return "\n".join(lines)


def write_shards(out: Path, images: int) -> None:
    if (out / "parquet").exists():
        return
    import pyarrow
    from pyarrow import parquet

    source = Path(os.environ["NEARFAR_DATA"]) / "cifar10.tar.xz"
    with tarfile.open(source) as archive:
        members = [m for m in archive if m.isfile() and "train" in Path(m.name).parts]
        members.sort(key=lambda member: member.offset)
        found = {m.name: _content(archive, m) for m in members}
    chosen = sorted(found)[:: max(1, len(found) // images)][:images]
    classes = sorted({Path(name).parent.name for name in chosen})
    for folder in ("tar", "parquet.partial"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    for number in range(SHARDS):
        rows = [
            (found[name], classes.index(Path(name).parent.name)) for name in chosen[number::SHARDS]
        ]
        with tarfile.open(out / "tar" / f"train-{number:04d}.tar", "w") as shard:
            for row, (content, label) in enumerate(rows):
                for ending, part in (("jpg", content), ("cls", str(label).encode())):
                    info = tarfile.TarInfo(f"{number:02d}{row:06d}.{ending}")
                    info.size = len(part)
                    shard.addfile(info, io.BytesIO(part))
        columns = {
            "image": [{"bytes": content, "path": None} for content, _ in rows],
            "label": [label for _, label in rows],
        }
        file = out / "parquet.partial" / f"train-{number:05d}-of-{SHARDS:05d}.parquet"
        parquet.write_table(pyarrow.table(columns), file, row_group_size=100)
    (out / "parquet.partial").rename(out / "parquet")


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    assert file is not None
    return file.read()


def training(out: Path, candidate: str) -> float:
    """Images a second of an epoch's training loop."""
    import nearfar

    run = nearfar.train(
        out / ("parquet" if candidate == "parquet" else "tar"),
        method="simclr",
        encoder="conv4",
        epochs=1,
        out=out / "runs" / candidate,
        force=True,
        quiet=True,
        **{
            "data.size": PX,
            "data.stream": candidate != "store",
            "train.batch_size": BATCH,
            "evaluate.selections": 0,
            "evaluate.probes": ["knn"],
        },
    )
    cost = run.results["cost"]
    return float(cost["steps"] * BATCH / cost["train_seconds"])


def loader(out: Path, candidate: str) -> float:
    """Images a second of two views each, after the first ten batches."""
    batches = _of_webdataset(out) if candidate == "webdataset" else _of_nearfar(out, candidate)
    count = 0
    for number, size in enumerate(batches):
        if number == 10:
            started, count = time.perf_counter(), 0
        count += size
    return count / (time.perf_counter() - started)


def _of_nearfar(out: Path, candidate: str) -> Any:
    import torch

    from nearfar.data import CenterSquare, load, open_source
    from nearfar.data.sampler import UNIFORM
    from nearfar.data.samples import EvaluationView, ImageSamples
    from nearfar.training.batches import Batches
    from nearfar.views.making import ViewPlan
    from nearfar.views.policies import named_policy

    cpu, mean, std = torch.device("cpu"), (0.5,) * 3, (0.25,) * 3
    listing = open_source(out / ("parquet" if candidate == "parquet" else "tar"))
    data = load(listing, CenterSquare(PX), streamed=candidate != "store")
    plan = ViewPlan(named_policy("simclr_cifar"), 2, PX, mean, std)
    samples = ImageSamples(data, EvaluationView(CenterSquare(PX), mean, std), cpu, plan)
    pool = samples.split("train")
    batches = Batches(
        samples=samples,
        pool=pool,
        batch_size=BATCH,
        steps_per_epoch=len(pool) // BATCH,
        epochs=2,
        seed=0,
        sampling=UNIFORM,
        with_labels=False,
        device=cpu,
    )
    for epoch in range(2):
        for batch in batches.epoch(epoch):
            yield batch.views[0].shape[1]


def _of_webdataset(out: Path) -> Any:
    import torch
    import webdataset
    from torchvision.transforms import v2

    views = v2.Compose(
        [
            v2.RandomResizedCrop(PX, antialias=True),
            v2.RandomHorizontalFlip(),
            v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], 0.8),
            v2.RandomGrayscale(0.2),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize([0.5] * 3, [0.25] * 3),
        ]
    )
    files = sorted(str(path) for path in (out / "tar").glob("*.tar"))
    pipeline = (
        webdataset.WebDataset(files, shardshuffle=len(files), empty_check=False)
        .shuffle(1000)
        .decode("pil")
        .to_tuple("jpg", "cls")
        .map_tuple(lambda image: torch.stack([views(image), views(image)]), int)
        .batched(BATCH, partial=False)
    )
    cores = len(os.sched_getaffinity(0))
    batches = webdataset.WebLoader(pipeline, batch_size=None, num_workers=cores)
    for _ in range(2):
        for pairs, _ in batches:
            yield len(pairs)


if __name__ == "__main__":
    main()
