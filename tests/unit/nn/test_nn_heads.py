"""Heads act on rows, whatever stands before the width."""

import torch
from torch import nn

from nearfar.nn.heads import Head, mlp


def test_a_head_keeps_every_dimension_before_the_width() -> None:
    head = mlp(6, 5, 4)
    for lead in ((), (3,), (0,), (2, 0), (2, 3), (2, 3, 4)):
        assert head(torch.zeros(*lead, 6)).shape == (*lead, 4)


def test_a_row_gets_the_same_answer_alone_and_among_others() -> None:
    head = mlp(6, 5, 4).double()
    x = torch.randn(2, 3, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(head(x)[1, 2], head(x[1, 2]), atol=1e-14)


def test_an_mlp_is_two_linear_layers_around_a_relu() -> None:
    assert [type(layer) for layer in mlp(6, 5, 4)] == [nn.Linear, nn.ReLU, nn.Linear]
    norm = mlp(6, 5, 4, batch_norm=True)
    assert [type(layer) for layer in norm] == [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear]
    assert norm[0].bias is None  # the norm's own shift takes its place
    assert mlp(6, 5, 4)[0].bias is not None


def test_one_layer_is_linear_and_more_repeat_the_hidden_one() -> None:
    assert [type(layer) for layer in mlp(6, 5, 4, layers=1)] == [nn.Linear]
    deep = mlp(6, 5, 4, layers=3, batch_norm=True, output_norm=True)
    part = [nn.Linear, nn.BatchNorm1d, nn.ReLU]
    assert [type(layer) for layer in deep] == [*part, *part, nn.Linear, nn.BatchNorm1d]
    assert [tuple(deep[at].weight.shape) for at in (0, 3, 6)] == [(5, 6), (5, 5), (4, 5)]
    assert not deep[7].affine
    assert deep[6].bias is None
    assert type(mlp(6, 5, 4, activation="gelu")[1]) is nn.GELU


def test_batch_norm_sees_all_rows_of_all_views_as_one_group() -> None:
    head = Head(nn.BatchNorm1d(4)).double().train()
    x = torch.randn(2, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x[0] += 10
    y = head(x)
    assert torch.allclose(
        y.flatten(0, 1).mean(dim=0), torch.zeros(4, dtype=torch.float64), atol=1e-12
    )
    assert y[0].mean() > 0.9 > -0.9 > y[1].mean()


def test_a_head_leaves_its_input_as_it_was() -> None:
    """The ReLU works in place, on the layer before it."""
    x = torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(0))
    kept = x.clone()
    mlp(6, 5, 4, batch_norm=True)(x)
    assert torch.equal(x, kept)


def test_batch_norm_sees_each_view_alone_where_that_is_asked() -> None:
    torch.manual_seed(0)
    head = mlp(4, 5, 3, batch_norm=True).double().train()
    x = torch.randn(2, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x[0] += 10
    alone = torch.stack([head(view) for view in x])
    statistics = [head[1].running_mean.clone(), head[1].running_var.clone()]
    head[1].reset_running_stats()
    assert torch.equal(head(x, batch_norm_groups="views"), alone)
    assert torch.equal(head[1].running_mean, statistics[0])
    assert torch.equal(head[1].running_var, statistics[1])
    assert not torch.allclose(head(x), alone, atol=1e-3)
    plain = mlp(4, 5, 3).double()
    assert torch.equal(plain(x, batch_norm_groups="views"), plain(x))
