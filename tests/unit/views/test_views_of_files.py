"""From the bytes of a file to the values of a view: what decoding converts arrives, upright and in
its true shape.
"""

import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from views_pictures import RAW, policy, views_of

from nearfar.core.types import StoredImages
from nearfar.data.decoding import Decoded, decode
from nearfar.views.making import ViewPlan, make_views
from nearfar.views.operations import Crop
from nearfar.views.policies import POLICIES, named_policy


def stored(image: Image.Image, kind: str, side: int, **options: Any) -> StoredImages:
    out = io.BytesIO()
    image.save(out, kind, **options)
    result = decode(out.getvalue(), side)
    assert isinstance(result, Decoded)
    square, half = (
        torch.from_numpy(pixels.copy())[None] for pixels in (result.square, result.half)
    )
    return StoredImages(square, half, torch.tensor([[result.width, result.height]]))


def colors(width: int = 12, height: int = 12) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


RGB = Image.fromarray(colors())
GRAY = np.array([0.299, 0.587, 0.114])
PALETTE = RGB.quantize(16)


@pytest.mark.parametrize(
    ("image", "kind", "wanted", "tolerance"),
    [
        (RGB, "PNG", colors(), 0),
        (RGB.convert("L"), "PNG", colors() @ GRAY, 0.51),
        (RGB.convert("LA"), "PNG", colors() @ GRAY, 0.51),
        (RGB.convert("RGBA"), "PNG", colors(), 0),
        (
            Image.fromarray(np.dstack([colors(), np.full((12, 12), 51, np.uint8)])),
            "PNG",
            0.2 * colors() + 204,
            1.01,
        ),
        (Image.fromarray(colors()[..., 0].astype(np.uint16) * 257), "PNG", colors()[..., 0], 0),
        (Image.fromarray(colors()[..., 0] > 99), "PNG", 255 * (colors()[..., 0] > 99), 0),
        (PALETTE, "PNG", np.asarray(PALETTE.convert("RGB")), 0),
        (RGB.convert("CMYK"), "TIFF", colors(), 2),
    ],
    ids=[
        "RGB",
        "gray",
        "gray, alpha",
        "opaque",
        "transparent",
        "16-bit",
        "1-bit",
        "palette",
        "CMYK",
    ],
)
def test_every_mode_arrives_in_a_view_as_documented(image, kind, wanted, tolerance):
    view = 255 * views_of(stored(image, kind, 12), ViewPlan(POLICIES["none"], 1, 12, **RAW))[0, 0]
    wanted = np.broadcast_to(np.asarray(wanted, float).reshape(12, 12, -1), (12, 12, 3))
    assert np.abs(view.permute(1, 2, 0).numpy() - wanted).max() <= tolerance + 1e-3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_photograph_arrives_upright_in_its_true_shape(orientation):
    upright = Image.fromarray(np.repeat(np.repeat(colors(6, 3), 8, 0), 8, 1))  # 48 x 24
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    turned = upright.transpose(Image.Transpose(back[orientation])) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    plan = ViewPlan(named_policy("none"), 1, 24, **RAW)
    view = views_of(stored(turned, "PNG", 48, exif=exif), plan)[0, 0]
    assert torch.equal(view, views_of(stored(upright, "PNG", 48), plan)[0, 0])
    middle = torch.from_numpy(colors(6, 3)[1, 2]).float()
    assert (255 * view[:, 11:13, 7:9].mean((1, 2)) - middle).abs().max() < 20


@pytest.mark.parametrize(
    ("width", "height"), [(1, 1), (1, 10_000), (20_000, 1), (20_000, 40), (3, 2)]
)
@pytest.mark.parametrize("name", ["none", "simclr", "stacked_rand_augment", "patches", "swav"])
def test_dots_posts_and_roads_make_views(width, height, name):
    """Without color operations the values stay those of the picture: two grays, and what lies
    between.
    """
    pixels = np.full((height, width, 3), 90, np.uint8)
    pixels[: height // 2, : width // 2] = 160
    image = stored(Image.fromarray(pixels), "PNG", 32)
    assert image.size_px.tolist() == [[width, height]]
    zero = torch.zeros(1, dtype=torch.int64)
    for views in make_views(
        image, ViewPlan(named_policy(name), 4, 16, **RAW), seed=0, epoch=0, index=zero, draw=zero
    ):
        assert views.isfinite().all()
        assert views.min() >= 0
        assert views.max() <= 1 + 1e-6
        if name in ("none", "patches"):  # bicubic squashing overshoots a little
            assert 255 * views.min() > 70
            assert 255 * views.max() < 180


def test_a_crop_of_a_road_is_a_stretch_of_it():
    """20,000 x 100 px in 200 stripes: a square crop shows one of them, or two that are
    neighbors.
    """
    stripes = np.repeat(np.arange(200, dtype=np.uint8), 100)
    road = stored(Image.fromarray(np.broadcast_to(stripes, (100, 20_000)).copy()), "PNG", 400)
    plan = ViewPlan(policy(Crop(area=(0.001, 0.004), aspect=(1, 1))), 20, 8, **RAW)
    views = 255 * views_of(road, plan)[:, 0, 0]
    assert (views.amax((1, 2)) - views.amin((1, 2))).max() < 1.5
    assert torch.allclose(views, views[:, :1].expand_as(views), atol=0.01)
    assert len(views.mean((1, 2)).round().unique()) > 12
