"""The first stages of a network keep what they are; blocks are computed twice to save memory."""

import copy

import pytest
import torch
from nn_modules import Plain
from torch import Tensor, nn

from nearfar.core.errors import UserError
from nearfar.nn.building import build_encoder, own_encoder
from nearfar.nn.encoders import Encoder
from nearfar.nn.stages import freeze, freeze_batch_norm, recompute_blocks, stages


def encoder_of(name: str, side: int = 32, **create: object) -> Encoder:
    return build_encoder(name, example=torch.zeros(1, 3, side, side), create=create)


def first_names(encoder: Encoder) -> list[str]:
    return [names[0].partition(".weight")[0] for names in stages(encoder)]


@pytest.mark.parametrize(
    ("name", "firsts"),
    [
        ("conv4", ["0", "4", "8", "12"]),
        ("resnet8", ["0.0", "1.0.conv1", "2.0.conv1", "3.0.conv1"]),
        ("resnet10t", ["conv1.0", *(f"layer{i}.0.conv1" for i in range(1, 5))]),
        ("convnext_atto", ["stem.0", *(f"stages.{i}." for i in range(4)), "head.norm"]),
    ],
)
def test_a_stage_is_what_the_literature_calls_one_and_the_first_is_the_stem(
    name: str, firsts: list[str]
) -> None:
    encoder = encoder_of(name)
    found = first_names(encoder)
    assert len(found) == len(firsts)
    assert all(names.startswith(first) for names, first in zip(found, firsts, strict=True)), found
    every = [one for names in stages(encoder) for one in names]
    assert sorted(every) == sorted(one for one, _ in encoder.net.named_parameters())


def test_of_a_transformer_each_block_is_a_stage() -> None:
    found = stages(encoder_of("vit_tiny_patch16_224", depth=3))
    assert len(found) == 4
    assert "pos_embed" in found[0]
    assert all(names[0].startswith(f"blocks.{i}.") for i, names in enumerate(found[1:]))


def step(encoder: Encoder) -> None:
    parameters = [p for p in encoder.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=0.5)
    encoder(torch.randn(4, *encoder.example.shape[1:])).square().mean().backward()
    optimizer.step()


@pytest.mark.parametrize("name", ["conv4", "resnet8", "mobilenetv3_small_050"])
def test_frozen_stages_keep_weights_and_statistics_while_the_others_learn(name: str) -> None:
    encoder = encoder_of(name)
    freeze(encoder, 2)
    before = copy.deepcopy(encoder.net.state_dict())
    encoder.eval()
    step(encoder.train())
    frozen = {one for names in stages(encoder)[:2] for one in names}
    modules = {one.rpartition(".")[0] for one in frozen}
    after = encoder.net.state_dict()
    moved = {one for one in after if not torch.equal(before[one], after[one])}
    assert moved
    assert not {one for one in moved if one.rpartition(".")[0] in modules}
    free = {one for one, p in encoder.net.named_parameters() if p.requires_grad}
    assert free == {one for one, _ in encoder.net.named_parameters()} - frozen


def test_what_is_frozen_stays_in_evaluation_mode_in_a_copy_too() -> None:
    encoder = encoder_of("resnet8")
    freeze(encoder, 1)
    encoder.width_at(16)  # which evaluates
    for one in (encoder, copy.deepcopy(encoder)):
        norms = [m for m in one.train().modules() if isinstance(m, nn.BatchNorm2d)]
        assert [norm.training for norm in norms][:2] == [False, True]


@pytest.mark.parametrize("name", ["conv4", "resnet8", "mobilenetv3_small_050"])
def test_frozen_batch_norm_keeps_its_statistics_while_all_weights_learn(name: str) -> None:
    encoder = encoder_of(name)
    freeze_batch_norm(encoder)
    assert not encoder.normalizes_by_batch
    before = copy.deepcopy(encoder.net.state_dict())
    step(encoder.train())
    after = encoder.net.state_dict()
    moved = {one for one in after if not torch.equal(before[one], after[one])}
    free = {one for one, p in encoder.net.named_parameters() if p.requires_grad}
    assert free == {one for one, _ in encoder.net.named_parameters()}
    assert moved and moved <= free


