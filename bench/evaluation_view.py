"""What a frozen encoder sees of a photograph, against Pillow's own resize of its centered square.

    python bench/evaluation_view.py $NEARFAR_DATA/flowers5.tar --weights \
        $NEARFAR_DATA/tf_efficientnet_lite0_imagenet.safetensors --out /tmp/evaluation_view

For a few images: the mean absolute difference in gray levels, and the cosine of representations
(mean and worst; float32), between Pillow's antialiased resize of the picture as the file holds it
and

- "evaluated": what nearfar evaluates, embeds and predicts with;
- "training square": the centered square read from the square that training keeps, without
  antialiasing, as nearfar evaluated before 0.2.0 (it is what policy none shows).

`--picture-px` resizes the images first, to that shorter side, as PNG; `--mosaic` makes JPEGs of so
many by so many of them, at 128 px each, which nearfar reads at the files' own reduced scale.
"""

import argparse
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from nearfar.data.center import CenterSquare
from nearfar.data.decoding import Decoded, decode, raw_bytes
from nearfar.data.samples import EvaluationView
from nearfar.data.sources import open_source
from nearfar.nn.building import build_encoder
from nearfar.nn.published import published
from nearfar.nn.weights import load_weights
from nearfar.views.making import ViewPlan, make_views
from nearfar.views.policies import named_policy

HALF = (0.5, 0.5, 0.5)


def contents(source: str, images: int, px: int | None, mosaic: int) -> list[bytes]:
    """`images` files of the source, or as many made of it."""
    listing = open_source(source)
    many = images * mosaic**2
    wanted = np.linspace(0, len(listing) - 1, many).round().astype(int)
    chosen = set(wanted.tolist())
    raws = {row: raw_bytes(raw) for row, raw in listing.reader.read() if row in chosen}
    found = [raws[row] for row in wanted.tolist()]
    if mosaic > 1:
        order = np.random.default_rng(0).permutation(many).reshape(images, mosaic, mosaic)
        return [_mosaic(found, numbers) for numbers in order]
    return found if px is None else [_resized(content, px) for content in found]


def _opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content)).convert("RGB")


def _resized(content: bytes, px: int) -> bytes:
    image = _opened(content)
    size = round(px / min(image.size) * image.width), round(px / min(image.size) * image.height)
    out = io.BytesIO()
    image.resize(size, Image.Resampling.LANCZOS).save(out, "PNG")
    return out.getvalue()


def _mosaic(files: list[bytes], numbers: np.ndarray) -> bytes:
    whole = Image.new("RGB", (128 * numbers.shape[1], 128 * numbers.shape[0]))
    for (y, x), number in np.ndenumerate(numbers):
        whole.paste(_opened(files[number]).resize((128, 128)), (128 * x, 128 * y))
    out = io.BytesIO()
    whole.save(out, "JPEG", quality=90)
    return out.getvalue()


def by_pillow(content: bytes, center: CenterSquare) -> np.ndarray:
    image = _opened(content)
    side = round(center.crop * min(image.size))
    left, top = (image.width - side) // 2, (image.height - side) // 2
    how = Image.Resampling[center.interpolation.upper()]
    cut = image.crop((left, top, left + side, top + side))
    return np.asarray(cut.resize((center.size, center.size), how))


def from_training_square(found: Decoded, center: CenterSquare) -> np.ndarray:
    """Of the whole centered square only."""
    from nearfar.core.types import StoredImages

    stored = StoredImages(
        torch.from_numpy(found.square.copy())[None],
        torch.from_numpy(found.half.copy())[None],
        torch.tensor([[found.width, found.height]]),
    )
    nought, one, row = (0.0,) * 3, (1.0,) * 3, torch.zeros(1, dtype=torch.int64)
    plan = ViewPlan(named_policy("none"), 1, center.size, nought, one)
    (views,) = make_views(stored, plan, seed=0, epoch=0, index=row, draw=row)
    return 255 * views[0, 0].permute(1, 2, 0).numpy()


def compared(theirs: np.ndarray, ours: np.ndarray, view: EvaluationView, encoder: Any) -> Any:
    with torch.inference_mode():
        a, b = (encoder(view.normalized(torch.from_numpy(x.copy()))) for x in (theirs, ours))
    cosine = torch.nn.functional.cosine_similarity(a, b)
    return {
        "gray levels": float(np.abs(theirs.astype(float) - ours).mean()),
        "cosine": float(cosine.mean()),
        "worst": float(cosine.min()),
    }


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("source")
    asked.add_argument("--weights", required=True)
    asked.add_argument("--encoder", default="tf_efficientnet_lite0")
    asked.add_argument("--size", type=int, default=128)
    asked.add_argument("--images", type=int, default=64)
    asked.add_argument("--picture-px", type=int)
    asked.add_argument("--mosaic", type=int, default=1)
    asked.add_argument("--out", type=Path)
    given = asked.parse_args()
    files = contents(given.source, given.images, given.picture_px, given.mosaic)
    encoder = build_encoder(given.encoder, example=torch.zeros(1, 3, given.size, given.size))
    load_weights(encoder, Path(given.weights))
    encoder.eval()
    stated = published(given.encoder)
    results: dict[str, Any] = {"files": len(files), "size": given.size}
    longest = int(np.median([max(Image.open(io.BytesIO(file)).size) for file in files]))
    for name, (crop, how) in {
        "whole square, bilinear": (1.0, "bilinear"),
        "as published": (stated.crop, stated.interpolation) if stated else (1.0, "bilinear"),
    }.items():
        center = CenterSquare(given.size, crop, how)
        view = EvaluationView(center, HALF, HALF)
        side = min(2 * given.size, longest)
        found = [decode(file, side, center) for file in files]
        theirs = np.stack([by_pillow(file, center) for file in files])
        ours = np.stack([one.evaluated for one in found])
        results[name] = {"evaluated": compared(theirs, ours, view, encoder)}
        if crop == 1:
            square = np.stack([from_training_square(one, center) for one in found])
            results[name]["training square"] = compared(theirs, square, view, encoder)
    text = json.dumps(results, indent=1)
    print(text)
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "evaluation_view.json").write_text(text)


if __name__ == "__main__":
    main()
