"""Prototypes are directions: their length never matters, and is kept at 1."""

import torch

from nearfar.nn.prototypes import Prototypes


def made(dtype: torch.dtype = torch.float64) -> Prototypes:
    torch.manual_seed(0)
    return Prototypes(4, 6).to(dtype)


def rows() -> torch.Tensor:
    return torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_scores_are_cosines_whatever_the_lengths():
    prototypes = made()
    scores = prototypes(rows())
    expected = torch.nn.functional.cosine_similarity(
        rows()[:, :, None], prototypes.weight[None, None], dim=-1
    )
    assert scores.shape == (2, 5, 6)
    assert torch.allclose(scores, expected, atol=1e-12)
    prototypes.weight.data *= 7
    assert torch.allclose(prototypes(3 * rows()), scores, atol=1e-12)


def test_they_begin_at_length_1_and_are_brought_back_to_it():
    prototypes = made()
    assert torch.allclose(prototypes.weight.norm(dim=1), torch.ones(6).double())
    before = prototypes.weight.detach().clone()
    prototypes.weight.data *= torch.arange(1, 7)[:, None]
    prototypes.renormalize()
    assert torch.allclose(prototypes.weight, before, atol=1e-12)


def test_a_gradient_turns_and_never_stretches():
    prototypes = made()
    prototypes(rows()).square().sum().backward()
    along = (prototypes.weight.grad * prototypes.weight.detach()).sum(dim=1)
    assert float(along.abs().max()) < 1e-12 < float(prototypes.weight.grad.abs().max())


def test_scores_stay_float32_under_autocast():
    prototypes = made(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        assert prototypes(rows().bfloat16()).dtype == torch.float32
