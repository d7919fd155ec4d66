"""Gray of more than 8 bits: one value is white for a whole set."""

import io

import numpy as np
import pytest
from PIL import Image

import nearfar
from nearfar.data import CenterSquare, load, open_source
from nearfar.data.decoding import Decoded, decode, peek
from nearfar.data.rgb import Deep, White, to_rgb, white_of

SHAPE = (20, 20)


def saved(values: np.ndarray, kind: str) -> bytes:
    out = io.BytesIO()
    Image.fromarray(values).save(out, kind)
    return out.getvalue()


def gray(number: int, brightest: int) -> np.ndarray:
    values = np.random.default_rng(number).integers(0, brightest, SHAPE).astype(np.uint16)
    values[number % 20, 3] = brightest
    return values


@pytest.mark.parametrize(
    ("brightest", "white"),
    [(255, 255), (256, 1023), (1000, 1023), (4095, 4095), (4096, 16383), (16384, 65535)],
)
def test_white_is_the_least_of_a_whole_number_of_bits(brightest, white):
    some = [Deep(3.0, False), Deep(brightest, False)]
    assert white_of(some) == White(integer=white)
    assert white_of([]) == White()
    assert white_of([Deep(0.3, True), Deep(brightest, False)]) == White(white, 1.0)
    assert white_of([Deep(0.3, True), Deep(1.5, True)]).real == 255


def test_levels_are_shares_of_white_and_what_is_brighter_is_white():
    values = np.array([[0, 2048, 4095, 5000]], np.uint16)
    levels = np.asarray(to_rgb(Image.fromarray(values), White(integer=4095)))[0, :, 0]
    assert levels.tolist() == [0, 128, 255, 255]
    reals = Image.fromarray(np.array([[0, 0.5, 1.0, 3.0]], np.float32))
    assert np.asarray(to_rgb(reals, White(real=1.0)))[0, :, 0].tolist() == [0, 128, 255, 255]
    assert np.asarray(to_rgb(reals, White(real=255.0)))[0, :, 0].tolist() == [0, 0, 1, 3]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_a_peek_finds_the_brightest_of_deep_gray_alone(kind):
    found = peek(saved(gray(1, 4001), kind))
    assert found.deep == Deep(4001.0, False)
    assert peek(saved(gray(1, 200).astype(np.uint8), kind)).deep is None


@pytest.fixture
def twelve_bits(write):
    """One class is half as bright as the other."""
    contents = {
        f"{name}/{number}.png": saved(gray(number, brightest), "PNG")
        for name, brightest in (("dark", 2000), ("light", 4000))
        for number in range(12)
    }
    return write(contents)


def test_pictures_of_a_set_keep_their_brightness_among_each_other(twelve_bits):
    listing = open_source(twelve_bits)
    assert listing.white == White(integer=4095)
    data = load(listing, CenterSquare(20, white=listing.white))
    largest = data.images.reshape(len(data), -1).max(axis=1)
    for name, level in (("dark", 125), ("light", 249)):
        rows = [row for row, path in enumerate(data.paths) if path.startswith(name)]
        assert (largest[rows] == level).all()
    default = decode(twelve_bits / "light/0.png", 20)
    assert isinstance(default, Decoded)
    assert default.square.max() == 16  # what 12 of 16 bits are by themselves


def test_floating_point_pictures_are_on_one_scale(write):
    contents = {
        f"{name}/{number}.tif": saved(np.full(SHAPE, value, np.float32), "TIFF")
        for name, value in (("dim", 0.9), ("bright", 200.0))
        for number in range(6)
    }
    listing = open_source(write(contents))
    assert listing.white.real == 255
    data = load(listing, CenterSquare(20, white=listing.white))
    assert sorted({int(image.max()) for image in data.images}) == [1, 200]


def test_a_run_shows_new_pictures_as_its_own(twelve_bits, tmp_path, capsys):
    run = nearfar.train(
        twelve_bits, method="supcon", encoder="conv4", epochs=1, out=tmp_path / "run"
    )
    assert "16-bit white at 4,095" in capsys.readouterr().err
    model = run.load()
    assert model.view.center.white == White(integer=4095)
    path = twelve_bits / "light/3.png"
    of_file, of_image = model.embed([path]), model.embed([Image.open(path)])
    np.testing.assert_array_equal(of_file, of_image)
    levels = (gray(3, 4000).astype(int) * 255 + 2047) // 4095
    eight_bits = np.repeat(levels.astype(np.uint8)[:, :, None], 3, axis=2)
    np.testing.assert_allclose(of_file, model.embed([eight_bits]), atol=1e-6)
