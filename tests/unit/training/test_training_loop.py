"""The loop: rates, clipping, randomness, order of calls, and stopping where the loss is no
number.
"""

import weakref

import pytest
import torch
from train_tiny import Recording, tiny_batches, tiny_fit

from nearfar.core.errors import NotFiniteError, NothingToCompareError, TrainingStoppedError
from nearfar.core.progress import Bar
from nearfar.core.types import Batch, StepResult
from nearfar.training.checkpoint import Counters
from nearfar.training.optimizers import CONSTANT_RATE
from nearfar.training.schedules import Schedule


def flat(method: Recording) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in method.parameters()]).clone()


def test_a_run_learns_and_reports_a_row_of_means_an_epoch() -> None:
    method = Recording()
    rows = tiny_fit(method)
    assert len(rows) == 2
    assert [row["loss"] for row in rows] == pytest.approx(
        [sum(method.losses[:3]) / 3, sum(method.losses[3:]) / 3]
    )
    assert rows[1]["loss"] < rows[0]["loss"]
    assert [row["step"] for row in rows] == [2.0, 5.0]
    monitors = {
        "effective_rank",
        "feature_std",
        "alignment",
        "uniformity",
        "cosine_positive",
        "cosine_random",
    }
    assert set(rows[0]) == {"loss", "grad_norm", "chance", "step", "lr", *monitors}
    norms = [
        torch.cat([g.flatten() for g in gradients if g is not None]).norm()
        for gradients in method.gradients
    ]
    assert rows[0]["grad_norm"] == pytest.approx(float(sum(norms[:3]) / 3), rel=1e-5)


def test_a_step_calls_step_after_backward_and_after_step_in_this_order() -> None:
    method = Recording()
    tiny_fit(method)
    assert method.calls == [
        call for n in range(1, 7) for call in ("step", "after_backward", f"after_step {n}")
    ]
    assert method.progress == [step / 6 for step in range(6)]
    assert all(gradient is not None for gradient in method.gradients[0])


def test_the_first_update_is_the_gradient_times_the_rate() -> None:
    method = Recording()
    start = flat(method)
    tiny_fit(method, tiny_batches(epochs=1, steps_per_epoch=1), lr=0.3)
    gradient = torch.cat([g.flatten() for g in method.gradients[0] if g is not None])
    assert torch.allclose(start - flat(method), 0.3 * gradient, atol=1e-7)


def test_gradients_are_clipped_to_the_norm_that_was_asked() -> None:
    method = Recording(scale=1000.0)
    start = flat(method)
    rows = tiny_fit(method, tiny_batches(epochs=1, steps_per_epoch=1), lr=1.0, gradient_clip=0.01)
    assert rows[0]["grad_norm"] > 1  # as it was before
    assert float((start - flat(method)).norm()) == pytest.approx(0.01, rel=1e-3)


def test_a_gradient_below_the_limit_is_not_touched() -> None:
    clipped, free = Recording(), Recording()
    tiny_fit(clipped, gradient_clip=1e6)
    tiny_fit(free)
    assert torch.equal(flat(clipped), flat(free))


def test_the_rate_warms_up_over_epochs_and_then_decays() -> None:
    class Rates(torch.optim.SGD):
        seen: list[float] = []  # noqa: RUF012

        def step(self, closure: None = None) -> None:
            self.seen.append(self.param_groups[0]["lr"])
            super().step(closure)

    method = Recording()
    Rates.seen = []
    optimizer = Rates(method.parameters(), lr=123.0)
    rows = tiny_fit(
        method, optimizer=optimizer, lr=0.6, warmup_epochs=1.0, schedule=Schedule("cosine")
    )
    assert Rates.seen == pytest.approx([0.2, 0.4, 0.6, 0.6, 0.45, 0.15])
    assert [row["lr"] for row in rows] == pytest.approx([0.6, 0.15])


def test_a_group_whose_rate_is_constant_stays_at_the_peak() -> None:
    method = Recording()
    layer = method.encoder.net.layers[1]
    groups = [
        {"params": [layer.weight], CONSTANT_RATE: True},
        {"params": [layer.bias], CONSTANT_RATE: False},
    ]
    optimizer = torch.optim.SGD(groups, lr=123.0)
    rows = tiny_fit(
        method, optimizer=optimizer, lr=0.6, warmup_epochs=1.0, schedule=Schedule("cosine")
    )
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.6, 0.15])
    assert rows[-1]["lr"] == pytest.approx(0.15)


def test_a_method_knows_no_group_of_ranks_where_there_is_one() -> None:
    method = Recording()
    tiny_fit(method)
    assert method.group is None


