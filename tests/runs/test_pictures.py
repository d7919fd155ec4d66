"""Folders of pictures as people have them, given to a finished run."""

import numpy as np
from PIL import Image

import nearfar


def test_a_turned_picture_is_the_same_as_path_and_as_opened_image(tiny_run, tmp_path):
    upright = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8))
    tag = Image.Exif()
    tag[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=tag)
    upright.save(tmp_path / "upright.png")
    model = nearfar.load(tiny_run)
    paths = [tmp_path / "turned.png", tmp_path / "upright.png"]
    from_paths = model.embed(paths)
    from_images = model.embed([Image.open(path) for path in paths])
    np.testing.assert_array_equal(from_paths, from_images)
    np.testing.assert_array_equal(from_images[0], from_images[1])
    shares = model.predict([Image.open(path) for path in paths]).probabilities
    np.testing.assert_array_equal(shares[0], shares[1])
