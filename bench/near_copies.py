"""Planted near copies: how many are found, and what else is.

    python bench/near_copies.py OUT [--data FOLDER] [--sets flowers5.tar,cifar10.tar.xz:3000,...]
    [--each 60] [--seed 0] [--threads 2] [--large 10000]

Of each set (":3000": so many of its images, drawn; ":0:oblong": all, cut to 8 : 5 and 3 : 4 by
turns, for the sets' images are square) `--each` copies by each transformation are
planted, each of another image where there are enough, and saved as JPEG, quality 92: crops to
70-90 % of the area (any place, the proportions changed by up to 11 %), mirror images, turns by up
to 25 degrees either way (in the frame with black corners, in a larger frame, or cut to what is
whole), stretches to .8-1.25 of the proportions, JPEG qualities 30-90, brightness .8-1.2.

recall: planted pairs that are found. Pairs among the set's own images are found in a run without
copies; OUT/SET.png shows them to be looked at, and they, and copies of one image beside copies of
the other, are left out. precision: planted pairs among all others that are found.

`--large`: the seconds of `nearfar check`'s pass over so many JPEGs of 500 x 375 px (cifar10's
images, enlarged, in OUT/large). Writes OUT/near_copies.json and prints the tables.
"""

import argparse
import io
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageEnhance

from nearfar.core.hardware import describe
from nearfar.core.progress import Progress
from nearfar.data import open_source
from nearfar.data.decoding import Broken, decode
from nearfar.data.groups import copies
from nearfar.data.looking import look
from nearfar.data.near import SIDE, gray_picture, near_copies
from nearfar.views.pair_sheet import PAIRS, Pair, pair_sheet

Random = np.random.Generator
SETS = (
    "flowers5.tar,flowers5.tar:0:oblong,signdigits10.tar,signdigits10.tar:0:oblong,"
    "stl10_unlabeled.tar,cifar10.tar.xz:3000,omniglot8.tar.xz"
)
CUBIC = Image.Resampling.BICUBIC


def saved(image: Image.Image, quality: int = 92) -> Image.Image:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return Image.open(io.BytesIO(out.getvalue())).convert("RGB")


def between(random: Random, low: float, high: float) -> float:
    """A factor, as likely below its middle as above."""
    return float(np.exp(random.uniform(np.log(low), np.log(high))))


def cropped(image: Image.Image, random: Random) -> Image.Image:
    (w, h), area = image.size, random.uniform(0.7, 0.9)
    wide = min(w, round(w * np.sqrt(area * between(random, 0.9, 1 / 0.9))))
    high = min(h, round(w * h * area / wide))
    x, y = int(random.integers(w - wide + 1)), int(random.integers(h - high + 1))
    return image.crop((x, y, x + wide, y + high))


def turned(image: Image.Image, random: Random) -> Image.Image:
    return image.rotate(random.uniform(-25, 25), CUBIC)


def turned_in_a_larger_frame(image: Image.Image, random: Random) -> Image.Image:
    return image.rotate(random.uniform(-25, 25), CUBIC, expand=True)


def turned_and_cut(image: Image.Image, random: Random) -> Image.Image:
    degrees, (w, h) = random.uniform(-25, 25), image.size
    c, s = np.cos(np.radians(degrees)), abs(np.sin(np.radians(degrees)))
    share = min(w / (w * c + h * s), h / (w * s + h * c))
    wide, high = int(w * share), int(h * share)
    x, y = (w - wide) // 2, (h - high) // 2
    return image.rotate(degrees, CUBIC).crop((x, y, x + wide, y + high))


def stretched(image: Image.Image, random: Random) -> Image.Image:
    (w, h), wider = image.size, between(random, 0.8, 1.25)
    return image.resize((round(w * np.sqrt(wider)), round(h / np.sqrt(wider))), CUBIC)


