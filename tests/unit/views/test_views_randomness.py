"""A view depends on (seed, epoch, sample, draw, view) and on nothing else; its draws are uniform
and independent.
"""

import hashlib
import itertools
import os
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from views_pictures import (
    EACH,
    NORMAL,
    WHERE,
    all_views_of,
    params_of,
    policy,
    some,
    store_of,
    views_of,
)

from nearfar.core.randomness import fold, lowbias32, sample_keys, uniform
from nearfar.views.kernels import draw as drawing
from nearfar.views.kinds import Kind, Policy
from nearfar.views.making import ViewPlan, draw_params, make_views
from nearfar.views.operations import (
    Blur,
    Brightness,
    Contrast,
    Crop,
    Erase,
    Flip,
    Gray,
    Invert,
    Jitter,
    Noise,
    OneOf,
    Rotate,
    Sharpness,
    Solarize,
)
from nearfar.views.params import INVERT
from nearfar.views.policies import POLICIES, named_policy

BASE = (
    Crop(),
    Flip(),
    Rotate(degrees=(-30, 30)),
    Jitter(probability=0.8, brightness=0.4, contrast=0.4, hue=0.1),
    Gray(probability=0.2),
    Blur(probability=0.5),
    Solarize(probability=0.2),
    Erase(probability=0.5),
)
EVERYTHING = policy(
    *BASE,
    OneOf(times=2, among=tuple((each,) for name, each in EACH.items() if name != "crop")),
    Noise(sigma=(0, 0.1)),
)
TRIED = {
    **POLICIES,
    "rand_augment(3, 5)": named_policy("rand_augment(3, 5)"),
    "everything": EVERYTHING,
}


def plan_of(name: str, size: int, count: int = 2) -> ViewPlan:
    return ViewPlan(TRIED[name], count, size, **NORMAL)


def equal(a: tuple[torch.Tensor, ...], b: tuple[torch.Tensor, ...]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("name", sorted(TRIED))
def test_views_are_the_same_bits_in_batches_of_1_7_and_64(name):
    stored, plan = store_of(64, 24), plan_of(name, 12)
    whole = all_views_of(stored, plan)
    assert equal(all_views_of(stored, plan), whole)  # a second making
    for batch in (1, 7):
        for start in range(0, 64 - batch + 1, 9):
            rows = torch.arange(start, start + batch)
            assert equal(
                all_views_of(stored, plan, rows), tuple(views[:, rows] for views in whole)
            ), (batch, start)


@pytest.mark.parametrize("name", ["simclr", "byol", "swav", "stacked_rand_augment", "everything"])
def test_the_plain_kernels_are_the_same_bits_in_batches_of_1_and_7_too(name):
    stored, plan = store_of(14, 24), plan_of(name, 12)
    whole = all_views_of(stored, plan, backend="reference")
    for rows in (torch.tensor([3]), torch.arange(5, 12)):
        assert equal(
            all_views_of(stored, plan, rows, backend="reference"),
            tuple(views[:, rows] for views in whole),
        )


@pytest.mark.parametrize("name", ["simclr", "patches", "everything"])
def test_large_views_are_the_same_bits_in_any_batch_on_any_number_of_threads(name):
    stored, plan = store_of(5, 256), plan_of(name, 192)  # enough for torch to split one view's sum
    before = torch.get_num_threads()
    made = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            made += [all_views_of(stored, plan)]
            single = [all_views_of(stored, plan, row) for row in torch.arange(5).split(1)]
            made += [tuple(torch.cat(parts, 1) for parts in zip(*single, strict=True))]
    finally:
        torch.set_num_threads(before)
    assert len(made) == 4
    for other in made[1:]:
        assert equal(other, made[0])


def test_many_params_are_the_same_on_any_number_of_threads():
    before = torch.get_num_threads()
    made = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            made.append(params_of(EVERYTHING, 5000, count=2))  # few are drawn by one thread
    finally:
        torch.set_num_threads(before)
    for other in made[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(other, made[0], strict=True))
    alone = params_of(EVERYTHING, 10, count=2)
    assert all(np.array_equal(a, b[:, :10]) for a, b in zip(alone[:3], made[0][:3], strict=True))


DIGEST = """
import hashlib, torch
from views_pictures import NORMAL, all_views_of, store_of
from nearfar.views.making import ViewPlan
from nearfar.views.policies import named_policy
for name in ("simclr", "swav", "rand_augment(3, 5)", "patches"):
    made = all_views_of(store_of(9, 24), ViewPlan(named_policy(name), 2, 24, **NORMAL))
    print(hashlib.sha256(b"".join(views.contiguous().numpy().tobytes() for views in made)).hexdigest())
"""


def test_two_other_processes_with_other_hash_seeds_and_threads_make_the_same_bits(capsys):
    exec(DIGEST, {})
    here = capsys.readouterr().out
    assert len(here.split()) == 4
    assert here.split()[0] != hashlib.sha256(b"").hexdigest()
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    running = [
        subprocess.Popen(
            [sys.executable, "-c", DIGEST],
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "PYTHONPATH": path,
                "PYTHONHASHSEED": number,
                "OMP_NUM_THREADS": number,
            },
        )
        for number in ("1", "2")
    ]
    assert [process.communicate()[0] for process in running] == [here, here]