def test_dropout_repeats_from_run_to_run_and_differs_from_step_to_step() -> None:
    one, two, other = Recording(dropout=0.5), Recording(dropout=0.5), Recording(dropout=0.5)
    torch.manual_seed(1)
    tiny_fit(one)
    torch.manual_seed(2)
    tiny_fit(two)
    tiny_fit(other, tiny_batches(seed=1))
    assert torch.equal(flat(one), flat(two))
    assert not torch.equal(flat(one), flat(other))


def test_dropout_has_another_mask_in_each_step() -> None:
    method = Recording(dropout=0.5)
    batches = tiny_batches(pool=torch.arange(4), epochs=1, steps_per_epoch=2)
    masks: list[torch.Tensor] = []
    method.encoder.register_forward_hook(lambda _module, _in, out: masks.append(out.detach() == 0))
    tiny_fit(method, batches, lr=1e-9)
    assert len(masks) == 2
    assert not torch.equal(*masks)


@pytest.mark.parametrize("chunk", [None, 3])
def test_training_leaves_torchs_generator_untouched(chunk: int | None) -> None:
    method = Recording(dropout=0.5)
    method.encoder.micro_batch_size = chunk
    state = torch.get_rng_state()
    tiny_fit(method)
    assert torch.equal(torch.get_rng_state(), state)


class StopHereError(Exception):
    pass


def test_a_resumed_run_continues_with_the_epoch_the_rate_and_the_masks_that_come_next() -> None:
    whole, halves = Recording(dropout=0.5), Recording(dropout=0.5)
    course = {"lr": 0.3, "warmup_epochs": 1.0, "schedule": Schedule("cosine")}
    tiny_fit(whole, tiny_batches(epochs=4), **course)
    counters = Counters()

    def stop_after_two(_row: dict[str, float]) -> None:
        if counters.epoch == 2:
            raise StopHereError

    with pytest.raises(StopHereError):
        tiny_fit(
            halves, tiny_batches(epochs=4), counters=counters, after_epoch=stop_after_two, **course
        )
    assert (counters.epoch, counters.step, counters.views_seen) == (2, 6, 6 * 2 * 4)
    rows = tiny_fit(halves, tiny_batches(epochs=4), counters=counters, **course)
    assert len(rows) == 2
    assert (counters.epoch, counters.step, counters.views_seen) == (4, 12, 12 * 2 * 4)
    assert [batch.epoch for batch in halves.batches] == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3
    assert torch.equal(flat(whole), flat(halves))


def test_a_run_that_is_complete_takes_no_step() -> None:
    method = Recording()
    assert tiny_fit(method, counters=Counters(epoch=2, step=6)) == []
    assert method.calls == []


def test_views_and_seconds_are_counted_for_all_ranks() -> None:
    counters = Counters()
    tiny_fit(Recording(), tiny_batches(rank=1, world_size=2), counters=counters)
    assert counters.views_seen == 6 * 2 * 4
    assert 0 < counters.train_seconds < 60


def test_the_method_trains_in_training_mode_also_after_an_evaluation() -> None:
    method = Recording()
    modes: list[bool] = []
    method.encoder.register_forward_pre_hook(lambda module, _: modes.append(module.training))
    method.eval()

    def evaluate(_row: dict[str, float]) -> None:
        method.eval()

    tiny_fit(method, after_epoch=evaluate)
    assert modes == [True] * 6
    assert method.training


def test_a_loss_that_is_no_number_stops_the_run_and_says_where_and_what_to_try() -> None:
    method = Recording(bad_at=5)
    counters = Counters()
    with pytest.raises(TrainingStoppedError) as caught:
        tiny_fit(method, counters=counters, lr=0.3)
    message = str(caught.value)
    assert message.startswith(
        "training stopped at step 5 of 6 (epoch 2): the loss of Recording is nan; "
        "the representation of view 1 is not finite. The learning rate was 0.3."
    )
    assert "--set optimizer.lr=0.03" in message
    assert "the last complete epoch's checkpoint stays" in message
    assert caught.value.exit_code == 3
    assert (counters.epoch, counters.step) == (1, 4)
    assert method.calls[-1] == "step"


def test_a_loss_that_stops_the_run_changes_no_weight() -> None:
    method, healthy = Recording(bad_at=2), Recording()
    with pytest.raises(TrainingStoppedError, match="step 2 of 6"):
        tiny_fit(method)
    tiny_fit(healthy, tiny_batches(epochs=1, steps_per_epoch=1))
    assert torch.equal(flat(method), flat(healthy))


