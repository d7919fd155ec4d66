"""The encoder: width probed, precision its own, chunks that give the whole batch's gradient."""

from collections.abc import Callable

import pytest
import torch
from nn_modules import Plain, plain_encoder, random_views
from torch import Tensor, nn

from nearfar.nn.building import build_encoder
from nearfar.nn.conv4 import conv4
from nearfar.nn.encoders import Encoder, encode_maps, encode_tiles, encode_views
from nearfar.nn.stages import freeze_batch_norm


class Returning(nn.Module):
    """A module that returns what it is told to."""

    def __init__(self, answer: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.answer = answer

    def forward(self, rows: Tensor) -> object:
        return self.answer(rows * self.weight)


def gradients_of(encoder: Encoder, views: tuple[Tensor, ...]) -> tuple[Tensor, dict[str, Tensor]]:
    """Representations and parameter gradients of a loss that couples all rows."""
    encoder.zero_grad()
    h = encode_views(encoder, views)
    rows = h.flatten(0, 1)
    (torch.logsumexp(rows @ rows.T, dim=1).mean() + rows[0].sum()).backward()
    return h.detach(), {
        name: p.grad.clone() for name, p in encoder.named_parameters() if p.grad is not None
    }


def with_chunks(encoder: Encoder, rows: int | None) -> Encoder:
    encoder.micro_batch_size = rows
    return encoder


# ---- width
# -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "size"), [(6, 8), (11, 32)])
def test_the_width_of_the_users_own_module_is_probed(width: int, size: int) -> None:
    encoder = Encoder(Plain(width), example=torch.zeros(1, 3, size, size), architecture="Plain")
    assert encoder.width == width
    assert encoder(torch.zeros(4, 3, size, size)).shape == (4, width)


def test_probing_moves_no_running_statistics_and_keeps_the_mode() -> None:
    for training in (True, False):
        net = conv4().train(training)
        before = {name: value.clone() for name, value in net.state_dict().items()}
        encoder = Encoder(
            net, example=torch.zeros(1, 3, 8, 8), architecture="conv4", built_by="nearfar"
        )
        assert encoder.net.training is training
        assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_probing_draws_no_random_number() -> None:
    state = torch.get_rng_state()
    Encoder(Plain(dropout=0.5), example=torch.zeros(1, 3, 8, 8), architecture="Plain")
    build = torch.get_rng_state()
    with torch.random.fork_rng():
        torch.set_rng_state(state)
        Plain(dropout=0.5)
        assert torch.equal(torch.get_rng_state(), build)


@pytest.mark.parametrize(
    ("answer", "got"),
    [
        (lambda rows: rows, r"\(2, 3, 8, 8\)"),
        (lambda rows: (rows.flatten(1), rows), "tuple"),
        (lambda rows: {"h": rows.flatten(1)}, "dict"),
        (lambda rows: rows.sum(), r"\(\)"),
        (lambda rows: rows.flatten(1)[:1], r"\(1, 192\)"),
        (lambda rows: rows.mean(dim=(1, 2, 3)), r"\(2,\)"),
    ],
)
def test_a_module_that_returns_no_row_of_numbers_for_each_image_is_refused(
    answer: Callable[[Tensor], object], got: str
) -> None:
    with pytest.raises(
        ValueError, match=f"Mine: want \\(rows, width\\) for 2 rows of images, got {got}"
    ):
        Encoder(Returning(answer), example=torch.zeros(1, 3, 8, 8), architecture="Mine")


def test_a_module_that_cannot_take_the_size_is_refused_with_the_size() -> None:
    linear = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 5))
    with pytest.raises(
        ValueError, match=r"Linear: cannot take images of 8 x 8 px: .*mat1 and mat2"
    ):
        Encoder(linear, example=torch.zeros(1, 3, 8, 8), architecture="Linear")
    with pytest.raises(ValueError, match="conv4: cannot take images of 4 x 4 px"):
        Encoder(conv4(), example=torch.zeros(1, 3, 4, 4), architecture="conv4")
    assert linear.training