TRANSFORMATIONS: dict[str, Callable[[Image.Image, Random], Image.Image]] = {
    "crop": cropped,
    "mirror": lambda image, _: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "turn": turned,
    "turn, larger frame": turned_in_a_larger_frame,
    "turn, cut": turned_and_cut,
    "stretch": stretched,
    "JPEG": lambda image, random: saved(image, int(random.integers(30, 91))),
    "brightness": lambda i, random: ImageEnhance.Brightness(i).enhance(random.uniform(0.8, 1.2)),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, default=Path())
    parser.add_argument("--sets", default=SETS)
    parser.add_argument("--each", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--large", type=int, default=0)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    asked.out.mkdir(parents=True, exist_ok=True)
    found = [
        measure(text, asked.data, asked.each, asked.seed, asked.out)
        for text in asked.sets.split(",")
        if text
    ]
    about = {**describe(torch.device("cpu")), "torch": torch.__version__, "seed": asked.seed}
    about |= {"python": platform.python_version(), "each": asked.each, "threads": asked.threads}
    record: dict[str, Any] = {"about": about, "sets": found}
    print(table(found))
    if asked.large:
        record["large"] = timed(asked.data / "cifar10.tar.xz", asked.large, asked.out / "large")
        print(record["large"])
    text = json.dumps(record, indent=1)
    (asked.out / "near_copies.json").write_text(text + "\n", encoding="utf-8")


def images_of(path: Path, few: int, seed: int) -> tuple[list[str], list[Image.Image]]:
    """Different images of a set, `few` of them drawn; 0: all."""
    listing = open_source(path)
    read = [(listing.paths[row], raw) for row, raw in listing.reader.read()]
    images = [(name, Image.open(io.BytesIO(raw)).convert("RGB")) for name, raw in read]
    stored = np.stack([square(image) for _, image in images])
    sizes = np.array([image.size for _, image in images])
    kept = np.unique(copies(stored, sizes))
    if few and few < len(kept):
        kept = np.sort(np.random.default_rng(seed).choice(kept, few, replace=False))
    return [images[row][0] for row in kept], [images[row][1] for row in kept]


def square(image: Image.Image) -> np.ndarray:
    read = decode(np.asarray(image), SIDE)
    assert not isinstance(read, Broken)
    return read.square


def pairs_among(images: list[Image.Image]) -> tuple[np.ndarray, np.ndarray]:
    pictures = np.stack([gray_picture(square(image)) for image in images])
    found = near_copies(pictures, np.array([image.size for image in images]), Progress(quiet=True))
    return found.pairs, found.likeness


def oblong(image: Image.Image, number: int) -> Image.Image:
    w, h = image.size
    return image.crop(
        (w // 8, 0, w - w // 8, h) if number % 2 else (0, h // 8, w, h // 8 + h * 5 // 8)
    )


def measure(text: str, data: Path, each: int, seed: int, out: Path) -> dict[str, Any]:
    file, few, shape = (*text.split(":"), "", "")[:3]
    names, images = images_of(data / file, int(few or 0), seed)
    images = [oblong(image, k) for k, image in enumerate(images)] if shape else images
    title = " ".join([file.partition(".")[0], shape]).strip()
    own, _ = pairs_among(images)
    show(names, images, own, out / f"{title.replace(' ', '-')}.png")
    random = np.random.default_rng(seed)
    order, kinds, planted = random.permutation(len(images)), [], []
    originals: list[int] = []
    for kind, change in TRANSFORMATIONS.items():
        for _ in range(each):
            originals.append(int(order[len(originals) % len(order)]))
            copy = change(images[originals[-1]], random)
            planted.append(copy if kind == "JPEG" else saved(copy))
            kinds.append(kind)
    began = time.perf_counter()
    pairs, _ = pairs_among([*images, *planted])
    seconds = time.perf_counter() - began
    there = {tuple(pair) for pair in pairs.tolist()}
    root = np.array([*range(len(images)), *originals])
    known = {tuple(pair) for pair in own.tolist()} | {(b, a) for a, b in own.tolist()}
    of_one = int(sum(root[a] == root[b] for a, b in there))
    others = [(a, b) for a, b in there if root[a] != root[b] and (root[a], root[b]) not in known]
    hits = np.array([(o, len(images) + k) in there for k, o in enumerate(originals)])
    return {
        "set": title,
        "images": len(images),
        "recall": {k: float(hits[np.array(kinds) == k].mean()) for k in TRANSFORMATIONS},
        "recall_of_all": float(hits.mean()),
        "precision": of_one / max(of_one + len(others), 1),
        "own_pairs": len(own),
        "seconds": round(seconds, 1),
    }


def show(names: list[str], images: list[Image.Image], pairs: np.ndarray, path: Path) -> None:
    """The set's own pairs, to be looked at."""
    drawn = [
        Pair((images[a], images[b]), ("set", "set"), (names[a], names[b]))
        for a, b in pairs.tolist()
    ]
    if drawn:
        about = f"{min(len(drawn), PAIRS)} of {len(drawn)}"
        pair_sheet(drawn[:PAIRS], title="pairs that nobody planted", about=about).save(path)


def timed(path: Path, count: int, folder: Path) -> dict[str, Any]:
    if not folder.exists():
        _, images = images_of(path, count, 0)
        folder.mkdir()
        for number, image in enumerate(images):
            image.resize((500, 375), CUBIC).save(folder / f"{number:06d}.jpg", quality=90)
    listing = open_source(folder)
    began, busy = time.perf_counter(), time.process_time()
    seen = look(listing, Progress())
    assert seen.near is not None
    return {
        "images": len(listing),
        "seconds": round(time.perf_counter() - began, 1),
        "cpu_seconds": round(time.process_time() - busy, 1),
        "pairs": len(seen.near.pairs),
    }


def table(found: list[dict[str, Any]]) -> str:
    kinds = list(TRANSFORMATIONS)
    lines = [
        f"| set | images | {' | '.join(kinds)} | all | precision | own pairs | seconds |",
        f"|{'---|' * (len(kinds) + 6)}",
    ]
    for one in found:
        shares = [f"{one['recall'][kind]:.3f}" for kind in kinds]
        ends = [f"{one['recall_of_all']:.3f}", f"{one['precision']:.3f}"]
        ends += [str(one["own_pairs"]), str(one["seconds"])]
        lines.append(f"| {' | '.join([one['set'], str(one['images']), *shares, *ends])} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
