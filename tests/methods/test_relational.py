"""What is the relational method's own beside the contract of every method."""

import json
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn

from nearfar.core.errors import NothingToCompareError
from nearfar.core.types import Batch, DataFacts
from nearfar.methods.relational import Relational, RelationalConfig
from nearfar.nn.encoders import Encoder

FACTS = DataFacts("toy", 8, (), (), 0, n_unlabeled=64)


def make(**fields: Any) -> Relational:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 6))
    encoder = Encoder(net, example=torch.zeros(1, 3, 8, 8), architecture="linear")
    return Relational(encoder, RelationalConfig(**fields), FACTS).double()


def make_batch(views: int, samples: int, part: slice = slice(None)) -> Batch:
    source = torch.Generator().manual_seed(1)
    images = torch.randn(views, samples, 3, 8, 8, generator=source, dtype=torch.float64)[:, part]
    index = torch.arange(samples)[part]
    return Batch((images,), torch.full_like(index, -1), index, torch.zeros_like(index), 0, 0, 0.0)


class Fixed(nn.Module):
    """A head whose scores are given: of positives, of negatives."""

    def __init__(self, positives: list[float], negatives: list[float]) -> None:
        super().__init__()
        self.scores = torch.tensor([positives, negatives]).double()[:, None]

    def forward(self, _h: torch.Tensor) -> torch.Tensor:
        return self.scores


def test_accuracy_is_told_of_positives_and_of_negatives():
    method = make()
    method.relation = Fixed([1.0, 2.0, -1.0, 3.0], [-1.0, 1.0, 2.0, 3.0])
    logs = method(make_batch(2, 4)).logs
    assert float(logs["accuracy_positives"]) == 0.75
    assert float(logs["accuracy_negatives"]) == 0.25


def test_focal_loss_is_the_default_and_plain_one_is_offered():
    scores = [1.0, -2.0], [0.5, -0.5]
    found = {}
    for form in ("focal", "bce"):
        method = make(loss=form)
        method.relation = Fixed(*scores)
        found[form] = float(method(make_batch(2, 2)).loss.detach())
    true = torch.tensor([[1.0, -2.0], [-0.5, 0.5]]).double().sigmoid()
    assert found["bce"] == pytest.approx(float(-true.log().mean()))
    assert found["focal"] == pytest.approx(float((-0.5 * (1 - true) ** 2 * true.log()).mean()))
    assert RelationalConfig().loss == "focal"


@pytest.mark.parametrize("aggregation", ["cat", "sum", "mean", "max"])
def test_blocks_of_images_learn_apart(aggregation):
    """What one device does with blocks of 4 is what two devices do with 4 images each."""
    method = make(block_size=4, aggregation=aggregation)
    whole = method(make_batch(3, 8)).loss
    parts = [method(make_batch(3, 8, part)).loss for part in (slice(0, 4), slice(4, 8))]
    assert float(whole.detach()) == pytest.approx(
        float(torch.stack(parts).mean().detach()), rel=1e-12
    )
    mean, gathered = (
        torch.autograd.grad(loss, method.parameters()) for loss in (sum(parts) / 2, whole)
    )
    assert all(
        torch.allclose(a, b, rtol=1e-9, atol=1e-12) for a, b in zip(mean, gathered, strict=True)
    )
    assert (
        float((make(aggregation=aggregation)(make_batch(3, 8)).loss - whole).detach().abs()) > 1e-6
    )


@pytest.mark.parametrize(
    ("samples", "blocks"), [(3, [3]), (7, [7]), (8, [4, 4]), (9, [5, 4]), (14, [5, 5, 4])]
)
def test_a_block_is_never_smaller_than_asked_where_there_are_so_many_images(samples, blocks):
    method, seen = make(block_size=4), []
    method.relation.register_forward_pre_hook(lambda _head, given: seen.append(given[0].shape[1]))
    method(make_batch(2, samples))
    assert seen == blocks


def test_one_image_is_nothing_to_compare():
    with pytest.raises(NothingToCompareError, match="at least two images"):
        make()(make_batch(4, 1))


MEMORY = """
import json, resource, sys
import torch
from nearfar.core.types import Batch, DataFacts
from nearfar.methods.relational import Relational, RelationalConfig
from nearfar.nn.conv4 import conv4
from nearfar.nn.encoders import Encoder

encoder = Encoder(conv4(), example=torch.zeros(1, 3, 32, 32), architecture="conv4")
method = Relational(encoder, RelationalConfig(aggregation=sys.argv[1]), DataFacts("toy", 32, (), (), 0, 64))
index = torch.arange(64)
views = torch.randn(32, 64, 3, 32, 32)
for _ in range(2):
    result = method(Batch((views,), torch.full_like(index, -1), index, torch.zeros_like(index), 0, 0, 0.0))
    result.loss.backward()
print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20))
"""


@pytest.mark.ci
@pytest.mark.parametrize("aggregation", ["cat", "max"])
def test_thirty_two_views_of_sixty_four_images_fit_in_two_gigabytes(aggregation):
    """The whole process, libraries included, in GiB; 63,488 pairs a step."""
    command = [sys.executable, "-c", MEMORY, aggregation]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) < 2