def test_with_frozen_batch_norm_a_row_does_not_depend_on_the_others() -> None:
    encoder, rows = encoder_of("resnet8").train(), torch.randn(4, 3, 16, 16)
    assert not torch.allclose(encoder(rows)[:2], encoder(rows[:2]), atol=1e-3)
    freeze_batch_norm(encoder)
    for one in (encoder, copy.deepcopy(encoder)):
        assert torch.allclose(one.train()(rows)[:2], one(rows[:2]), atol=1e-5)


def test_batch_norm_without_statistics_goes_on_normalizing_by_its_batch() -> None:
    net = nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False), nn.Flatten())
    encoder = own_encoder(net, torch.zeros(1, 3, 8, 8))
    freeze_batch_norm(encoder)
    assert encoder.normalizes_by_batch
    assert encoder.frozen == ()


def test_frozen_stages_and_frozen_batch_norm_go_together() -> None:
    encoder = encoder_of("resnet8")
    freeze(encoder, 1)
    assert encoder.normalizes_by_batch
    freeze_batch_norm(encoder)
    assert not encoder.normalizes_by_batch
    assert len(set(encoder.frozen)) == len(encoder.frozen)
    assert not any(norm.training for norm in encoder.train().batch_norms)


def test_more_stages_than_there_are_and_a_network_of_which_none_are_known_are_refused() -> None:
    with pytest.raises(UserError, match=r"want at most 4, the stages of conv4; got 5"):
        freeze(encoder_of("conv4"), 5)
    own = own_encoder(Plain(), torch.zeros(1, 3, 8, 8))
    with pytest.raises(UserError, match=r"encoder\.frozen: no stages are known of Plain"):
        freeze(own, 1)


def gradients(encoder: Encoder, rows: Tensor) -> list[Tensor]:
    encoder.zero_grad()
    encoder.train()(rows).square().mean().backward()
    return [p.grad.clone() for p in encoder.parameters() if p.grad is not None]


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "convnext_atto"])
def test_blocks_computed_twice_give_the_same_gradient_and_keep_less(name: str) -> None:
    encoder = encoder_of(name, **({"depth": 3} if name.startswith("vit") else {}))
    rows = torch.randn(4, 3, 32, 32)
    kept: list[int] = []
    found = []
    for _ in range(2):
        kept.append(0)

        def keep(tensor: Tensor) -> Tensor:
            kept[-1] += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            found.append(gradients(encoder, rows))
        recompute_blocks(encoder)
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))
    assert kept[1] < kept[0] / 2
    with torch.inference_mode():
        assert encoder.eval()(rows).shape == (4, encoder.width)


def test_blocks_with_batch_norm_are_not_computed_twice() -> None:
    learns = r"without BatchNorm that learns, and resnet10t has it.*encoder.frozen_batch_norm=true"
    encoder = encoder_of("resnet10t")
    with pytest.raises(UserError, match=learns):
        recompute_blocks(encoder)
    freeze_batch_norm(encoder)
    recompute_blocks(encoder)
    own = own_encoder(Plain(), torch.zeros(1, 3, 8, 8))
    with pytest.raises(UserError, match=r"Plain does not offer it"):
        recompute_blocks(own)


def test_drop_path_leaves_branches_out_in_training_alone() -> None:
    encoder = encoder_of("convnext_atto", drop_path_rate=0.9)
    rows = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert not torch.equal(encoder.train()(rows), encoder(rows))
        assert torch.equal(encoder.eval()(rows), encoder(rows))


def test_what_did_not_learn_before_does_not_begin_to() -> None:
    encoder = encoder_of("resnet10t")
    encoder.net.get_submodule("layer4").requires_grad_(False)
    freeze(encoder, 1)
    learning = {
        name.partition(".")[0] for name, p in encoder.net.named_parameters() if p.requires_grad
    }
    assert learning == {"layer1", "layer2", "layer3"}
