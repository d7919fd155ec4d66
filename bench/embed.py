"""`nearfar embed` against timm with torch's DataLoader, on photographs of two sizes.

    NEARFAR_DATA=FOLDER python bench/embed.py OUT [--sizes 500x375,4000x3000] [--images 2048,256]
    [--repeats 5] [--sides nearfar,nearfar_bf16,timm]
    NEARFAR_DATA=FOLDER python bench/embed.py OUT --memory [--pictures 20000]

FOLDER holds flowers5.tar and the ImageNet weights of tf_efficientnet_lite0. The pictures are JPEGs
(quality 90) made of its photographs side by side: at their own 128 px (87 KB), from a thousand px
on at 256 px (2.9 MB), as cameras that large are not sharp to the pixel. The encoder sees them at
128 px. Sides take turns, each a process of its own that first embeds 64 pictures, which are not
counted; from there the whole call counts: of nearfar `embed` with loading the run, listing the
folder and writing the file, of timm the loop and np.savez. Medians of `--repeats`.

timm's side is what a run's report prints to load it without nearfar, in a DataLoader of two workers
with batches of `--batch`, in inference mode, channels last: the fastest that its documentation and
torch's tuning guide name. Of both sides the embeddings are compared: the largest difference, and
the smallest cosine.

`--memory` embeds many pictures (links to a thousand files) and says by how much the process grows
after the first thousand. Writes OUT/embed.json and OUT/embed.md, or OUT/memory.json.
"""

import argparse
import io
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

ENCODER, MEAN, STD = "tf_efficientnet_lite0", 127 / 255, 128 / 255
WEIGHTS = "tf_efficientnet_lite0_imagenet.safetensors"
PX = 128  # of the encoder's input, and of the photographs that pictures are made of
WARMING, WORKERS, DISTINCT = 64, 2, 1000
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--sizes", default="500x375,4000x3000")
    parser.add_argument("--images", default="2048,256", help="of each size")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--sides", default="nearfar,nearfar_bf16,timm")
    parser.add_argument("--batch", type=int, default=64, help="of timm's side")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--pictures", type=int, default=20_000, help="with --memory")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)  # side, folder of pictures
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    if asked.one:
        side, folder = asked.one
        print(json.dumps(measured(side, asked.out, Path(folder), asked.batch)))
    elif asked.memory:
        memory(asked.out, asked.pictures)
    else:
        compare(asked)


