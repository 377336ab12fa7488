"""Estimates from samples: scaled as pprof scales, and right as often as they say."""

from __future__ import annotations

import numpy as np
import pytest

from heldby.analysis.allocation.estimates import estimates, weights

RATE = 512 << 10


def one_group(sizes: list[int], rate: int = RATE) -> tuple[int, int, int, int, int]:
    found = estimates(np.zeros(len(sizes), np.int64), 1, np.array(sizes, np.int64), rate)
    return (
        int(found.bytes[0]),
        int(found.low[0]),
        int(found.high[0]),
        int(found.objects[0]),
        int(found.samples[0]),
    )


def test_sample_stands_for_the_inverse_of_its_probability() -> None:
    # 1 / (1 - exp(-s/524288)), by hand: 32768.5 objects of 16 bytes, 1.58198 of 512 KiB.
    scale = weights(np.array([16, RATE, 64 << 20], np.int64), RATE)

    assert scale == pytest.approx([32768.5, 1.5819767, 1.0])


@pytest.mark.parametrize("rate", [0, 1])
def test_rate_of_one_scales_nothing(rate: int) -> None:
    assert one_group([16, 48, 48], rate) == (112, 112, 112, 3, 3)


def test_limits_of_small_objects_are_those_of_a_poisson_count() -> None:
    # Of 10 counted, 95 % lie between 4.795 and 18.39 (Garwood, 1936); each stands for 512 KiB.
    total, low, high, _, samples = one_group([64] * 10)

    assert samples == 10
    assert total / RATE == pytest.approx(10, rel=0.001)
    assert low / RATE == pytest.approx(4.795, rel=0.01)
    assert high / RATE == pytest.approx(18.39, rel=0.01)


def test_large_object_that_cannot_be_missed_is_certain() -> None:
    total, low, high, objects, _ = one_group([1 << 30])

    assert total == low == high == 1 << 30
    assert objects == 1


def test_sampled_bytes_themselves_are_never_doubted() -> None:
    total, low, high, _, _ = one_group([1 << 20, 64])

    assert (1 << 20) + 64 <= low < total < high


def test_groups_are_kept_apart_and_may_be_empty() -> None:
    found = estimates(np.array([2, 0, 2], np.int64), 4, np.array([10, 20, 30], np.int64), 1)

    assert found.bytes.tolist() == [20, 0, 40, 0]
    assert found.samples.tolist() == [1, 0, 2, 0]
    assert found.high.tolist() == [20, 0, 40, 0]


@pytest.mark.parametrize(
    ("size", "count"),
    [
        (64, 80_000),
        (64, 400_000),
        (4096, 2000),
        (200_000, 12),
        (600_000, 8),
        (1 << 20, 6),
        (2 << 20, 6),
        (2 << 20, 40),
    ],
)
def test_truth_lies_within_the_interval_as_often_as_stated(size: int, count: int) -> None:
    random = np.random.default_rng(20_26)
    probability = 1 - np.exp(-size / RATE)
    sampled = random.binomial(count, probability, 4000)
    seen = sampled > 0  # a group without samples is not shown
    group = np.repeat(np.arange(4000), sampled)
    found = estimates(group, 4000, np.full(group.size, size, np.int64), RATE)

    truth = size * count
    inside = (found.low <= truth * 1.0001) & (truth <= found.high * 1.0001)

    assert float(inside[seen].mean()) >= 0.93
    assert float(found.bytes.mean()) == pytest.approx(truth, rel=0.03)