def test_a_module_of_another_number_of_channels_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot take images"):
        Encoder(conv4(1), example=torch.zeros(1, 3, 8, 8), architecture="gray")


# ---- precision
# ---------------------------------------------------------------------------------------------


def test_bf16_trains_in_bf16_and_returns_float32() -> None:
    seen: list[torch.dtype] = []
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = build_encoder("conv4", example=torch.zeros(1, 3, 8, 8))
    encoder.net[4].register_forward_hook(lambda _module, _in, out: seen.append(out.dtype))
    rows = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    encoder.precision = "bf16"
    out = encoder(rows)
    assert seen == [torch.bfloat16]
    assert out.dtype == torch.float32
    encoder.precision = "float32"
    assert encoder(rows).dtype == torch.float32
    assert seen == [torch.bfloat16, torch.float32]
    # BatchNorm of a small batch
    assert 0 < (out - encoder(rows)).abs().max() < 0.1 * out.abs().max()


def test_evaluation_is_in_float32_whatever_it_was_trained_in() -> None:
    encoder = build_encoder("conv4", example=torch.zeros(1, 3, 8, 8)).eval()
    rows = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    want = encoder(rows)
    encoder.precision = "bf16"
    assert torch.equal(encoder(rows), want)


def test_float64_stays_float64_also_under_bf16() -> None:
    encoder = plain_encoder()
    rows = random_views(4, 3, 8, 8)[0]
    want = encoder(rows)
    encoder.precision = "bf16"
    assert encoder(rows).dtype == torch.float64
    assert torch.equal(encoder(rows), want)


def test_autocast_does_not_leak_out_of_the_encoder() -> None:
    encoder = build_encoder("conv4", example=torch.zeros(1, 3, 8, 8))
    encoder.precision = "bf16"
    encode_views(encoder, random_views(2, 4, 3, 8, 8, dtype=torch.float32))
    assert not torch.is_autocast_enabled("cpu")
    with pytest.raises(RuntimeError):
        encoder(torch.zeros(4, 5, 8, 8))
    assert not torch.is_autocast_enabled("cpu")
    projected = nn.Linear(64, 3)(encoder(torch.randn(2, 3, 8, 8)))
    assert projected.dtype == torch.float32


def test_with_float32_an_autocast_of_the_caller_still_ends_in_float32() -> None:
    encoder = build_encoder("conv4", example=torch.zeros(1, 3, 8, 8))
    with torch.autocast("cpu", torch.bfloat16):
        assert encoder(torch.randn(2, 3, 8, 8)).dtype == torch.float32


def test_bf16_chunks_are_recomputed_in_bf16() -> None:
    seen: list[torch.dtype] = []
    encoder = with_chunks(build_encoder("conv4", example=torch.zeros(1, 3, 8, 8)), 7)
    encoder.net[4].register_forward_hook(lambda _module, _in, out: seen.append(out.dtype))
    encoder.precision = "bf16"
    _, gradients = gradients_of(encoder, random_views(2, 10, 3, 8, 8, dtype=torch.float32))
    assert seen == [torch.bfloat16] * 6
    assert {gradient.dtype for gradient in gradients.values()} == {torch.float32}


# ---- feature maps
# ------------------------------------------------------------------------------------------


def test_the_feature_map_is_what_stands_before_pooling() -> None:
    rows = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    four = build_encoder("conv4", example=torch.zeros(1, 3, 32, 32)).eval()
    assert four.feature_map(rows).shape == (2, 64, 4, 4)
    assert torch.allclose(four.feature_map(rows).mean(dim=(2, 3)), four(rows), atol=1e-6)
    resnet = build_encoder("resnet18", example=torch.zeros(1, 3, 32, 32)).eval()
    assert resnet.feature_map(rows).shape == (2, 512, 4, 4)
    assert torch.allclose(resnet.feature_map(rows).mean(dim=(2, 3)), resnet(rows), atol=1e-5)


def test_the_feature_map_is_float32_under_bf16() -> None:
    encoder = build_encoder("conv4", example=torch.zeros(1, 3, 8, 8))
    encoder.precision = "bf16"
    assert encoder.feature_map(torch.zeros(2, 3, 8, 8)).dtype == torch.float32


