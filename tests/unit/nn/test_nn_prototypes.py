"""Prototypes are directions: their length is kept at 1, or is free and never matters."""

import torch

from nearfar.nn.prototypes import Prototypes


def made(dtype: torch.dtype = torch.float64, *, free_length: bool = False) -> Prototypes:
    torch.manual_seed(0)
    return Prototypes(4, 6, free_length=free_length).to(dtype)


def rows() -> torch.Tensor:
    return torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_scores_are_cosines():
    prototypes = made()
    scores = prototypes(rows())
    expected = torch.nn.functional.cosine_similarity(
        rows()[:, :, None], prototypes.weight[None, None], dim=-1
    )
    assert scores.shape == (2, 5, 6)
    assert torch.allclose(scores, expected, atol=1e-12)
    assert torch.allclose(prototypes(3 * rows()), scores, atol=1e-12)


def test_a_free_length_is_without_effect():
    prototypes = made(free_length=True)
    scores = prototypes(rows())
    expected = torch.nn.functional.cosine_similarity(
        rows()[:, :, None], prototypes.weight[None, None], dim=-1
    )
    assert torch.allclose(scores, expected, atol=1e-12)
    prototypes.weight.data *= 7
    assert torch.allclose(prototypes(rows()), scores, atol=1e-12)


def test_they_begin_at_length_1_and_are_brought_back_to_it():
    prototypes = made()
    assert torch.allclose(prototypes.weight.norm(dim=1), torch.ones(6).double())
    before = prototypes.weight.detach().clone()
    prototypes.weight.data *= torch.arange(1, 7)[:, None]
    prototypes.renormalize()
    assert torch.allclose(prototypes.weight, before, atol=1e-12)


def along(prototypes: Prototypes) -> torch.Tensor:
    """How much of each prototype's gradient would stretch it."""
    prototypes(rows()).square().sum().backward()
    return (prototypes.weight.grad * prototypes.weight.detach()).sum(dim=1)


def test_a_gradient_turns_a_free_length_and_never_stretches_it():
    prototypes = made(free_length=True)
    assert float(along(prototypes).abs().max()) < 1e-12
    assert float(prototypes.weight.grad.abs().max()) > 0.1


def test_a_gradient_is_that_of_a_linear_layer_otherwise():
    prototypes, layer = made(), torch.nn.Linear(4, 6, bias=False).double()
    layer.weight.data.copy_(prototypes.weight.data)
    layer(torch.nn.functional.normalize(rows(), dim=-1)).square().sum().backward()
    assert float(along(prototypes).abs().max()) > 0.1
    assert torch.allclose(prototypes.weight.grad, layer.weight.grad, atol=1e-12)


def test_scores_stay_float32_under_autocast():
    prototypes = made(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        assert prototypes(rows().bfloat16()).dtype == torch.float32
