"""From several runs to one table, and to whether a difference is larger than the seeds' noise."""

import warnings
from collections import defaultdict
from itertools import combinations
from typing import Any

import numpy as np
from scipy import stats

UNTRAINED = "untrained"
JUDGED_BY = ("linear_probe.top1", "test", "last")
COSTS = ("train_seconds", "peak_memory_bytes")
Results = list[dict[str, Any]]
Key = tuple[str, str, str | None, str | None]


def build_table(results: Results) -> list[dict[str, Any]]:
    """A row for each method, name, split and selection: mean and sd (n-1) over seeds; sd None for
    one seed.

    The untrained encoder is a row of its own; its seeds are counted once, not once a method. What
    `probe` measured on other data has no place here.
    """
    values: dict[Key, list[float | None]] = defaultdict(list)
    seen: set[int] = set()
    for result in results:
        entries = [(result["method"], m) for m in result["measurements"] if "data" not in m]
        if result["seed"] not in seen and result["untrained"]:
            seen.add(result["seed"])
            entries = [(UNTRAINED, m) for m in result["untrained"]] + entries
        for method, m in entries:
            if not isinstance(m["value"], list):
                values[method, m["name"], m["split"], m["selection"]].append(m["value"])
        for cost in COSTS:
            values[result["method"], f"cost.{cost}", None, None].append(result["cost"][cost])
    ordered = sorted(values.items(), key=lambda item: item[0][0] != UNTRAINED)
    return [_row(key, found) for key, found in ordered]


def _row(key: Key, found: list[float | None]) -> dict[str, Any]:
    method, name, split, selection = key
    numbers = [value for value in found if value is not None]
    return {
        "method": method,
        "name": name,
        "split": split,
        "selection": selection,
        "mean": float(np.mean(numbers)) if numbers else None,
        "sd": float(np.std(numbers, ddof=1)) if len(numbers) > 1 else None,
        "seeds": len(found),
    }


def compare_pairs(results: Results, methods: list[str]) -> list[dict[str, Any]]:
    """Each pair of methods, then each method and the untrained encoder, on the test linear probe of
    the last epoch, by Welch's 95 % interval over seeds.
    """
    scores = {
        method: [
            m["value"]
            for result in results
            if result["method"] == method
            for m in result["measurements"]
            if (m["name"], m["split"], m["selection"]) == JUDGED_BY and "data" not in m
        ]
        for method in methods
    }
    floors = {
        result["seed"]: m["value"]
        for result in results
        for m in result["untrained"]
        if m["name"] == JUDGED_BY[0]
    }
    scores[UNTRAINED] = list(floors.values())
    pairs = [*combinations(methods, 2), *((method, UNTRAINED) for method in methods)]
    return [_pair(a, b, scores[a], scores[b]) for a, b in pairs if scores[a] and scores[b]]


def _pair(a: str, b: str, of_a: list[float], of_b: list[float]) -> dict[str, Any]:
    difference = float(np.mean(of_a) - np.mean(of_b))
    interval = welch_interval(of_a, of_b)
    larger = None if interval is None else bool(interval[0] > 0 or interval[1] < 0)
    points = f"{a} minus {b}: {100 * difference:+.1f} points"
    if interval is None:
        text = f"{points}; one seed cannot tell it from noise"
    else:
        verdict = "larger than" if larger else "not larger than"
        low, high = (100 * end for end in interval)
        text = (
            f"{points} (95 % interval {low:+.1f} to {high:+.1f} over seeds): {verdict} the seeds'"
            " noise"
        )
    return {
        "name": JUDGED_BY[0],
        "a": a,
        "b": b,
        "difference": difference,
        "interval": None if interval is None else list(interval),
        "larger_than_noise": larger,
        "text": text,
    }


def welch_interval(a: list[float], b: list[float]) -> tuple[float, float] | None:
    """95 % of the difference of means, unequal variances; None with fewer than two values on a
    side.
    """
    if len(a) < 2 or len(b) < 2:
        return None
    if np.var(a) == np.var(b) == 0:
        difference = float(np.mean(a) - np.mean(b))
        return difference, difference
    with warnings.catch_warnings():  # equal seeds on one side are no reason to doubt the interval
        warnings.filterwarnings("ignore", "Precision loss", RuntimeWarning)
        interval = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    return float(interval.low), float(interval.high)
