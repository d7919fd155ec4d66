"""Randomness by name: the hash is the published one, and no two names share a draw."""

import zlib

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from nearfar.core.randomness import fold, lowbias32, sample_keys, stream_seed, uniform

WORDS = st.integers(0, 2**32 - 1)


def lowbias32_in_uint32(values: list[int]) -> np.ndarray:
    x = np.array(values, dtype=np.uint32)
    x = x ^ (x >> np.uint32(16))
    x = x * np.uint32(0x7FEB352D)
    x = x ^ (x >> np.uint32(15))
    x = x * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


@given(st.lists(WORDS, min_size=1, max_size=50))
def test_the_hash_is_bit_equal_to_uint32_arithmetic(values: list[int]) -> None:
    ours = lowbias32(torch.tensor(values))
    assert ours.tolist() == lowbias32_in_uint32(values).astype(np.int64).tolist()


def test_the_hash_is_bit_equal_to_uint32_arithmetic_at_the_ends_of_the_range() -> None:
    values = [0, 1, 2**16, 2**31 - 1, 2**31, 2**32 - 1]
    assert (
        lowbias32(torch.tensor(values)).tolist()
        == lowbias32_in_uint32(values).astype(np.int64).tolist()
    )


def test_the_hash_reads_only_the_low_32_bits() -> None:
    x = torch.tensor([5, 2**31])
    assert torch.equal(lowbias32(x + 2**32), lowbias32(x))
    assert torch.equal(lowbias32(x - 2**32), lowbias32(x))


def test_one_flipped_bit_of_the_input_flips_half_of_the_output() -> None:
    x = torch.arange(4096)
    base = lowbias32(x)
    for bit in range(32):
        changed = base ^ lowbias32(x ^ (1 << bit))
        flips = sum(((changed >> k) & 1).double().mean() for k in range(32))
        assert 14.5 < float(flips) < 17.5, bit


def test_uniform_lies_in_the_half_open_unit_interval_on_a_grid_of_24_bits() -> None:
    u = uniform(torch.arange(50_000), 4)
    assert u.shape == (50_000, 4)
    assert u.dtype == torch.float32
    assert float(u.min()) >= 0
    assert float(u.max()) < 1
    scaled = u.double() * 2**24
    assert torch.equal(scaled, scaled.round())


def test_the_largest_hash_becomes_the_largest_number_below_one() -> None:
    """Its top 24 bits alone are kept: all 32 would round up to 1.0 in float32."""
    x = 2**32 - 1  # what the hash shall be; its steps are undone one by one
    x ^= x >> 16
    x = x * pow(0x846CA68B, -1, 2**32) % 2**32
    x ^= x >> 15 ^ x >> 30
    x = x * pow(0x7FEB352D, -1, 2**32) % 2**32
    x ^= x >> 16
    assert int(lowbias32(torch.tensor(x))) == 2**32 - 1
    assert float(uniform(torch.tensor(x - 0x9E3779B9), 1)) == 1 - 2**-24


def test_uniform_is_uniform_over_samples_by_kolmogorov_smirnov_and_chi_square() -> None:
    index = torch.arange(20_000)
    keys = sample_keys(0, "test", 0, index, torch.zeros_like(index))
    u = uniform(keys, 3).double().numpy()
    for column in u.T:
        assert stats.kstest(column, "uniform").pvalue > 1e-3
        counts = np.bincount((column * 64).astype(int), minlength=64)
        assert stats.chisquare(counts).pvalue > 1e-3


def test_uniform_is_uniform_within_one_key() -> None:
    u = uniform(torch.tensor(stream_seed(3, "one key")), 20_000).double().numpy()
    assert stats.kstest(u, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(u[1:], u[:-1])[0, 1]) < 0.03


def test_neighboring_numbers_samples_draws_and_epochs_are_uncorrelated() -> None:
    index = torch.arange(20_000)
    zero, one = torch.zeros_like(index), torch.ones_like(index)
    base = uniform(sample_keys(0, "a", 0, index, zero), 2)
    others = {
        "next number": base[:, 1],
        "next sample": base[:, 0].roll(1),
        "next draw": uniform(sample_keys(0, "a", 0, index, one), 1)[:, 0],
        "next epoch": uniform(sample_keys(0, "a", 1, index, zero), 1)[:, 0],
        "next seed": uniform(sample_keys(1, "a", 0, index, zero), 1)[:, 0],
        "next stream": uniform(sample_keys(0, "b", 0, index, zero), 1)[:, 0],
    }
    assert len(others) == 6
    for name, other in others.items():
        assert abs(float(torch.corrcoef(torch.stack([base[:, 0], other]))[0, 1])) < 0.03, name


