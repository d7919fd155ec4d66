import gc

import numpy as np
import torch
from views_pictures import NORMAL, all_views_of, store_of

from nearfar.views.kernels.memory import Pool
from nearfar.views.making import ViewPlan
from nearfar.views.policies import named_policy


def address(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])


def test_memory_that_nothing_refers_to_is_lent_again():
    pool = Pool()
    first = address(pool.borrow(1000))
    assert address(pool.borrow(1000)) == first
    assert address(pool.borrow(600)) == first
    assert address(pool.borrow(400)) != first  # it would waste more than half


def test_memory_in_use_is_not_lent():
    pool = Pool()
    array = pool.borrow(100)
    tensor = torch.from_numpy(pool.borrow(100))
    part = torch.from_numpy(pool.borrow(100)).view(10, 10)[3:]
    held = {address(array), tensor.data_ptr(), part.data_ptr() - 4 * 30}
    assert len(held) == 3
    for _ in range(10):
        assert address(pool.borrow(100)) not in held


def test_what_autograd_saved_is_not_lent():
    pool = Pool()
    weight = torch.ones(100, requires_grad=True)
    rows = torch.from_numpy(pool.borrow(100))
    rows.fill_(3)
    loss = (weight * rows).sum()
    del rows
    for _ in range(10):
        pool.borrow(100)[:] = 7
    loss.backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == [3] * 100


def test_the_pool_keeps_few_buffers():
    pool = Pool()
    lent = [pool.borrow(n) for n in range(100, 120)]
    del lent
    gc.collect()
    assert len({address(pool.borrow(119)) for _ in range(3)}) == 1
    assert len(vars(pool)["_buffers"]) <= 4


def test_views_that_are_kept_stay_as_they_are():
    stored, plan = store_of(5, 24), ViewPlan(named_policy("simclr"), 2, 24, **NORMAL)
    kept = all_views_of(stored, plan)[0]
    before = kept.clone()
    encoded = kept.flatten(0, 1)[:3]  # refers to the same memory
    del kept
    for seed in range(1, 8):
        all_views_of(stored, plan, seed=seed)
    assert torch.equal(encoded, before.flatten(0, 1)[:3])
