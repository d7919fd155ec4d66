"""One contract over the table of methods: what every present and later method has to keep."""

import copy
import inspect
import math
from pathlib import Path

import pytest
import torch
from torch import nn

import nearfar.methods as table
from nearfar.config.models import MethodConfig
from nearfar.core.types import Batch, DataFacts
from nearfar.methods import METHODS, method_class
from nearfar.nn.conv4 import conv4
from nearfar.nn.encoders import Encoder
from nearfar.nn.heads import Head
from nearfar.nn.prototypes import Prototypes
from nearfar.nn.queue import Queue
from nearfar.nn.target import TargetNetwork
from nearfar.views.policies import POLICIES

# what the table held when this was written: a walk over fewer has missed some
N_METHODS = 23
N_LABELS_WITHHELD, N_CHANCE_LEVEL, N_TARGET, N_QUEUE = 15, 21, 4, 4
SIZE, SAMPLES, CLASSES = 8, 12, 3
# of each view, instead of the view: what `representation` is of
PARTS_ENCODED = {"relative_position": 2, "jigsaw": 4}
NO_CHANCE_LEVEL = {"byol", "simsiam"}  # a network that tells nothing apart has their best loss
WITH_FLOOR = {"cross_entropy", "joint", "moco", "nnclr", "simclr", "supcon"}
QUEUE_SIZE = 2 * SAMPLES
EVERY = pytest.mark.parametrize("name", list(METHODS))


def size_for(name: str) -> int:
    return max(SIZE, method_class(name).smallest_view_px)


def facts_for(name: str) -> DataFacts:
    return DataFacts("toy", size_for(name), tuple("abc"), (40, 40, 40), 120, n_val=20, n_test=20)


def small_net(*, batch_norm: bool = True) -> nn.Module:
    if batch_norm:
        return conv4().double()
    layers = [
        nn.Conv2d(3, 8, 3, padding=1),
        nn.GroupNorm(2, 8),
        nn.GELU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    ]
    return nn.Sequential(*layers).double()


def make(name: str, *, seed: int = 0, config: MethodConfig | None = None, batch_norm: bool = True):
    torch.manual_seed(seed)
    kind = method_class(name)
    encoder = Encoder(
        small_net(batch_norm=batch_norm),
        example=torch.zeros(1, 3, size_for(name), size_for(name)),
        architecture="small",
    )
    return kind(encoder, config or kind.Config(), facts_for(name)).double()


def make_batch(name: str, *, seed: int = 0) -> Batch:
    source = torch.Generator().manual_seed(seed)
    kind = method_class(name)
    labels = torch.arange(SAMPLES) % CLASSES
    shape = (3, size_for(name), size_for(name))
    look = torch.randn(CLASSES, *shape, generator=source, dtype=torch.float64)
    noise = torch.randn(kind.default_count, SAMPLES, *shape, generator=source, dtype=torch.float64)
    shown = labels if kind.needs_labels else torch.full_like(labels, -1)
    index = torch.arange(SAMPLES)
    return Batch((look[labels] + 0.5 * noise,), shown, index, torch.zeros_like(index), 0, 0, 0.5)


def make_queued(name: str, *, seed: int = 0):
    """With its queue, also where it has none unless one is asked for."""
    return make(name, seed=seed, config=method_class(name).Config(queue_size=QUEUE_SIZE))


def parts(method, kind: type) -> list:
    return [module for module in method.modules() if isinstance(module, kind)]


# The methods that some walks are about, by what they are.
LABELS_WITHHELD = [name for name in METHODS if not method_class(name).needs_labels]
CHANCE_LEVEL = [name for name in METHODS if name not in NO_CHANCE_LEVEL]
TARGET = [name for name in METHODS if parts(make(name), TargetNetwork)]
QUEUE = [name for name in METHODS if "queue_size" in method_class(name).Config.model_fields]


