"""Which samples share a BatchNorm group: those that feel it when one of them changes."""

import pytest
import torch
from nn_modules import plain_encoder, random_views

from nearfar.nn.conv4 import conv4
from nearfar.nn.encoders import Encoder, encode_views
from nearfar.nn.groups import encode_keys, encode_queries
from nearfar.nn.stages import freeze_batch_norm

SAMPLES = 12


def normalizing_encoder() -> Encoder:
    torch.manual_seed(0)
    return Encoder(conv4().double(), example=torch.zeros(1, 3, 8, 8), architecture="conv4")


def companions(encode) -> list[set[int]]:
    """For each sample, those whose representation changes when its image does."""
    views = random_views(1, SAMPLES, 3, 8, 8)
    before = encode(views)
    found = []
    for sample in range(SAMPLES):
        changed = views[0].clone()
        changed[:, sample] += 5.0
        moved = (encode((changed,)) - before).abs().amax(dim=(0, 2)) > 1e-9
        found.append({int(at) for at in moved.nonzero()[:, 0]})
    return found


def order() -> torch.Tensor:
    return torch.rand(SAMPLES, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(("size", "groups"), [(2, 6), (4, 3), (5, 2), (6, 2), (12, 2), (100, 2)])
def test_queries_share_statistics_with_the_samples_beside_them(size, groups):
    encoder = normalizing_encoder()
    found = companions(lambda views: encode_queries(encoder, views, size=size))
    length = SAMPLES // groups
    assert found == [
        set(range(at // length * length, at // length * length + length)) for at in range(SAMPLES)
    ]


def test_with_frozen_batch_norm_no_sample_feels_another():
    encoder = normalizing_encoder()
    freeze_batch_norm(encoder)
    alone = [{at} for at in range(SAMPLES)]
    assert companions(lambda views: encode_queries(encoder, views, size=4)) == alone
    assert companions(lambda views: encode_keys(encoder, views, size=4, order=order())) == alone


def test_keys_share_statistics_with_others_than_their_queries():
    """Without the order the two would be equal, and the batch alone would say which key is a
    query's own.
    """
    encoder = normalizing_encoder()
    queries = companions(lambda views: encode_queries(encoder, views, size=4))
    keys = companions(lambda views: encode_keys(encoder, views, size=4, order=order()))
    places = order().argsort().tolist()
    assert {frozenset(one) for one in keys} == {frozenset(places[at : at + 4]) for at in (0, 4, 8)}
    assert not any(key == query for key, query in zip(keys, queries, strict=True))
    in_place = companions(
        lambda views: encode_keys(encoder, views, size=4, order=torch.arange(12.0))
    )
    assert in_place == queries


def test_keys_come_back_in_the_order_of_the_batch_without_gradient():
    encoder = normalizing_encoder()
    encoder.eval()  # no statistics of a batch: only the order is left to compare
    views = random_views(2, SAMPLES, 3, 8, 8)
    keys = encode_keys(encoder, views, size=4, order=order())
    assert torch.allclose(keys, encode_views(encoder, views), atol=1e-12)
    assert not keys.requires_grad


def test_without_batch_norm_nothing_is_grouped(monkeypatch):
    encoder, views = plain_encoder(), random_views(2, SAMPLES, 3, 8, 8)
    calls = []
    monkeypatch.setattr(
        encoder, "forward", lambda rows, real=encoder.forward: calls.append(len(rows)) or real(rows)
    )
    encode_queries(encoder, views, size=4)
    encode_keys(encoder, views, size=4, order=order())
    assert calls == [2 * SAMPLES] * 2


def test_a_view_shares_statistics_with_no_other_view():
    encoder = normalizing_encoder()
    (views,) = random_views(2, SAMPLES, 3, 8, 8)
    changed = views.clone()
    changed[1] = 3 * changed[1] + 2
    for encode in (
        lambda shown: encode_queries(encoder, (shown,), size=4),
        lambda shown: encode_keys(encoder, (shown,), size=4, order=order()),
    ):
        before, after = encode(views), encode(changed)
        assert torch.allclose(before[0], after[0], atol=1e-12)
        assert not torch.allclose(before[1], after[1], atol=1e-3)
