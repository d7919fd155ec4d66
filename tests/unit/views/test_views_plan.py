import pytest
import torch

from nearfar.core.errors import ConfigError
from nearfar.core.types import StoredImages
from nearfar.views.plan import ViewPlan, evaluation_view, make_views
from nearfar.views.policies import POLICIES, Policy, named_policy

NORMAL = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.25)}
WHERE = {"seed": 1, "epoch": 2}


def store_of(n: int, side: int) -> StoredImages:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (n, side, side, 3), generator=generator, dtype=torch.uint8)
    sizes = torch.randint(side, 3 * side, (n, 2), generator=generator)
    return StoredImages(images, images[:, ::2, ::2].contiguous(), sizes)


def plan_of(policy: str, size: int, count: int = 2) -> ViewPlan:
    return ViewPlan(named_policy(policy), count, size, **NORMAL)


def views_of(
    store: StoredImages, plan: ViewPlan, rows: torch.Tensor, draw: int = 0, **where: int
) -> torch.Tensor:
    part = StoredImages(store.images[rows], store.half[rows], store.size_px[rows])
    (views,) = make_views(part, plan, index=rows, draw=torch.full_like(rows, draw), **{**WHERE, **where})
    return views


@pytest.mark.parametrize("policy", sorted(POLICIES))
@pytest.mark.parametrize(("side", "size"), [(8, 8), (32, 16)])
def test_views_are_the_same_bits_in_batches_of_1_7_and_64(policy, side, size):
    store, plan = store_of(64, side), plan_of(policy, size)
    whole = views_of(store, plan, torch.arange(64))
    for batch_size in (1, 7):
        for start in range(0, 64 - batch_size + 1, 9):
            rows = torch.arange(start, start + batch_size)
            assert torch.equal(views_of(store, plan, rows), whole[:, rows])


def test_large_views_are_the_same_bits_in_any_batch_on_any_number_of_threads():
    store, rows = store_of(5, 256), torch.arange(5)  # 192 px: enough for torch to split one view's sum
    plan = ViewPlan(Policy(crop_area=(0.2, 1.0), jitter=1.0, contrast=0.8), 2, 192, **NORMAL)
    before = torch.get_num_threads()
    try:
        made = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            made += [views_of(store, plan, rows)]
            made += [torch.cat([views_of(store, plan, row) for row in rows.split(1)], 1)]
    finally:
        torch.set_num_threads(before)
    for other in made[1:]:
        assert torch.equal(other, made[0])


def test_views_can_be_made_again_and_in_another_order():
    store, plan = store_of(9, 16), plan_of("simclr", 8)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(0))
    whole = views_of(store, plan, torch.arange(9))
    assert torch.equal(views_of(store, plan, torch.arange(9)), whole)
    assert torch.equal(views_of(store, plan, order), whole[:, order])


@pytest.mark.parametrize("policy", sorted(POLICIES))
@pytest.mark.parametrize("change", [{"draw": 1}, {"epoch": 3}, {"seed": 2}])
def test_another_draw_epoch_or_seed_gives_other_views(policy, change):
    store, plan, rows = store_of(16, 16), plan_of(policy, 8), torch.arange(16)
    same, other = views_of(store, plan, rows), views_of(store, plan, rows, **change)
    assert (same != other).flatten(2).any(-1).float().mean() > 0.9


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_the_views_of_a_sample_differ_and_a_further_view_changes_none(policy):
    store, rows = store_of(16, 16), torch.arange(16)
    four, two = (views_of(store, plan_of(policy, 8, count), rows) for count in (4, 2))
    assert four.shape == (4, 16, 3, 8, 8)
    assert torch.equal(four[:2], two)
    for a in range(4):
        for b in range(a):
            assert (four[a] != four[b]).flatten(1).any(1).float().mean() > 0.9


def test_equal_images_of_different_samples_get_different_views():
    store, plan = store_of(1, 16), plan_of("basic", 8)
    twice = torch.tensor([0, 0])
    part = StoredImages(store.images[twice], store.half[twice], store.size_px[twice])
    (views,) = make_views(part, plan, index=torch.tensor([3, 4]), draw=twice, **WHERE)
    assert not torch.equal(views[:, 0], views[:, 1])


def test_one_operation_more_shifts_no_other():
    store, rows = store_of(8, 16), torch.arange(8)
    grey = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    plain, greyed = (
        (
            views_of(store, ViewPlan(Policy(crop_area=(0.2, 1), grey=g), 2, 8, (0,) * 3, (1,) * 3), rows)
            * grey
        ).sum(2)
        for g in (0.0, 1.0)
    )
    assert torch.allclose(plain, greyed, atol=1e-5)


def test_a_policy_that_varies_nothing_makes_the_evaluation_view():
    random = store_of(3, 16)
    store = StoredImages(random.images, random.half, torch.tensor([[40, 40], [80, 40], [30, 90]]))
    views = views_of(store, ViewPlan(Policy(), 2, 8, **NORMAL), torch.arange(3))
    for view in views:
        assert torch.allclose(view, evaluation_view(store, size=8, crop=1.0, **NORMAL), atol=1e-5)


def test_making_views_leaves_torchs_own_generator_alone():
    before = torch.get_rng_state()
    views_of(store_of(4, 16), plan_of("simclr", 8), torch.arange(4))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"count": 0}, "views.count: want at least 1, got 0"),
        ({"size": 0}, "data.size: want at least 1 px, got 0"),
        ({"std": (1.0, 0.0, 1.0)}, "encoder.std: want more than 0"),
    ],
)
def test_a_plan_that_cannot_work_is_refused_by_name(wrong, text):
    with pytest.raises(ConfigError, match=text):
        ViewPlan(**{"policy": Policy(), "count": 2, "size": 8, **NORMAL, **wrong})