def fill_queues(method, batch: Batch) -> None:
    """Steps without learning until no queue holds a row that it began with."""
    queues = parts(method, Queue)
    for _ in range(max(map(len, queues), default=0) // SAMPLES + 1 if queues else 0):
        method.after_step(method(batch).remember, batch.progress)
    assert all(bool(queue.full) for queue in queues)


def train(method, batch: Batch, steps: int, lr: float = 0.05) -> list[float]:
    optimizer = torch.optim.SGD(method.parameters(), lr=lr, momentum=0.9)
    losses = []
    for _ in range(steps):
        result = method(batch)
        optimizer.zero_grad()
        result.loss.backward()
        method.after_backward(batch.progress)
        optimizer.step()
        losses.append(float(result.loss.detach()))
    return losses


def test_the_table_holds_every_method_file():
    folder = Path(table.__file__).parent
    files = {path.stem for path in folder.glob("*.py")} - {"__init__", "base", "frozen"}
    assert files == {path.partition(":")[0].rpartition(".")[2] for path in METHODS.values()}
    assert len(METHODS) == N_METHODS


def test_walks_over_a_part_of_the_table_are_over_all_of_it():
    assert len(LABELS_WITHHELD) == N_LABELS_WITHHELD
    assert len(CHANCE_LEVEL) == N_CHANCE_LEVEL
    assert len(TARGET) == N_TARGET
    assert len(QUEUE) == N_QUEUE
    assert set(QUEUE) >= {name for name in METHODS if parts(make(name), Queue)}


@EVERY
def test_a_step_returns_what_the_contract_says(name):
    method, batch = make(name), make_batch(name)
    result = method(batch)
    views = sum(len(group) for group in batch.views) * PARTS_ENCODED.get(name, 1)
    assert result.loss.shape == ()
    assert result.representation.shape == (views, SAMPLES, method.encoder.width)
    if result.projection is not None:
        assert result.projection.shape[:2] == (views, SAMPLES)
    assert all(value.ndim == 0 for value in result.logs.values())
    assert (
        float(result.logs["chance"]) > 0
        if name not in NO_CHANCE_LEVEL
        else "chance" not in result.logs
    )


@EVERY
def test_its_loss_lies_between_the_floor_that_it_logs_and_what_is_above_it(name):
    """The doctor looks for these names."""
    method, batch = make(name), make_batch(name)
    result = method(batch)
    assert ("floor" in result.logs) == (name in WITH_FLOOR)
    if name in WITH_FLOOR:
        floor, chance = (float(result.logs[key]) for key in ("floor", "chance"))
        assert 0 <= floor < min(chance, float(result.loss.detach()))


@EVERY
def test_it_logs_the_age_of_its_queue_and_the_number_of_its_prototypes(name):
    """And says nothing of them where there are none: the doctor and the report look for these
    names.
    """
    method, batch = make(name), make_batch(name)
    fill_queues(method, batch)
    logs = method(batch).logs
    assert ("queue_age" in logs) == bool(parts(method, Queue))
    assert float(logs.get("queue_age", 1)) >= 1
    counts = {len(found.weight) for found in parts(method, Prototypes)}
    assert counts == ({int(logs["prototypes"])} if "prototypes" in logs else set())


@EVERY
def test_parts_that_keep_their_rate_are_parts_that_learn(name):
    method = make(name)
    for part in method.constant_rate:
        assert any(parameter.requires_grad for parameter in getattr(method, part).parameters())
    assert set(method.constant_rate) == ({"predictor"} if name == "simsiam" else set())


@EVERY
def test_one_step_teaches_the_encoder(name):
    method = make(name)
    before = [p.detach().clone() for p in method.encoder.parameters()]
    train(method, make_batch(name), 1)
    moved = [
        not torch.equal(b, a) for b, a in zip(before, method.encoder.parameters(), strict=True)
    ]
    assert all(moved)


@EVERY
def test_the_loss_falls_when_a_batch_is_repeated(name):
    """A target, a queue or a center stands still meanwhile: what is learnt is to predict what it
    says.
    """
    method, batch = make(name), make_batch(name)
    fill_queues(method, batch)
    losses = train(method, batch, 30)
    assert losses[-1] < 0.9 * losses[0]


@EVERY
def test_a_twin_built_from_the_state_agrees(name):
    method, twin = make(name, seed=0), make(name, seed=1)
    train(method, make_batch(name), 3)
    twin.load_state_dict(method.state_dict())
    batch = make_batch(name, seed=5)
    assert float(twin(batch).loss.detach()) == float(method(batch).loss.detach())


@EVERY
def test_a_step_changes_no_parameter_and_repeats_itself(name):
    method, batch = make(name, batch_norm=False), make_batch(name)
    before = copy.deepcopy(method.state_dict())
    first, second = (float(method(batch).loss.detach()) for _ in range(2))
    assert first == second
    after = method.state_dict()
    buffers_of_norms = ("running_mean", "running_var", "num_batches_tracked")
    assert all(
        torch.equal(before[key], after[key]) for key in before if not key.endswith(buffers_of_norms)
    )


@pytest.mark.parametrize("name", QUEUE)
def test_a_queue_is_looked_at(name):
    method, batch = make_queued(name), make_batch(name)
    fill_queues(method, batch)
    before = float(method(batch).loss.detach())
    (queue,) = parts(method, Queue)
    assert len(queue) == QUEUE_SIZE
    queue.rows.copy_(queue.rows.flip(1))
    assert float(method(batch).loss.detach()) != before


@pytest.mark.parametrize("name", QUEUE)
def test_a_queue_is_pushed_the_batch_and_logs_its_age(name):
    method, batch = make_queued(name), make_batch(name)
    (queue,) = parts(method, Queue)
    assert float(method(batch).logs["queue_age"]) == 0
    for pushes in (1, 2):
        before = int(queue.filled)
        method.after_step(method(batch).remember, batch.progress)
        assert set(queue.index.tolist()) >= set(batch.index.tolist())
        assert int(queue.filled) - before >= min(SAMPLES, QUEUE_SIZE - before)
        assert int(queue.pushes) == pushes
        assert float(method(batch).logs["queue_age"]) >= 1


@pytest.mark.parametrize("name", QUEUE)
def test_a_twin_takes_over_the_queue_with_the_state(name):
    method, twin, batch = make_queued(name), make_queued(name, seed=1), make_batch(name)
    fill_queues(method, batch)
    twin.load_state_dict(method.state_dict())
    assert float(twin(batch).loss.detach()) == float(method(batch).loss.detach())


@pytest.mark.parametrize("name", TARGET)
def test_a_target_network_is_looked_at_and_gets_no_gradient(name):
    method, batch = make(name), make_batch(name)
    fill_queues(method, batch)
    before = float(method(batch).loss.detach())
    (target,) = parts(method, TargetNetwork)
    for part in target.children():
        kept = copy.deepcopy(part.state_dict())
        for parameter in part.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
        assert float(method(batch).loss.detach()) != before
        part.load_state_dict(kept)
    method(batch).loss.backward()
    assert all(parameter.grad is None for parameter in target.parameters())


@pytest.mark.parametrize("name", TARGET)
def test_after_step_moves_a_target_the_same_share_of_its_way_everywhere(name):
    method, batch = make(name), make_batch(name)
    result = method(batch)
    (target,), online = parts(method, TargetNetwork), dict(method.named_parameters())
    for parameter in online.values():
        parameter.data += parameter.requires_grad
    before = copy.deepcopy(target.state_dict())
    method.after_step(result.remember, 0.0)
    shares = [
        ((parameter - before[key]) / (online[key] - before[key])).mean().detach()
        for key, parameter in target.named_parameters()
    ]
    assert 0 < float(shares[0]) < 1
    assert torch.allclose(torch.stack(shares), shares[0])


@EVERY
def test_two_instances_never_touch_each_other(name):
    method, other = make(name), make(name)
    before = copy.deepcopy(other.state_dict())
    train(method, make_batch(name), 2)
    assert all(torch.equal(before[key], value) for key, value in other.state_dict().items())


@EVERY
def test_chunks_of_seven_rows_give_the_gradient_of_the_whole_batch(name):
    def gradient(micro_batch_size):
        method = make(name, batch_norm=False)
        method.encoder.micro_batch_size = micro_batch_size
        method(make_batch(name)).loss.backward()
        return torch.cat([p.grad.flatten() for p in method.parameters() if p.requires_grad])

    whole, chunked = gradient(None), gradient(7)
    assert float((whole - chunked).norm() / whole.norm()) <= 1e-12


@EVERY
def test_every_field_of_its_config_is_read(name):
    kind = method_class(name)
    read: set[str] = set()

    class Recorder(kind.Config):
        def __getattribute__(self, field: str):
            if field in kind.Config.model_fields:
                read.add(field)
            return super().__getattribute__(field)

    config = Recorder()
    read.clear()
    make(name, config=config)
    assert read == set(kind.Config.model_fields)


@EVERY
def test_it_states_its_paper_views_and_summary(name):
    kind = method_class(name)
    assert kind.paper
    assert kind.default_views in POLICIES
    assert kind.default_count >= kind.fewest_views
    summary, _, idea = inspect.getdoc(kind.Config).partition("\n\n")
    assert summary.endswith(".") and idea.endswith(".")
    assert all(field.description for field in kind.Config.model_fields.values())


@pytest.mark.parametrize("name", LABELS_WITHHELD)
def test_labels_that_were_withheld_do_not_matter_to_it(name):
    """A method that declares no need of labels gives the same loss whatever they are."""
    method, batch = make(name), make_batch(name)
    shown = Batch(batch.views, torch.arange(SAMPLES) % 2, batch.index, batch.draw, 0, 0, 0.5)
    assert float(method(shown).loss.detach()) == float(method(batch).loss.detach())


@EVERY
def test_it_says_why_it_cannot_use_data_without_labels(name):
    kind = method_class(name)
    nothing = DataFacts("pictures", size_for(name), (), (), 0, n_unlabeled=50)
    one = DataFacts("pictures", size_for(name), ("only",), (50,), 50)
    assert kind.why_not(facts_for(name)) is None
    for facts in (nothing, one):
        reason = kind.why_not(facts)
        assert (reason is not None) == kind.needs_labels
        assert reason is None or "pictures" in reason


@EVERY
def test_it_says_why_images_are_too_small_for_it(name):
    """The digits of 8 px are large enough for what needs no parts of a view."""
    kind = method_class(name)
    small = DataFacts("pictures", SIZE, tuple("abc"), (40, 40, 40), 120)
    if kind.smallest_view_px > SIZE:
        assert (
            kind.why_not(small)
            == f"needs images of at least {kind.smallest_view_px} px, these have {SIZE}"
        )
    else:
        assert kind.why_not(small) is None


@pytest.mark.parametrize("name", CHANCE_LEVEL)
def test_the_loss_starts_near_chance_with_equal_representations(name):
    """Chance is the loss of a network that tells nothing apart."""
    method = make(name, batch_norm=False)
    for head in parts(method, Head):
        for at, layer in enumerate(head):
            if isinstance(layer, nn.BatchNorm1d) and not layer.affine:
                # of equal rows it would make rounding noise of any direction
                head[at] = nn.Identity()
    for parameter in method.parameters():
        torch.nn.init.constant_(parameter, 1e-3)
    fill_queues(method, make_batch(name))
    result = method(make_batch(name))
    assert math.isclose(float(result.loss.detach()), float(result.logs["chance"]), rel_tol=0.05)