def test_a_network_without_a_feature_map_says_so() -> None:
    with pytest.raises(ValueError, match="Plain: want a method forward_features"):
        plain_encoder().feature_map(random_views(2, 3, 8, 8)[0])
    tokens = build_encoder("vit_tiny_patch16_224", example=torch.zeros(1, 3, 32, 32))
    with pytest.raises(
        ValueError, match=r"vit_tiny_patch16_224: its features have shape \(1, 65, 192\), no map"
    ):
        tokens.feature_map(torch.zeros(1, 3, 32, 32))


# ---- views and chunks
# --------------------------------------------------------------------------------------


def test_views_of_all_groups_are_encoded_row_by_row_in_their_order() -> None:
    encoder = plain_encoder()
    large, small = random_views(2, 3, 3, 16, 16)[0], random_views(4, 3, 3, 8, 8, seed=1)[0]
    h = encode_views(encoder, (large, small))
    assert h.shape == (6, 3, 6)
    assert torch.allclose(h[1, 2], encoder(large[1, 2][None])[0], atol=1e-14)
    assert torch.allclose(h[2 + 3, 1], encoder(small[3, 1][None])[0], atol=1e-14)


def test_chunks_of_7_rows_give_the_whole_batchs_gradient_without_batch_norm() -> None:
    views = random_views(2, 10, 3, 8, 8)
    h, whole = gradients_of(plain_encoder(), views)
    chunked_h, chunked = gradients_of(with_chunks(plain_encoder(), 7), views)
    assert (h - chunked_h).abs().max() <= 1e-12
    assert len(whole) == 4
    for name, gradient in whole.items():
        assert gradient.abs().max() > 1e-6
        assert (gradient - chunked[name]).abs().max() <= 1e-12 * max(
            1.0, float(gradient.abs().max())
        ), name


@pytest.mark.parametrize(
    ("size", "sizes"), [(7, [7, 7, 6]), (20, [20]), (19, [10, 10]), (1, [1] * 20), (None, [20])]
)
def test_chunks_are_of_nearly_equal_size_and_never_larger_than_asked(
    size: int | None, sizes: list[int]
) -> None:
    encoder = with_chunks(plain_encoder(), size)
    seen: list[int] = []
    encoder.register_forward_hook(lambda _module, given, _out: seen.append(len(given[0])))
    with torch.no_grad():
        encode_views(encoder, random_views(2, 10, 3, 8, 8))
    assert seen == sizes


@pytest.mark.parametrize(
    ("rows", "size", "sizes"), [(3, 2, [3]), (5, 2, [3, 2]), (6, 2, [2, 2, 2]), (7, 3, [3, 2, 2])]
)
def test_with_batch_norm_no_chunk_is_a_single_row(rows: int, size: int, sizes: list[int]) -> None:
    encoder = with_chunks(build_encoder("conv4", example=torch.zeros(1, 3, 8, 8)), size).train()
    seen: list[int] = []
    encoder.register_forward_hook(lambda _module, given, _out: seen.append(len(given[0])))
    encode_views(encoder, random_views(1, rows, 3, 8, 8, dtype=torch.float32))
    assert seen == sizes


def test_with_frozen_batch_norm_chunks_have_the_gradient_of_the_whole_batch() -> None:
    views = random_views(2, 5, 3, 8, 8)
    encoder = Encoder(conv4().double(), example=torch.zeros(1, 3, 8, 8), architecture="conv4")
    freeze_batch_norm(encoder.train())
    h, whole = gradients_of(encoder, views)
    seen: list[int] = []
    encoder.register_forward_pre_hook(lambda _module, given: seen.append(len(given[0])))
    chunked_h, chunked = gradients_of(with_chunks(encoder, 1), views)
    assert set(seen) == {1}
    assert (h - chunked_h).abs().max() <= 1e-12
    assert len(whole) == len(chunked) > 4
    for name, gradient in whole.items():
        assert (gradient - chunked[name]).abs().max() <= 1e-12, name


