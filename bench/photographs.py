"""From given weights: nearfar beside forty lines of timm and torch, on three sets of images.

    NEARFAR_DATA=FOLDER python bench/photographs.py OUT [--seeds 3] [--sets flowers5,...]
    [--candidates frozen,cross_entropy,supcon,supcon_finetuned,joint,script,script_twice,fastai]
    [--table]

FOLDER holds flowers5.tar (128 px), signdigits10.tar and cifar10.tar.xz (64 px; of its training
images the tenth whose names have the smallest SHA-256), and the ImageNet weights of
tf_efficientnet_lite0. Every candidate starts from them. nearfar's have its defaults but for size
and epochs; the script is AdamW 1e-3, batch 32, cosine after a tenth of warm-up, label smoothing .1,
crop .35-1 and flip. `script_twice` has twice the epochs: as many views as the methods of two
views. `supcon_finetuned` is SupCon, then a classifier stage that trains the encoder with it, by
AdamW at the same rate; together they see as many views as supcon. `fastai` (bench/fastai_peer.py;
it wants `pip install fastai` besides) has its own defaults.
Training images are those that are no validation images in nearfar's own cut, for all candidates.
Each run is a process on one thread; OUT/photographs.jsonl has a line a run, and what is done is not
done again.
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
from pathlib import Path
from typing import Any

ENCODER, MEAN, STD = "tf_efficientnet_lite0", 127 / 255, 128 / 255
WEIGHTS = "tf_efficientnet_lite0_imagenet.safetensors"
SETS = {
    "flowers5": ("flowers5.tar", 128, 5),
    "signdigits10": ("signdigits10.tar", 64, 10),
    "cifar10_tenth": ("cifar10.tar.xz", 64, 5),
}
SHOWN = (
    "head.top1",
    "linear_probe.top1",
    "knn.top1",
    "few_label_probe.top1@10",
    "classifier.top1",
)
FINETUNED = "_finetuned"
STAGE = {"kind": "linear", "encoder": "finetuned", "optimizer": "adamw", "lr": 1e-3}
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument(
        "--candidates", default="frozen,cross_entropy,supcon,joint,script,script_twice"
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--table", action="store_true", help="print what is done, and run nothing")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)  # set, candidate, seed
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    log = chosen.out / "photographs.jsonl"
    if chosen.one:
        name, candidate, seed = chosen.one
        row = run(chosen.out, name, candidate, int(seed))
        with log.open("a") as lines:
            lines.write(json.dumps({"set": name, "candidate": candidate, "seed": int(seed)} | row))
            lines.write("\n")
        return
    candidates = chosen.candidates.split(",")
    todo = itertools.product(range(chosen.seeds), chosen.sets.split(","), candidates)
    for seed, name, candidate in () if chosen.table else todo:
        same = {"set": name, "candidate": candidate, "seed": seed}
        if not any(same.items() <= row.items() for row in rows(log)):
            start(__file__, [str(chosen.out)], name, candidate, str(seed))
    print(table(rows(log)))


def rows(log: Path) -> list[Row]:
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def start(script: str, options: list[str], *one: str) -> None:
    """A run in a process of its own, on one thread; how it ended is printed."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, script, *options, "--one", *one]
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    last = (done.stderr.decode().strip().splitlines() or ["died"])[-1]
    print(*one, last if done.returncode else "done", file=sys.stderr, flush=True)


def run(out: Path, name: str, candidate: str, seed: int) -> Row:
    import torch

    torch.set_num_threads(1)
    source, size, epochs = SETS[name]
    data = Path(os.environ["NEARFAR_DATA"]) / source
    if name == "cifar10_tenth":
        data = part(data, out / "cifar10_tenth.tar", images=500)
    started = time.process_time()
    if candidate == "fastai":
        import fastai_peer

        row = fastai_peer.run(data, size, epochs, seed)
    elif candidate.startswith("script"):
        times = 2 if candidate == "script_twice" else 1
        row = script(data, size, epochs * times, seed)
    else:
        row = nearfar_run(data, size, epochs, seed, candidate, out / "runs" / name)
    return row | {"cpu_seconds": time.process_time() - started}


def part(whole: Path, into: Path, *, images: int) -> Path:
    """So many training images a class, and all test images."""
    if into.exists():
        return into
    unfinished = into.with_suffix(f".{os.getpid()}")
    with tarfile.open(whole) as source, tarfile.open(unfinished, "w") as target:
        # all at once: going back in a packed archive is beginning anew
        content = {m.name: _bytes(source, m) for m in source if m.isfile()}
        folders: dict[str, list[str]] = {}
        for path in content:
            folders.setdefault(path.rpartition("/")[0], []).append(path)
        for folder, found in folders.items():
            most = images if "train" in Path(folder).parts else len(found)
            found.sort(key=lambda path: hashlib.sha256(path.encode()).hexdigest())
            for path in found[:most]:
                member = tarfile.TarInfo(path)
                member.size = len(content[path])
                target.addfile(member, io.BytesIO(content[path]))
    unfinished.rename(into)
    return into


