"""A frozen encoder makes the same representations, with BatchNorm folded where that is certain."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from nearfar.nn.building import build_encoder
from nearfar.nn.encoders import Encoder
from nearfar.nn.frozen import FrozenEncoder, folded, rows_a_call


def worn(net: nn.Module) -> nn.Module:
    """BatchNorms as after a training, none of which is nearly the identity."""
    for norm in net.modules():
        if isinstance(norm, _BatchNorm):
            nn.init.uniform_(norm.running_mean, -1, 1)
            nn.init.uniform_(norm.running_var, 0.5, 2)
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.uniform_(norm.bias, -0.5, 0.5)
    return net


def encoder_of(net: nn.Module) -> Encoder:
    return Encoder(worn(net), example=torch.randn(1, 3, 16, 16), architecture="Net").eval()


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def images(count: int, side: int = 16) -> Tensor:
    return torch.randn(count, 3, side, side)


def norms(encoder: Encoder) -> int:
    return sum(isinstance(module, _BatchNorm) for module in encoder.modules())


@pytest.mark.parametrize(
    "name", ["conv4", "resnet18", "tf_efficientnet_lite0", "densenet121", "convnext_atto"]
)
def test_representations_are_the_same_without_the_norms(name: str) -> None:
    """densenet's norms stand before its convolutions, of which some are followed by one; convnext
    has no BatchNorm.
    """
    encoder = build_encoder(name, example=images(1, 32)).eval()
    worn(encoder)
    rows = images(5, 32)
    with torch.inference_mode():
        wanted, twin = encoder(rows), folded(encoder, rows)
        found = twin(rows)
        other = images(3, 32)
        torch.testing.assert_close(twin(other), encoder(other), rtol=1e-5, atol=1e-5)
    most = 1e-5 * max(1, wanted.abs().max())
    assert (found - wanted).abs().max() <= most
    left = {"densenet121": 62, "convnext_atto": 0}.get(name, 0)
    assert norms(twin) == left
    assert (twin is encoder) is (name == "convnext_atto")


def test_the_encoder_itself_stays_as_it_is() -> None:
    encoder = build_encoder("resnet18", example=images(1, 32)).eval()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    with torch.inference_mode():
        folded(encoder, images(4, 32))
    assert encoder.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    assert not any(module._forward_hooks for module in encoder.modules())
    assert not any(module._forward_pre_hooks for module in encoder.modules())


@pytest.mark.parametrize("name", ["resnet10t", "convnext_atto"])
@pytest.mark.parametrize(("count", "order"), [(127, "plain"), (128, "fast")])
def test_rows_that_are_worth_a_copy_are_computed_in_the_faster_memory_format(
    name: str, count: int, order: str
) -> None:
    encoder = build_encoder(name, example=images(1, 32)).eval()
    rows = images(4, 32)
    with torch.inference_mode():
        wanted = encoder(rows).numpy()
    encoder.in_format(None)
    frozen = FrozenEncoder(encoder, count=count)
    assert np.allclose(frozen(rows), wanted, atol=1e-5 * max(1, abs(wanted).max()))
    kernels = [p for p in frozen._encoder.parameters() if p.ndim == 4 and p.shape[2] > 1]
    fast = [kernel.is_contiguous(memory_format=torch.channels_last) for kernel in kernels]
    assert all(fast) if order == "fast" else not all(fast)
    assert all(p.is_contiguous() for p in encoder.parameters())


class ReadTwice(nn.Module):
    """What the convolution gives goes past the norm, too."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)

    def forward(self, rows: Tensor) -> Tensor:
        made = self.convolution(rows)
        return (made + self.norm(made)).mean((2, 3))