def test_no_two_of_seed_stream_epoch_sample_and_draw_share_a_key() -> None:
    index = torch.arange(40)
    keys = [
        sample_keys(seed, stream, epoch, index, torch.full_like(index, draw))
        for seed in (0, 1, 2, 2**31 - 1)
        for stream in ("views", "order", "dropout")
        for epoch in range(3)
        for draw in range(3)
    ]
    every = torch.cat(keys)
    assert len(every) == 4 * 3 * 3 * 3 * 40
    assert len(every.unique()) == len(every)


def test_within_an_epoch_a_million_samples_have_a_million_keys() -> None:
    index = torch.arange(1_000_000)
    keys = sample_keys(0, "views", 5, index, torch.full_like(index, 2))
    assert len(keys.unique()) == len(index)
    assert int(keys.min()) >= 0
    assert int(keys.max()) < 2**32


def test_swapping_sample_and_draw_or_seed_and_epoch_gives_another_key() -> None:
    a, b = torch.tensor([3]), torch.tensor([7])
    assert not torch.equal(sample_keys(0, "s", 0, a, b), sample_keys(0, "s", 0, b, a))
    assert not torch.equal(sample_keys(3, "s", 7, a, b), sample_keys(7, "s", 3, a, b))
    assert stream_seed(0, "s", 1, 2) != stream_seed(0, "s", 2, 1)
    assert stream_seed(0, "s") != stream_seed(0, "s", 0)


def test_a_key_depends_on_no_other_row_of_its_batch() -> None:
    index = torch.tensor([10, 20, 30, 20])
    draw = torch.tensor([0, 0, 0, 1])
    together = sample_keys(4, "views", 2, index, draw)
    alone = torch.cat(
        [sample_keys(4, "views", 2, index[i : i + 1], draw[i : i + 1]) for i in range(4)]
    )
    assert torch.equal(together, alone)
    assert together[1] != together[3]


def test_stream_seeds_and_keys_stay_what_they_are() -> None:
    """Pinned: a change here changes every run that was ever made."""
    assert stream_seed(0, "order", 0) == 4031401872
    assert stream_seed(0, "views", 3) == 1735324204
    assert stream_seed(7, "dropout", 12) == 3638654083
    assert stream_seed(2**31 - 1, "t-SNE") == 1687972595
    keys = sample_keys(1, "views", 2, torch.tensor([0, 5]), torch.tensor([0, 1]))
    assert keys.tolist() == [3587715568, 3315096551]
    drawn = [round(u * 2**24) for u in uniform(keys, 2).flatten().tolist()]
    assert drawn == [4619907, 10612421, 934083, 6707473]


def test_a_key_is_the_chain_of_hashes_that_the_docstring_names() -> None:
    def fold_in_integers(key: int, value: int) -> int:
        return int(lowbias32_in_uint32([((key ^ (value % 2**32)) + 0x9E3779B9) % 2**32])[0])

    seed, stream, epoch, sample, draw = 2**33 + 5, "views", 4, 17, 2
    key = seed % 2**32
    for value in (0, seed >> 32, zlib.crc32(stream.encode()), epoch, sample, draw):
        key = fold_in_integers(key, value)
    ours = sample_keys(seed, stream, epoch, torch.tensor([sample]), torch.tensor([draw]))
    assert ours.tolist() == [key]
    first = int(lowbias32_in_uint32([(key + 0x9E3779B9) % 2**32])[0]) >> 8
    assert float(uniform(ours, 1)) == first / 2**24


@given(WORDS, st.integers(0, 2**63), st.sampled_from(["views", "order", "", "é"]))
def test_every_seed_and_stream_gives_a_32_bit_integer(epoch: int, seed: int, stream: str) -> None:
    assert 0 <= stream_seed(seed, stream, epoch) < 2**32


def test_the_high_bits_of_a_large_seed_count() -> None:
    seeds = [0, 1, 2, 3, 2**32, 2**32 + 1, 2**33 + 1, 2**62 + 1, -1]
    assert len({stream_seed(seed, "s") for seed in seeds}) == len(seeds)


def test_fold_takes_each_value_of_a_key_to_another_place() -> None:
    """For one key a bijection: what keeps the samples of an epoch apart."""
    folded = fold(torch.full((200_000,), 12345), torch.arange(200_000))
    assert len(folded.unique()) == 200_000


def test_drawing_touches_no_generator_of_torch_or_numpy() -> None:
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    uniform(sample_keys(0, "s", 0, torch.arange(9), torch.arange(9)), 3)
    stream_seed(0, "s", 1)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)