def test_views_can_be_made_in_another_order():
    stored, plan = store_of(9, 16), plan_of("simclr", 8)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(0))
    assert torch.equal(views_of(stored, plan, order), views_of(stored, plan)[:, order])


@pytest.mark.parametrize("name", sorted(TRIED))
@pytest.mark.parametrize(
    "change", [{"draw": 1}, {"epoch": 3}, {"seed": 2}, {"seed": 1 + 2**32}, {"sample": 1}]
)
def test_another_draw_epoch_seed_or_sample_gives_other_views(name, change):
    stored, plan = store_of(16, 16), plan_of(name, 8)
    index = torch.arange(16) + change.get("sample", 0)
    changed = all_views_of(
        stored, plan, index=index, **{k: v for k, v in change.items() if k != "sample"}
    )
    for same, other in zip(all_views_of(stored, plan), changed, strict=True):
        differing = (same != other).flatten(2).any(-1).float().mean()
        assert differing == 0 if name == "none" else differing > 0.9


@pytest.mark.parametrize("name", sorted(TRIED))
def test_the_views_of_a_sample_differ_and_a_further_view_changes_none(name):
    stored = store_of(16, 16)
    four, two = (all_views_of(stored, plan_of(name, 8, count)) for count in (4, 2))
    made = 9 if name == "patches" else 1
    assert len(four[0]) == 4 * made
    assert torch.equal(four[0][: 2 * made], two[0])
    if name == "none":
        return
    for a, b in itertools.combinations(range(4), 2):
        differing = (four[0][a * made] != four[0][b * made]).flatten(1).any(1)
        assert differing.float().mean() > 0.9


def test_a_further_kind_with_a_count_of_its_own_changes_no_view_of_the_others():
    stored = store_of(8, 16)
    (kind,) = TRIED["everything"].kinds
    more = Policy(kinds=(kind, kind.model_copy(update={"count": 3})))
    (plain,), (longer,) = (
        all_views_of(stored, ViewPlan(p, 2, 8, **NORMAL)) for p in (Policy(kinds=(kind,)), more)
    )
    assert torch.equal(longer[:2], plain)
    assert not torch.equal(longer[2:4], plain)


def test_views_of_another_size_go_on_counting():
    """The small crops of SwAV are no smaller copies of its first large ones."""
    operations = (Crop(), Flip(), Jitter(brightness=0.4, hue=0.1))
    mixed = Policy(
        kinds=(Kind(operations=operations), Kind(operations=operations, size=0.5, count=2))
    )
    index = torch.arange(50)
    large, small = (
        draw_params(
            group,
            torch.tensor([[60, 40]] * 50),
            mean=NORMAL["mean"],
            index=index,
            draw=torch.zeros_like(index),
            **WHERE,
        )
        for group in ViewPlan(mixed, 2, 32, **NORMAL).groups
    )
    alike = params_of(policy(*operations), 50, true=(60, 40), count=4)
    for array, of_large, of_small in zip(alike[:3], large[:3], small[:3], strict=True):
        assert np.array_equal(array[:2], of_large)
        assert np.array_equal(array[2:], of_small)
    assert (large.warp != small.warp).any((2, 3)).mean() > 0.99


