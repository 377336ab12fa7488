"""What sampled objects say of all objects: totals as pprof scales them, each with the interval it stands for.

An allocation of s bytes is sampled with probability ``p = 1 - exp(-s/rate)``, so a sample stands for 1/p objects
(runtime/pprof/protomem.go, scaleHeapSample). Of the estimate, the sampled bytes themselves are certain. The
rest, of mean m and variance v over n samples, is taken for gamma distributed: the limits are the 2.5 % quantile
with n samples and the 97.5 % quantile with n + 1, in whole objects; for small objects these are the exact limits
of a Poisson count. With a rate of 1 everything is sampled and all three numbers are equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
CONFIDENCE: Final = 0.95
_Z: Final = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)


@dataclass(frozen=True, slots=True, eq=False)
class Estimates:
    """One row for each group of samples.

    Attributes:
        bytes: ``int64[g]``, the estimate.
        low, high: ``int64[g]``, where the truth lies with `CONFIDENCE`.
        objects: ``int64[g]``, the estimate of their number.
        samples: ``int64[g]``, on how many samples it stands.
    """

    bytes: I64
    low: I64
    high: I64
    objects: I64
    samples: I64

    def take(self, rows: NDArray[np.intp] | I64) -> Estimates:
        """Return the chosen rows, in that order."""
        return Estimates(
            self.bytes[rows], self.low[rows], self.high[rows], self.objects[rows], self.samples[rows]
        )


def weights(sizes: I64, rate: int) -> F64:
    """Return how many objects a sample of each size stands for."""
    if rate <= 1:
        return np.ones(sizes.size)
    scale: F64 = 1 / -np.expm1(-sizes / rate)
    return scale


def estimates(group: I64, count: int, sizes: I64, rate: int) -> Estimates:
    """Return the totals of each group. O(samples).

    Args:
        group: ``int64[n]``, the group of each sample, below `count`.
        count: how many groups there are.
        sizes: ``int64[n]``, the sampled objects' bytes, at least 1.
        rate: ``runtime.MemProfileRate``, at least 1.
    """
    scale = weights(sizes, rate)

    def total(values: F64 | I64) -> F64:
        # Of no samples NumPy returns integers.
        return np.bincount(group, weights=values, minlength=count).astype(np.float64)

    seen, unseen = total(sizes), total(sizes * (scale - 1))
    variance = total(np.square(sizes.astype(np.float64)) * scale * (scale - 1))
    samples = np.bincount(group, minlength=count)
    more = 1 + 1 / np.maximum(samples, 1)
    missed = total(scale - 1)  # objects that were not sampled
    unit = np.divide(unseen, missed, out=np.ones(count), where=missed > 0)
    fewest = np.floor(_gamma_quantile(unseen, variance, -_Z) / unit)
    most = np.ceil(_gamma_quantile(unseen * more, variance * more, _Z) / unit)
    none_missed = total(-np.log(scale)) * more  # logarithm of the probability
    most[none_missed >= np.log(0.5 + CONFIDENCE / 2)] = 0
    return Estimates(
        bytes=_whole(seen + unseen),
        low=_whole(seen + fewest * unit),
        high=_whole(seen + np.maximum(most * unit, unseen)),
        objects=_whole(total(scale)),
        samples=samples.astype(np.int64),
    )


def _gamma_quantile(mean: F64, variance: F64, z: float) -> F64:
    """Return quantiles of gamma distributions, by the cube of a normal one (Wilson and Hilferty, 1931)."""
    spread = np.divide(variance, np.square(mean), out=np.zeros_like(mean), where=mean > 0) / 9
    root: F64 = np.maximum(1 - spread + z * np.sqrt(spread), 0)
    return mean * root**3


def _whole(values: F64) -> I64:
    # Only a damaged capture has more than fits.
    return np.rint(np.minimum(values, 2.0**62)).astype(np.int64)
