"""Features are extracted once, by a frozen encoder in evaluation mode."""

import numpy as np
import pytest
import torch
from evaluate_clouds import stored_images

from nearfar.core.progress import Bar
from nearfar.data.center import CenterSquare
from nearfar.data.samples import EvaluationView, ImageSamples
from nearfar.evaluate import features
from nearfar.evaluate.features import extract, extract_splits
from nearfar.nn.building import build_encoder
from nearfar.nn.encoders import Encoder

VIEW = EvaluationView(CenterSquare(8), mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))


def samples() -> ImageSamples:
    return ImageSamples(stored_images(), VIEW, torch.device("cpu"))


@pytest.fixture
def encoder() -> Encoder:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_encoder("conv4", example=torch.zeros(1, 3, 8, 8))


@pytest.mark.parametrize("training", [True, False])
def test_extracting_puts_the_mode_back_and_changes_nothing(
    encoder: Encoder, training: bool
) -> None:
    encoder.train(training)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    x = extract(encoder, samples(), torch.arange(30))
    assert (x.shape, x.dtype) == ((30, 64), np.float32)
    assert encoder.training is training
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())


def test_the_mode_is_put_back_after_an_error_too(encoder: Encoder) -> None:
    encoder.train()
    with pytest.raises(IndexError):
        extract(encoder, samples(), torch.tensor([99]))
    assert encoder.training


def test_batch_norm_uses_its_running_statistics(encoder: Encoder) -> None:
    data, rows = samples(), torch.arange(30)
    images = VIEW.normalized(data.data.evaluation_pixels(rows))
    with torch.no_grad():
        frozen = encoder.eval()(images).numpy()
        x = extract(encoder.train(), data, rows)
        by_batch = encoder(images).numpy()
    assert x == pytest.approx(frozen, abs=2e-6)
    assert np.abs(x - by_batch).max() > 0.1


def test_a_row_has_the_same_features_whatever_else_is_in_the_call(
    encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To float32 rounding: kernels add in another order for another number of rows."""
    data, rows = samples(), torch.arange(30)
    whole = extract(encoder, data, rows)
    for size in (1, 7, 29):
        monkeypatch.setattr(features, "ROWS_A_CALL", size)
        assert extract(encoder, data, rows) == pytest.approx(whole, abs=2e-6)
    order = torch.tensor([5, 29, 0])
    assert extract(encoder, data, order) == pytest.approx(whole[order.numpy()], abs=2e-6)


def test_features_need_no_gradient_and_come_from_bf16_as_float32(encoder: Encoder) -> None:
    encoder.precision = "bf16"
    modes: list[bool] = []
    encoder.register_forward_hook(lambda _module, _in, out: modes.append(out.requires_grad))
    x = extract(encoder, samples(), torch.arange(5))
    assert x.dtype == np.float32
    assert modes == [False]


def test_the_bar_advances_by_the_rows_of_each_call(
    encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Board:
        task_ids = (0,)

        def __init__(self) -> None:
            self.advances: list[int] = []

        def update(self, _task: int, *, advance: int, text: str) -> None:
            assert text == ""
            self.advances.append(advance)

    board = Board()
    monkeypatch.setattr(features, "ROWS_A_CALL", 12)
    extract(encoder, samples(), torch.arange(30), Bar(board))
    assert board.advances == [12, 12, 6]


def test_only_labeled_images_are_extracted_split_by_split(encoder: Encoder) -> None:
    data = stored_images()
    found = extract_splits(encoder, ImageSamples(data, VIEW, torch.device("cpu")))
    assert list(found) == ["train", "val", "test"]
    for name, part in found.items():
        want = [i for i in range(30) if data.splits[i] == name and int(data.labels[i]) >= 0]
        assert part.rows.tolist() == want
        assert part.y.tolist() == [int(data.labels[i]) for i in want]
        assert len(part) == len(part.x) == len(want) > 0
        assert part.x == pytest.approx(extract(encoder, samples(), torch.tensor(want)), abs=2e-6)


def test_a_split_without_labels_is_left_out(encoder: Encoder) -> None:
    data = stored_images()
    data.labels[torch.from_numpy(data.splits == "val")] = -1
    assert list(extract_splits(encoder, ImageSamples(data, VIEW, torch.device("cpu")))) == [
        "train",
        "test",
    ]