def test_equal_images_of_different_samples_get_different_views():
    stored, twice = some(store_of(1, 16), torch.tensor([0, 0])), torch.tensor([0, 0])
    (views,) = make_views(
        stored, plan_of("basic", 8), index=torch.tensor([3, 4]), draw=twice, **WHERE
    )
    assert not torch.equal(views[:, 0], views[:, 1])


@pytest.mark.parametrize("name", [name for name in EACH if name != "crop"])
def test_a_new_operation_at_the_end_shifts_no_other(name):
    plain, longer = (
        params_of(policy(*BASE), 200, count=2),
        params_of(policy(*BASE, EACH[name]), 200, count=2),
    )
    depth = plain.stage.shape[2]
    color = name in (
        "brightness",
        "add_brightness",
        "contrast",
        "saturation",
        "hue",
        "jitter",
        "gray",
    )
    for v, b in itertools.product(range(2), range(200)):
        used = int((plain.stage[v, b] > 0).sum())
        # one matrix with the last
        same = used - 1 if color and used and plain.stage[v, b, used - 1] == 1 else used
        assert (longer.stage[v, b, :used] == plain.stage[v, b, :used]).all()
        assert (longer.amount[v, b, :same] == plain.amount[v, b, :same]).all()
        assert (longer.stage[v, b, used + 1 :] == 0).all()
    assert depth <= longer.stage.shape[2] <= depth + 1
    geometry = name.split()[0] in ("flip", "rotate", "shear", "translate", "scale")
    assert np.array_equal(longer.warp, plain.warp) is not geometry


def test_an_operation_put_in_between_shifts_no_other():
    plain = params_of(policy(*BASE), 300)
    longer = params_of(policy(*BASE[:5], Invert(), *BASE[5:]), 300)
    assert np.array_equal(longer.warp, plain.warp)
    for b in range(300):
        kept = longer.stage[0, b] != INVERT
        used = int((plain.stage[0, b] > 0).sum())
        assert kept.sum() == kept.size - 1
        assert (longer.stage[0, b][kept][:used] == plain.stage[0, b][:used]).all()
        assert (longer.amount[0, b][kept][:used] == plain.amount[0, b][:used]).all()


def test_the_compiled_hash_is_that_of_the_core_bit_by_bit():
    random = np.random.default_rng(0).integers(0, 2**32, 300).tolist()
    numbers = [0, 1, 2**31 - 1, 2**31, 2**32 - 1, 0x9E3779B9, *random]
    expected = lowbias32(torch.tensor(numbers)).tolist()
    assert [int(drawing._mix(np.int64(x))) for x in numbers] == expected
    folded = [(a, b) for a in numbers[:12] for b in [*numbers[:12], -1, -9]]
    keys, values = (torch.tensor(column) for column in zip(*folded, strict=True))
    assert [int(drawing._fold(np.int64(a), np.int64(b))) for a, b in folded] == fold(
        keys, values
    ).tolist()


def test_what_is_drawn_is_what_the_core_draws_for_the_stream_of_that_name():
    index = torch.arange(500)
    keys = sample_keys(WHERE["seed"], "views", WHERE["epoch"], index, torch.full_like(index, 3))
    params = params_of(
        policy(
            Solarize(probability=0.7, threshold=(0, 256)),
            Solarize(threshold=(0, 1)),
            Sharpness(factor=(0, 1)),
        ),
        500,
        count=2,
        draw=3,
    )
    for view in (0, 1):
        streams = [zlib.crc32(name) for name in (b"solarize:1", b"solarize:2", b"sharpness:1")]
        first, second, third = (
            uniform(fold(fold(keys, view), stream), 2).numpy() for stream in streams
        )
        happens = first[:, 0] < np.float32(0.7)
        assert 300 < happens.sum() < 400
        last = happens.astype(int)
        rows = np.arange(500)
        assert np.array_equal(params.amount[view, happens, 0, 0], 256 * first[happens, 1])
        assert np.array_equal(params.amount[view, rows, last, 0], second[:, 1])
        assert np.array_equal(params.amount[view, rows, last + 1, 0], third[:, 1])


