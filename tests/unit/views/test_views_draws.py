import torch

from nearfar.views.draws import draws, view_keys


def test_each_operation_draws_from_a_stream_of_its_own():
    index = torch.arange(2000)
    keys = view_keys(2, seed=0, epoch=0, index=index, draw=torch.zeros_like(index))
    flip, rotate = draws(keys, "flip", 1)[0], draws(keys, "rotate", 1)[0]
    assert torch.equal(flip, draws(keys, "flip", 1)[0])
    for a, b in ((flip[0], rotate[0]), (flip[0], flip[1]), (flip[0, 1:], flip[0, :-1])):
        assert torch.corrcoef(torch.stack([a, b]))[0, 1].abs() < 0.08
