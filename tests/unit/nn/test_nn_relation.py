import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from nearfar.nn import relation
from nearfar.nn.relation import RelationHead

AGGREGATIONS = ["cat", "sum", "mean", "max"]
EVERY = pytest.mark.parametrize("aggregation", AGGREGATIONS)
VIEWS, SAMPLES, WIDTH = 5, 4, 6


def head_and_rows(aggregation, *, dtype=torch.float32) -> tuple[RelationHead, Tensor]:
    torch.manual_seed(0)
    head = RelationHead(WIDTH, 16, aggregation=aggregation).to(dtype)
    return head, torch.randn(VIEWS, SAMPLES, WIDTH, dtype=dtype, requires_grad=True)


def as_its_authors_wrote_it(head: RelationHead, h: Tensor) -> Tensor:
    """Pairs are joined first, in their loop over views with its running shift, and then pass the
    whole head.
    """
    join = {
        "cat": lambda a, b: torch.cat([a, b], dim=1),
        "sum": lambda a, b: a + b,
        "mean": lambda a, b: (a + b) / 2,
        "max": lambda a, b: torch.max(torch.stack([a, b], dim=2), dim=2).values,
    }[head.aggregation]
    positives, negatives, shift = [], [], 1
    for i in range(len(h)):
        for j in range(i + 1, len(h)):
            positives.append(join(h[i], h[j]))
            negatives.append(join(h[i], torch.roll(h[j], shifts=shift, dims=0)))
            shift = shift + 1 if shift + 1 < h.shape[1] else 1
    layers = nn.Sequential(head.first, head.norm, nn.LeakyReLU(), head.last)
    return layers(torch.cat([*positives, *negatives])).view(2, -1, h.shape[1])


@EVERY
def test_the_logits_are_those_of_joined_pairs(aggregation):
    head, h = head_and_rows(aggregation)
    assert head(h).shape == (2, VIEWS * (VIEWS - 1) // 2, SAMPLES)
    assert torch.allclose(head(h), as_its_authors_wrote_it(head, h), atol=1e-5)


@EVERY
def test_gradients_are_those_of_joined_pairs(aggregation, monkeypatch):
    # the maxima of few rows at a time, and a last part that is short
    monkeypatch.setattr(relation, "ROWS_AT_ONCE", 7)
    head, h = head_and_rows(aggregation, dtype=torch.float64)
    weights = torch.randn(2, VIEWS * (VIEWS - 1) // 2, SAMPLES, dtype=torch.float64)

    def gradients(form) -> list[Tensor]:
        return list(torch.autograd.grad((form(h) * weights).sum(), [h, *head.parameters()]))

    plain = gradients(lambda rows: as_its_authors_wrote_it(head, rows))
    for ours, known in zip(gradients(head), plain, strict=True):
        assert torch.allclose(ours, known, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(("views", "samples"), [(2, 2), (3, 2), (5, 4), (9, 3), (4, 64)])
def test_no_negative_is_of_the_same_sample_and_shifts_take_turns(views, samples):
    one, other = relation._pairs(views, samples, torch.device("cpu"))
    assert torch.equal(other[0] % samples, one % samples)
    assert bool((other[1] % samples != one % samples).all())
    assert torch.equal(other[0] // samples, other[1] // samples)
    assert bool((one // samples < other // samples).all())
    shifts = (one - other[1])[:, 0] % samples
    assert shifts.tolist() == [1 + pair % (samples - 1) for pair in range(len(one))]


class WidestRows(TorchDispatchMode):
    """The most rows that any result had, by width."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[int, int] = {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else [out]:
            if isinstance(tensor, Tensor) and tensor.ndim >= 2:
                width = tensor.shape[-1]
                self.rows[width] = max(self.rows.get(width, 0), tensor.numel() // width)
        return out


@EVERY
def test_the_inputs_of_all_pairs_never_exist(aggregation, monkeypatch):
    monkeypatch.setattr(relation, "ROWS_AT_ONCE", 100)
    views, samples, width, hidden = 8, 32, 24, 40
    head = RelationHead(width, hidden, aggregation=aggregation)
    h = torch.randn(views, samples, width, requires_grad=True)
    pairs = views * (views - 1) * samples
    with WidestRows() as seen:
        head(h).sum().backward()
    assert seen.rows[hidden] == pairs  # the hidden layer of all pairs is there: BatchNorm needs it
    assert seen.rows[width] == max(views * samples, 100 if aggregation == "max" else 0)
    assert seen.rows.get(2 * width, 0) <= hidden  # the weight itself, and its gradient