def test_a_chunk_is_recomputed_once_in_the_backward() -> None:
    encoder = with_chunks(plain_encoder(), 7)
    calls: list[int] = []
    encoder.register_forward_pre_hook(lambda _module, given: calls.append(len(given[0])))
    gradients_of(encoder, random_views(2, 10, 3, 8, 8))
    assert sorted(calls) == sorted([7, 7, 6] * 2)


def test_dropout_is_recomputed_with_the_masks_of_the_first_pass() -> None:
    """Masks are drawn chunk after chunk, so a chunked step is another draw than the whole one, and
    its gradient is exactly that of its own draw.
    """
    views = random_views(2, 10, 3, 8, 8)
    encoder = with_chunks(plain_encoder(dropout=0.4), 7).train()
    with torch.random.fork_rng():
        torch.manual_seed(1)
        h, chunked = gradients_of(encoder, views)
    encoder.zero_grad()
    with torch.random.fork_rng():
        torch.manual_seed(1)
        rows = torch.cat([encoder(part) for part in views[0].flatten(0, 1).tensor_split(3)])
    (torch.logsumexp(rows @ rows.T, dim=1).mean() + rows[0].sum()).backward()
    assert torch.equal(h.flatten(0, 1), rows)
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None
        assert (parameter.grad - chunked[name]).abs().max() <= 1e-12, name


def test_the_recomputation_leaves_torchs_generator_where_it_was() -> None:
    encoder = with_chunks(plain_encoder(dropout=0.4), 7).train()
    h = encode_views(encoder, random_views(2, 10, 3, 8, 8))
    state = torch.get_rng_state()
    h.sum().backward()
    assert torch.equal(torch.get_rng_state(), state)


# the second has timm's own BatchNorm
@pytest.mark.parametrize("name", ["conv4", "mobilenetv3_small_050"])
def test_running_statistics_move_once_a_chunk_and_only_in_the_first_pass(name: str) -> None:
    encoder = with_chunks(build_encoder(name, example=torch.zeros(1, 3, 32, 32)), 7).train()
    assert encoder.normalizes_by_batch
    counted = [module for module in encoder.modules() if hasattr(module, "num_batches_tracked")]
    assert len(counted) >= 4
    h = encode_views(encoder, random_views(2, 8, 3, 32, 32, dtype=torch.float32))
    after_forward = {key: value.clone() for key, value in encoder.state_dict().items()}
    assert {int(module.num_batches_tracked) for module in counted} == {3}
    h.square().sum().backward()
    assert {int(module.num_batches_tracked) for module in counted} == {3}
    assert all(
        torch.equal(value, after_forward[key]) for key, value in encoder.state_dict().items()
    )
    assert all(module.track_running_stats for module in counted)


def test_a_failing_backward_puts_the_running_statistics_back() -> None:
    encoder = with_chunks(build_encoder("conv4", example=torch.zeros(1, 3, 8, 8)), 7).train()
    h = encode_views(encoder, random_views(2, 8, 3, 8, 8, dtype=torch.float32))
    before = [buffer.data_ptr() for buffer in encoder.buffers()]

    def fail(*_: object) -> None:
        raise KeyError("in the recomputation")

    encoder.net[-1].register_forward_pre_hook(fail)
    encoder.net[3].register_forward_pre_hook(fail)
    with pytest.raises(KeyError):
        h.sum().backward()
    assert [buffer.data_ptr() for buffer in encoder.buffers()] == before


def test_with_batch_norm_each_chunk_is_its_own_normalization_group() -> None:
    """What gradient a chunked BatchNorm has: that of three networks in a row, with the statistics
    of each.
    """
    views = random_views(2, 9, 3, 8, 8)
    encoder = with_chunks(
        Encoder(
            conv4().double(),
            example=torch.zeros(1, 3, 8, 8),
            architecture="conv4",
            built_by="nearfar",
        ),
        6,
    ).train()
    h, chunked = gradients_of(encoder, views)
    encoder.zero_grad()
    rows = torch.cat([encoder(part) for part in views[0].flatten(0, 1).tensor_split(3)])
    (torch.logsumexp(rows @ rows.T, dim=1).mean() + rows[0].sum()).backward()
    assert torch.allclose(h.flatten(0, 1), rows, atol=1e-12)
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None
        assert torch.allclose(parameter.grad, chunked[name], atol=1e-12), name
    assert not torch.allclose(h, encode_views(with_chunks(encoder, None), views), atol=1e-3)