class UsedTwice(nn.Module):
    """One convolution before two norms."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 8, 3)
        self.norms = nn.ModuleList([nn.BatchNorm2d(8), nn.BatchNorm2d(8)])

    def forward(self, rows: Tensor) -> Tensor:
        return sum(norm(self.convolution(rows)) for norm in self.norms).mean((2, 3))


class Standardized(nn.Conv2d):
    """A convolution whose weights mean something else."""

    def forward(self, rows: Tensor) -> Tensor:
        return self._conv_forward(rows, self.weight / self.weight.std(), self.bias)


def in_a_row(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


@pytest.mark.parametrize(
    "net",
    [
        ReadTwice(),
        UsedTwice(),
        in_a_row(Standardized(3, 8, 3), nn.BatchNorm2d(8)),
        in_a_row(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.BatchNorm2d(8)),
    ],
    ids=["read twice", "used twice", "subclass", "activation between"],
)
def test_where_it_is_not_certain_nothing_is_folded(net: nn.Module) -> None:
    encoder = encoder_of(net)
    with torch.inference_mode():
        assert folded(encoder, images(4)) is encoder


def test_numbers_that_are_not_finite_leave_the_encoder_as_it_is() -> None:
    encoder = encoder_of(in_a_row(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)))
    nn.init.constant_(encoder.net[0].bias, torch.nan)
    with torch.inference_mode():
        assert folded(encoder, images(4)) is encoder


def test_few_rows_are_not_worth_a_copy_and_many_are() -> None:
    encoder = build_encoder("resnet18", example=images(1, 32)).eval()
    worn(encoder)
    seen: list[Tensor] = []
    encoder.net.bn1.register_forward_hook(lambda *args: seen.append(args[2]))
    FrozenEncoder(encoder, count=3)(images(3, 32))
    assert len(seen) == 1
    many = FrozenEncoder(encoder, count=1000)
    many(images(3, 32))  # tries the copy
    tried = len(seen)
    many(images(3, 32))
    assert len(seen) == tried


class Busy(nn.Module):
    """Leaves what it makes in itself, and reads it a moment later."""

    def __init__(self) -> None:
        super().__init__()
        self.left = torch.zeros(())
        self.inside, self.most = 0, 0
        self._lock = threading.Lock()

    def __deepcopy__(self, _: object) -> "Busy":
        return self

    def forward(self, rows: Tensor) -> Tensor:
        with self._lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        self.left = rows.flatten(1)[:, :4]
        time.sleep(0.01)
        with self._lock:
            self.inside -= 1
        return self.left


@pytest.mark.parametrize(("built_by", "most"), [("user", 1), ("timm", 2)])
def test_the_user_s_own_module_computes_one_call_at_a_time(built_by: str, most: int) -> None:
    net = Busy()
    encoder = Encoder(net, example=images(1), architecture="Busy", built_by=built_by).eval()
    frozen = FrozenEncoder(encoder, count=64, at_once=2)
    assert frozen.at_once == most
    parts = [images(8) for _ in range(8)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(frozen, parts))
    assert net.most == most
    if built_by == "user":
        for part, x in zip(parts, found, strict=True):
            torch.testing.assert_close(torch.from_numpy(x), part.flatten(1)[:, :4])


def test_bf16_points_the_same_way_and_comes_out_as_float32() -> None:
    encoder = build_encoder("resnet18", example=images(1, 32)).eval()
    rows = images(8, 32)
    exact, narrow = (
        torch.from_numpy(FrozenEncoder(encoder, count=1000, precision=precision)(rows))
        for precision in ("float32", "bf16")
    )
    assert narrow.dtype == torch.float32
    assert (narrow - exact).abs().max() > 0
    assert torch.cosine_similarity(narrow, exact).min() >= 0.999


@pytest.mark.parametrize(
    ("side", "rows"), [(8, 256), (64, 64), (128, 16), (224, 16), (512, 4), (2000, 1)]
)
def test_a_call_takes_fewer_large_images(side: int, rows: int) -> None:
    net = in_a_row(nn.Conv2d(3, 2, 1))
    assert rows_a_call(Encoder(net, example=images(1, side), architecture="Net")) == rows


def test_a_call_takes_many_rows_of_features() -> None:
    assert rows_a_call(Encoder(nn.Identity(), example=torch.ones(1, 4), architecture="I")) == 256