def test_an_infinite_loss_stops_the_run_too() -> None:
    with pytest.raises(TrainingStoppedError, match="the loss of Recording is inf"):
        tiny_fit(Recording(scale=float("inf")))


def test_the_bar_advances_a_step_at_a_time_and_shows_the_loss_beside_chance() -> None:
    class Board:
        task_ids = (0,)

        def __init__(self) -> None:
            self.texts: list[str] = []

        def update(self, _task: int, *, advance: int, text: str) -> None:
            assert advance == 1
            self.texts.append(text)

    board = Board()
    method = Recording()
    tiny_fit(method, bar=Bar(board))
    assert board.texts == [f"loss {loss:.3f} (chance 0.500)" for loss in method.losses]


def test_a_gradient_that_is_no_number_stops_the_run_before_its_step() -> None:
    method = Recording()
    start = flat(method)
    method.encoder.net.layers[1].weight.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(
        TrainingStoppedError, match=r"stopped at step 1 of 6 .*the gradient of Recording has norm"
    ):
        tiny_fit(method)
    assert torch.equal(flat(method), start)


def test_a_loss_that_refuses_rows_that_are_not_finite_stops_the_run_too() -> None:
    method = Recording()

    def refuse(_batch: object) -> None:
        raise NotFiniteError("z: want finite numbers, got NaN in 3 row(s)")

    method.step = refuse
    with pytest.raises(
        TrainingStoppedError, match=r"step 1 of 6 .*Recording cannot be taken \(z: want finite"
    ):
        tiny_fit(method)


class Pairless:
    """A step that finds no pair at some of a run's steps, counted from 0."""

    def __init__(self, method: Recording, at: set[int], begun: int = 0) -> None:
        self.wrapped, self.at, self.number = method.step, at, begun
        method.step = self

    def __call__(self, batch: Batch) -> StepResult:
        self.number += 1
        if self.number - 1 in self.at:
            raise NothingToCompareError("labels: want two classes, got one")
        return self.wrapped(batch)


def test_a_batch_without_a_pair_is_left_out_and_counted() -> None:
    method, counters, told = Recording(), Counters(), []

    class Told(Bar):
        def advance(self, n: int = 1, text: str = "") -> None:
            told.append((n, text))

    Pairless(method, {1, 3, 4, 5})
    rows = tiny_fit(method, counters=counters, bar=Told())
    assert method.calls == [
        call for n in (1, 2) for call in ("step", "after_backward", f"after_step {n}")
    ]
    assert (counters.step, counters.steps_without_pair, counters.views_seen) == (6, 4, 2 * 8)
    assert method.progress == [0, 2 / 6]  # the others are where they were
    assert [text for _, text in told].count("no pair in this batch") == 4 and len(told) == 6
    assert rows[0]["loss"] == pytest.approx(sum(method.losses) / 2)
    assert set(rows[1]) == {"lr"}  # an epoch without a pair has no numbers


def test_a_run_that_left_steps_out_goes_on_with_the_same_bits() -> None:
    whole = Recording(dropout=0.5)
    Pairless(whole, {1, 4})
    tiny_fit(whole)
    part, counters = Recording(dropout=0.5), Counters()
    Pairless(part, {1, 4})

    class EndedError(Exception):
        pass

    def stop(_row: object) -> None:
        raise EndedError

    with pytest.raises(EndedError):
        tiny_fit(part, counters=counters, after_epoch=stop)
    assert (counters.epoch, counters.step, counters.steps_without_pair) == (1, 3, 1)
    tiny_fit(part, counters=counters)
    assert counters.steps_without_pair == 2
    assert torch.equal(flat(part), flat(whole))


def test_a_run_in_which_no_batch_holds_a_pair_stops_and_says_what_to_set() -> None:
    method = Recording()
    Pairless(method, set(range(6)))
    with pytest.raises(
        TrainingStoppedError, match=r"after 3 steps: Recording found no pair .*larger train.batch"
    ):
        tiny_fit(method)


def test_a_step_s_batch_is_let_go_before_the_next_one_is_worked_on() -> None:
    """Views of large batches are what a step's memory holds beside the network."""
    method = Recording()
    step, seen = method.step, []

    def watched(batch: Batch) -> StepResult:
        assert [one() for one in seen] == [None] * len(seen)
        seen.append(weakref.ref(batch.views[0]))
        result = step(batch)
        method.batches[-1] = None
        return result

    method.step = watched
    tiny_fit(method)
    assert len(seen) == 6