def test_without_gradients_chunks_change_nothing_and_keep_nothing() -> None:
    encoder = with_chunks(plain_encoder(), 7)
    views = random_views(2, 10, 3, 8, 8)
    with torch.no_grad():
        h = encode_views(encoder, views)
    assert not h.requires_grad
    assert torch.allclose(h, encode_views(with_chunks(encoder, None), views).detach(), atol=1e-14)


# ---- feature maps and tiles
# ----------------------------------------------------------------------------------


def test_maps_come_in_chunks_with_the_whole_batchs_gradient() -> None:
    def net() -> nn.Sequential:
        torch.manual_seed(0)
        layers = [
            nn.Conv2d(3, 6, 3, stride=2, padding=1),
            nn.Tanh(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        ]
        return nn.Sequential(*layers).double()

    (views,) = random_views(3, 5, 3, 8, 8)
    found = []
    for size in (None, 7):
        encoder = with_chunks(
            Encoder(net(), example=torch.zeros(1, 3, 8, 8), architecture="small"), size
        )
        maps = encode_maps(encoder, views)
        assert maps.shape == (3, 5, 6, 4, 4)
        pooled = encoder.pool(maps.flatten(0, 1)).view(3, 5, 6)
        assert torch.allclose(pooled, encode_views(encoder, (views,)), atol=1e-12)
        (torch.logsumexp(maps.flatten(), dim=0) + pooled.square().sum()).backward()
        found.append(
            (
                maps.detach(),
                torch.cat([p.grad.flatten() for p in encoder.parameters() if p.grad is not None]),
            )
        )
    (maps, gradient), (chunked_maps, chunked) = found
    assert (maps - chunked_maps).abs().max() <= 1e-12
    assert (gradient - chunked).norm() <= 1e-12 * gradient.norm()


def test_maps_move_running_statistics_once_a_chunk_and_only_in_the_first_pass() -> None:
    encoder = with_chunks(build_encoder("conv4", example=torch.zeros(1, 3, 8, 8)), 7).train()
    maps = encode_maps(encoder, random_views(2, 7, 3, 8, 8, dtype=torch.float32)[0])
    before = {name: buffer.clone() for name, buffer in encoder.named_buffers()}
    assert {int(value) for name, value in before.items() if name.endswith("tracked")} == {2}
    maps.square().mean().backward()
    assert all(torch.equal(buffer, before[name]) for name, buffer in encoder.named_buffers())


def test_tiles_of_several_groups_stand_by_tile_then_view() -> None:
    encoder = plain_encoder()
    large, small = random_views(4, 2, 5, 3, 8, 8)[0], random_views(4, 1, 5, 3, 4, 4)[0]
    h = encode_tiles(encoder, (large, small))
    assert h.shape == (4, 3, 5, 6)
    for tile in range(4):
        assert torch.allclose(
            h[tile], encode_views(encoder, (large[tile], small[tile])), atol=1e-12
        )


# ---- the example
# ---------------------------------------------------------------------------------------------


def test_a_network_is_tried_out_on_its_example_as_two_rows_in_its_own_numbers() -> None:
    net, seen = Plain(), []
    net.double().register_forward_pre_hook(lambda _, rows: seen.append(rows[0].clone()))
    example = torch.linspace(-1, 1, 5 * 3 * 8 * 8).view(5, 3, 8, 8)
    encoder = Encoder(net, example=example, architecture="Plain")
    (rows,) = seen
    assert rows.dtype == torch.float64
    assert torch.equal(rows, example[:1].double().expand(2, -1, -1, -1))
    assert torch.equal(encoder.example, example[:1])


def test_at_another_side_it_is_tried_out_on_the_same_image_resized() -> None:
    encoder = build_encoder("conv4", example=torch.full((1, 3, 8, 8), 0.3))
    seen = []
    encoder.net.register_forward_pre_hook(lambda _, rows: seen.append(rows[0].clone()))
    assert encoder.width_at(16) == 64
    assert torch.allclose(seen[0], torch.full((2, 3, 16, 16), 0.3))
    with pytest.raises(ValueError, match="conv4: cannot take images of 4 x 4 px"):
        encoder.width_at(4)


def test_samples_that_are_no_images_are_encoded_too() -> None:
    encoder = Encoder(nn.Linear(5, 7), example=torch.zeros(1, 5), architecture="Linear")
    assert encoder.width == 7
    assert encoder.memory_format == torch.contiguous_format
    views = torch.randn(2, 4, 5), torch.randn(1, 4, 5)
    with torch.no_grad():
        h = encode_views(encoder, views)
        assert torch.allclose(h, torch.cat([encoder.net(group) for group in views]), atol=1e-6)
    series = nn.Sequential(nn.Conv1d(2, 6, 3), nn.AdaptiveAvgPool1d(1), nn.Flatten())
    assert Encoder(series, example=torch.zeros(1, 2, 9), architecture="series").width == 6


def test_what_does_not_fit_samples_that_are_no_images_is_refused_with_their_shape() -> None:
    with pytest.raises(
        ValueError, match=r"L: cannot take samples of shape \(4,\): .*mat1 and mat2"
    ):
        Encoder(nn.Linear(5, 7), example=torch.zeros(1, 4), architecture="L")
    with pytest.raises(ValueError, match=r"want \(rows, width\) for 2 rows of shape \(3, 5\), got"):
        Encoder(nn.Linear(5, 7), example=torch.zeros(1, 3, 5), architecture="L")
    encoder = Encoder(nn.Linear(5, 7), example=torch.zeros(1, 5), architecture="L")
    with pytest.raises(ValueError, match=r"want images, got samples of shape \(5,\)"):
        encoder.width_at(8)


# ---- BatchNorm's groups
# -------------------------------------------------------------------------------------------------


def lengths_of_calls(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    calls: list[int] = []
    monkeypatch.setattr(
        encoder, "forward", lambda rows, real=encoder.forward: calls.append(len(rows)) or real(rows)
    )
    return calls


def two_sides() -> tuple[Tensor, ...]:
    return (*random_views(2, 6, 3, 8, 8), *random_views(3, 6, 3, 12, 12, seed=1))


@pytest.mark.parametrize(
    ("groups", "rows", "sizes"),
    [
        ("all", None, [12, 18]),
        ("views", None, [6] * 5),
        ("all", 5, [4] * 3 + [5, 5, 4, 4]),
        ("views", 5, [3] * 10),
        ("views", 6, [6] * 5),
    ],
)
def test_views_pass_together_or_each_alone_and_chunks_hold_rows_of_what_passes_together(
    groups, rows: int | None, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    encoder = Encoder(conv4().double(), example=torch.zeros(1, 3, 8, 8), architecture="conv4")
    calls = lengths_of_calls(with_chunks(encoder, rows), monkeypatch)
    h = encode_views(encoder, two_sides(), batch_norm_groups=groups)
    assert calls == sizes
    assert h.shape == (5, 6, encoder.width)
    assert int(encoder.net[1].num_batches_tracked) == len(sizes)


def test_a_view_alone_gets_the_representation_that_it_has_without_the_others() -> None:
    torch.manual_seed(0)
    encoder = Encoder(conv4().double(), example=torch.zeros(1, 3, 8, 8), architecture="conv4")
    (views,) = random_views(3, 6, 3, 8, 8)
    alone = torch.stack([encoder(view) for view in views])
    assert torch.equal(encode_views(encoder, (views,), batch_norm_groups="views"), alone)
    assert not torch.allclose(encode_views(encoder, (views,)), alone, atol=1e-3)


def test_without_batch_norm_views_pass_together_whatever_the_groups(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoder = plain_encoder()
    calls = lengths_of_calls(encoder, monkeypatch)
    encode_views(encoder, two_sides(), batch_norm_groups="views")
    assert calls == [12, 18]