def compare(asked: argparse.Namespace) -> None:
    run(asked.out)
    sides, found = asked.sides.split(","), []
    for size, images in zip(asked.sizes.split(","), asked.images.split(","), strict=True):
        folder = pictures(asked.out, size, int(images))
        rows: dict[str, list[Row]] = {side: [] for side in sides}
        for _, side in itertools.product(range(asked.repeats), sides):
            rows[side].append(in_a_process(asked.out, side, folder, asked.batch))
            shown = {key: round(value, 2) for key, value in rows[side][-1].items()}
            print(size, side, shown, file=sys.stderr, flush=True)
        found += [summary(asked.out, size, side, rows) for side in sides]
    (asked.out / "embed.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    (asked.out / "embed.md").write_text(table(found), encoding="utf-8")
    print(table(found))


def summary(out: Path, size: str, side: str, rows: dict[str, list[Row]]) -> Row:
    """`times`: the speed over that of timm in the same turn, the median of the turns."""
    row: Row = {"size": size, "side": side}
    for name in ("images_a_second", "cpu_ms_an_image", "faults_an_image"):
        row[name] = statistics.median(one[name] for one in rows[side])
    if "timm" in rows:
        speeds = [[one["images_a_second"] for one in rows[name]] for name in (side, "timm")]
        row["times"] = statistics.median(
            ours / theirs for ours, theirs in zip(*speeds, strict=True)
        )
        row |= agreement(embeddings(out, side), embeddings(out, "timm"))
    return row


def agreement(ours: np.ndarray, theirs: np.ndarray) -> Row:
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    cosines = (ours * theirs).sum(axis=1) / lengths
    return {"largest_difference": float(abs(ours - theirs).max()), "cosine": float(cosines.min())}


def table(found: list[Row]) -> str:
    names = [name for name in found[0] if name not in ("size", "side")]
    lines = [f"| pictures | side | {' | '.join(name.replace('_', ' ') for name in names)} |"]
    lines.append("|---" * (2 + len(names)) + "|")
    for row in found:
        cells = [f"{row[name]:.4g}" for name in names]
        lines.append(f"| {row['size']} | {row['side']} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def in_a_process(out: Path, side: str, folder: Path, batch: int) -> Row:
    """nearfar's has what its command sets, timm's the environment as it comes."""
    passive = {} if side == "timm" else {"OMP_WAIT_POLICY": "passive"}
    command = [sys.executable, __file__, str(out), "--batch", str(batch)]
    done = subprocess.run(
        [*command, "--one", side, str(folder)],
        env=os.environ | passive,
        stdout=subprocess.PIPE,
        check=True,
    )
    row: Row = json.loads(done.stdout.decode().splitlines()[-1])
    return row


def measured(side: str, out: Path, folder: Path, batch: int) -> Row:
    embed = by_timm if side == "timm" else by_nearfar
    embed(out, folder.with_name("warming"), f"{side}_warming", batch)
    before, started = spent(), time.perf_counter()
    images = embed(out, folder, side, batch)
    seconds, after = time.perf_counter() - started, spent()
    return {
        "images_a_second": images / seconds,
        "cpu_ms_an_image": 1000 * (after[0] - before[0]) / images,
        "faults_an_image": (after[1] - before[1]) / images,
    }


def spent() -> tuple[float, int]:
    """Processor seconds and pages mapped, of this process and those it has waited for."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in both), sum(one.ru_minflt for one in both)


def embeddings(out: Path, side: str) -> np.ndarray:
    with np.load(out / f"{side}.npz") as file:
        found: np.ndarray = file["embeddings"]
    return found


def by_nearfar(out: Path, folder: Path, name: str, _batch: int) -> int:
    from nearfar.api.embed import embed

    options = {"precision": "bf16"} if name.startswith("nearfar_bf16") else {}
    done = embed(out / "run", folder, out / f"{name}.npz", force=True, quiet=True, **options)
    return int(done["rows"])


def by_timm(out: Path, folder: Path, name: str, batch: int) -> int:
    import torch
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset

    from nearfar.report.loading import loading_lines

    folder = out / "run" / "encoder"
    about = json.loads((folder / "config.json").read_text())["nearfar"]
    names: Row = {}
    exec(loading_lines(about, folder / "model.safetensors"), names)
    encoder = names["encoder"].to(memory_format=torch.channels_last)
    paths = sorted(folder.glob("*.jpg"))

    class Pictures(Dataset[torch.Tensor]):
        def __len__(self) -> int:
            return len(paths)

        def __getitem__(self, index: int) -> torch.Tensor:
            row: torch.Tensor = names["to_input"](Image.open(paths[index]))[0]
            return row

    loader = DataLoader(Pictures(), batch_size=batch, num_workers=WORKERS)
    with torch.inference_mode():
        x = [encoder(rows.contiguous(memory_format=torch.channels_last)) for rows in loader]
    np.savez(out / f"{name}.npz", embeddings=torch.cat(x).numpy())
    return len(paths)


def run(out: Path) -> Path:
    """A run with the given weights; nothing is trained."""
    import nearfar

    settings = {
        "data.size": PX,
        "encoder.weights": str(Path(os.environ["NEARFAR_DATA"]) / WEIGHTS),
        "encoder.mean": (MEAN,) * 3,
        "encoder.std": (STD,) * 3,
    }
    if not (out / "run").exists():
        photographs = Path(os.environ["NEARFAR_DATA"]) / "flowers5.tar"
        nearfar.train(
            photographs, method="frozen", encoder=ENCODER, out=out / "run", quiet=True, **settings
        )
    return out / "run"


def pictures(out: Path, size: str, images: int) -> Path:
    """A flat folder of so many pictures, and one of a few beside it."""
    width, height = (int(px) for px in size.split("x"))
    folder = out / size / f"{images}"
    distinct = min(images, DISTINCT if width < 1000 else 32)
    draw(folder.with_name("distinct"), width, height, distinct)
    for target, count in ((folder, images), (folder.with_name("warming"), WARMING)):
        target.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            path = target / f"{number:06d}.jpg"
            if not path.exists():
                path.hardlink_to(folder.with_name("distinct") / f"{number % distinct:06d}.jpg")
    return folder


def draw(folder: Path, width: int, height: int, count: int) -> None:
    """Photographs side by side, in an order of its own in each."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    tiles: list[Image.Image] = []
    px = PX if width < 1000 else 2 * PX
    columns, rows = -(-width // px), -(-height // px)
    for number in range(count):
        path = folder / f"{number:06d}.jpg"
        if path.exists():
            continue
        tiles = tiles or photographs(px)
        chosen = np.random.default_rng(number).integers(len(tiles), size=(columns, rows))
        whole = Image.new("RGB", (width, height))
        for (x, y), tile in np.ndenumerate(chosen):
            whole.paste(tiles[tile], (px * x, px * y))
        whole.save(path, quality=90)


def photographs(px: int) -> list[Any]:
    from PIL import Image

    with tarfile.open(Path(os.environ["NEARFAR_DATA"]) / "flowers5.tar") as archive:
        files = [archive.extractfile(member) for member in archive if member.name.endswith(".jpg")]
        found = [Image.open(io.BytesIO(file.read())).convert("RGB") for file in files if file]
    return [image.resize((px, px), Image.Resampling.BICUBIC) for image in found]


def memory(out: Path, count: int) -> None:
    """In this process: what it has resident after each thousand pictures."""
    from nearfar.core.progress import Bar

    run(out)
    folder = pictures(out, "500x375", count)
    done, resident = 0, list[float]()

    def advance(_bar: Bar, n: int = 1, text: str = "") -> None:
        nonlocal done
        del text
        if (done + n) // 1000 > done // 1000:
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            resident.append(pages * resource.getpagesize() / 1e6)
            print(f"{done + n} pictures: {resident[-1]:.0f} MB", file=sys.stderr, flush=True)
        done += n

    with patch.object(Bar, "advance", advance):
        by_nearfar(out, folder, "memory", 0)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    grown = {"resident_mb": resident, "grown_mb": max(resident) - resident[0], "peak_mb": peak}
    (out / "memory.json").write_text(json.dumps(grown, indent=1) + "\n", encoding="utf-8")
    print(f"grows by {grown['grown_mb']:.0f} MB after the first thousand; peak {peak:.0f} MB")


if __name__ == "__main__":
    main()