def _bytes(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    assert file is not None
    return file.read()


def nearfar_run(data: Path, size: int, epochs: int, seed: int, method: str, out: Path) -> Row:
    import nearfar

    settings: dict[str, Any] = {"train.epochs": epochs} if method != "frozen" else {}
    if method.endswith(FINETUNED):
        # of two views each, then of one
        first = round(0.6 * epochs)
        stage = STAGE | {"encoder_lr": STAGE["lr"], "epochs": 2 * (epochs - first)}
        settings = {"train.epochs": first, **{f"classifier.{k}": v for k, v in stage.items()}}
    done = nearfar.train(
        data,
        method=method.removesuffix(FINETUNED),
        encoder=ENCODER,
        seed=seed,
        out=out / method / f"seed{seed}",
        force=True,
        quiet=True,
        **settings,
        **{
            "data.size": size,
            "encoder.weights": str(Path(os.environ["NEARFAR_DATA"]) / WEIGHTS),
            "encoder.mean": (MEAN,) * 3,
            "encoder.std": (STD,) * 3,
            "train.precision": "float32",
            "evaluate.selections": 0,
        },
    )
    found = {m["name"]: m for m in done.results["measurements"] if m["selection"] == "last"}
    row = {name: found[name]["value"] for name in SHOWN if name in found}
    return row | {"train_seconds": done.results["cost"]["train_seconds"]}


def script(data: Path, size: int, epochs: int, seed: int) -> Row:
    """Forty lines as a practitioner writes them."""
    import timm
    import torch
    from safetensors.torch import load_file
    from torch.utils.data import DataLoader, Dataset
    from torchvision.transforms import v2

    from nearfar.data.sources import open_source

    listing = open_source(data)
    raw = dict(images(data))
    normalize = [
        v2.ToImage(),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize([MEAN] * 3, [STD] * 3),
    ]
    crop = v2.RandomResizedCrop(size, scale=(0.35, 1.0), antialias=True)
    augment = v2.Compose([crop, v2.RandomHorizontalFlip(), *normalize])
    plain = v2.Compose([v2.Resize(size, antialias=True), v2.CenterCrop(size), *normalize])

    class Images(Dataset[tuple[torch.Tensor, int]]):
        def __init__(self, split: str, transform: v2.Transform) -> None:
            self.rows = [i for i, its in enumerate(listing.splits) if its == split]
            self.transform = transform

        def __len__(self) -> int:
            return len(self.rows)

        def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
            row = self.rows[index]
            image = raw[listing.paths[row]]
            return self.transform(image), int(listing.labels[row])

    torch.manual_seed(seed)
    model = timm.create_model(ENCODER, num_classes=len(listing.class_names))
    weights = load_file(Path(os.environ["NEARFAR_DATA"]) / WEIGHTS)
    body = {name: value for name, value in weights.items() if not name.startswith("classifier.")}
    model.load_state_dict(body, strict=False)
    # timm's own start of this layer, ± .45, costs the script 3 to 10 points in so few steps
    model.classifier = torch.nn.Linear(model.num_features, len(listing.class_names))
    loader = DataLoader(Images("train", augment), batch_size=32, shuffle=True, drop_last=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    steps = epochs * len(loader)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 1e-3, total_steps=steps, pct_start=0.1, cycle_momentum=False
    )
    started = time.perf_counter()
    for _ in range(epochs):
        model.train()
        for x, y in loader:
            loss = torch.nn.functional.cross_entropy(model(x), y, label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            schedule.step()
    seconds = time.perf_counter() - started
    model.eval()
    right = total = 0
    with torch.inference_mode():
        for x, y in DataLoader(Images("test", plain), batch_size=64):
            right += int((model(x).argmax(1) == y).sum())
            total += len(y)
    return {"head.top1": right / total, "train_seconds": seconds}


def images(data: Path) -> list[tuple[str, Any]]:
    from PIL import Image

    found = []
    with tarfile.open(data) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isfile() else None
            if file is not None and member.name.lower().endswith((".jpg", ".jpeg", ".png")):
                image = Image.open(io.BytesIO(file.read())).convert("RGB")
                found.append((member.name, image))
    return found


def table(done: list[Row]) -> str:
    head = ["set", "candidate", "own head", "linear probe", "kNN", "10 labels a class", "stage"]
    head += ["seconds", "seeds"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for name, candidate in dict.fromkeys((row["set"], row["candidate"]) for row in done):
        some = [r for r in done if (r["set"], r["candidate"]) == (name, candidate)]
        cells = [_mean([100 * r[shown] for r in some if shown in r]) for shown in SHOWN]
        seconds = f"{statistics.median(r['train_seconds'] for r in some):.0f}"
        lines.append(f"| {' | '.join([name, candidate, *cells, seconds, str(len(some))])} |")
    return "\n".join(lines)


def _mean(values: list[float]) -> str:
    if not values:
        return ""
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread}"


if __name__ == "__main__":
    main()