N = 20000


def drawn(n: int = N, **where: int) -> np.ndarray:
    """(4, n): what two operations draw in two views, in [0, 1)."""
    params = params_of(
        policy(Sharpness(factor=(0, 1)), Solarize(threshold=(0, 1))), n, count=2, **where
    )
    return np.concatenate([params.amount[:, :, 0, 0], params.amount[:, :, 1, 0]]).astype(np.float64)


def test_draws_are_uniform():
    values = drawn()
    assert values.min() >= 0
    assert values.max() < 1
    for row in values:
        assert stats.kstest(row, "uniform").pvalue > 1e-5
        counts = np.bincount((row * 64).astype(int), minlength=64)
        assert stats.chisquare(counts).pvalue > 1e-5
        # low bits
        assert (
            stats.chisquare(np.bincount((row * 2**24).astype(int) % 64, minlength=64)).pvalue > 1e-5
        )


def test_draws_of_neighboring_samples_views_operations_epochs_draws_and_seeds_are_independent():
    values = drawn()
    pairs = {
        "samples": (values[0, :-1], values[0, 1:]),
        "samples two apart": (values[0, :-2], values[0, 2:]),
        "views": (values[0], values[1]),
        "operations": (values[0], values[2]),
        "operation of the next view": (values[0], values[3]),
        "epochs": (values[0], drawn(epoch=3)[0]),
        "draws": (values[0], drawn(draw=1)[0]),
        "seeds": (values[0], drawn(seed=2)[0]),
        "a seed, and the epoch before": (values[0], drawn(seed=2, epoch=1)[0]),
    }
    for name, (a, b) in pairs.items():
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.04, name  # more than 5 deviations
        table = np.histogram2d(a, b, bins=16, range=[[0, 1], [0, 1]])[0]
        assert stats.chisquare(table.ravel()).pvalue > 1e-5, name


def test_draws_within_one_operation_are_independent():
    """Ten places and sizes of a rectangle, whether it happens, and what one_of chooses."""
    params = params_of(policy(Erase(probability=0.5, area=(0.1, 0.1), aspect=(1, 1))), N, size=101)
    happened = params.stage[0, :, 0] > 0
    assert happened.mean() == pytest.approx(0.5, abs=0.015)
    left, top = params.amount[0, happened, 0, :2].T
    assert abs(np.corrcoef(left, top)[0, 1]) < 0.06
    chosen = OneOf(times=3, among=tuple((Solarize(threshold=(k, k)),) for k in range(8)))
    amounts = params_of(policy(chosen), N).amount[0, :, :, 0]
    assert amounts.shape == (N, 3)
    for a, b in itertools.combinations(range(3), 2):
        table = np.zeros((8, 8))
        np.add.at(table, (amounts[:, a].astype(int), amounts[:, b].astype(int)), 1)
        assert stats.chisquare(table.ravel()).pvalue > 1e-5


def test_one_of_draws_afresh_each_time():
    amounts = params_of(
        policy(OneOf(times=2, among=((Solarize(threshold=(0, 256)),),))), 1000
    ).amount[0, :, :, 0]
    assert (amounts[:, 0] != amounts[:, 1]).mean() > 0.99
    assert abs(np.corrcoef(amounts.T)[0, 1]) < 0.16


def test_two_operations_of_one_name_draw_apart():
    twice = params_of(policy(Flip(), Flip()), 4000).warp[0, :, 0, 0]
    assert (twice < 0).mean() == pytest.approx(0.5, abs=0.05)  # always undone, were they one
    brightness, contrast = (
        params_of(policy(operation), 2000).amount[0, :, 0, 0]
        for operation in (Brightness(factor=(0, 1)), Contrast(factor=(0, 1)))
    )
    assert abs(np.corrcoef(brightness, contrast)[0, 1]) < 0.12


def test_making_views_leaves_the_libraries_own_generators_alone():
    before, numpys = torch.get_rng_state(), np.random.get_state()[1].copy()
    views_of(store_of(4, 16), plan_of("everything", 8))
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numpys)
