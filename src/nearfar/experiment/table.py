"""From several runs to one table, and to whether a difference is larger than the seeds' noise."""

from collections import defaultdict
from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
from scipy import stats

from nearfar.report.formats import difference_text, signed_figure
from nearfar.run_folder.comparison import COSTS
from nearfar.run_folder.records import Unit

UNTRAINED = "untrained"
Results = list[dict[str, Any]]
Key = tuple[str, str, str | None, str | None]


def build_table(results: Results) -> list[dict[str, Any]]:
    """A row for each method, name, split and selection: mean and sd (n-1) over seeds; sd None for
    one seed.

    The untrained encoder is a row of its own; its seeds are counted once, not once a method. What
    `probe` measured on other data has no place here.
    """
    values: dict[Key, list[float | None]] = defaultdict(list)
    read: dict[str, dict[str, Any]] = {}  # how to read the number of a name
    seen: set[int] = set()
    for result in results:
        entries = [(result["method"], m) for m in result["measurements"] if "data" not in m]
        if result["seed"] not in seen and result["untrained"]:
            seen.add(result["seed"])
            entries = [(UNTRAINED, m) for m in result["untrained"]] + entries
        for method, m in entries:
            if not isinstance(m["value"], list):
                values[method, m["name"], m["split"], m["selection"]].append(m["value"])
                read[m["name"]] = {key: m[key] for key in ("title", "unit", "better")}
        for name, (title, unit) in COSTS.items():
            cost = result["cost"][name.removeprefix("cost.")]
            values[result["method"], name, None, None].append(cost)
            read[name] = {"title": title, "unit": unit, "better": "lower"}
    ordered = sorted(values.items(), key=lambda item: item[0][0] != UNTRAINED)
    return [_row(key, found, read[key[1]]) for key, found in ordered]


def _row(key: Key, found: list[float | None], read: dict[str, Any]) -> dict[str, Any]:
    method, name, split, selection = key
    numbers = [value for value in found if value is not None]
    return {
        "method": method,
        "name": name,
        "title": read["title"],
        "split": split,
        "selection": selection,
        "unit": read["unit"],
        "better": read["better"],
        "mean": float(np.mean(numbers)) if numbers else None,
        "sd": float(np.std(numbers, ddof=1)) if len(numbers) > 1 else None,
        "seeds": len(found),
    }


def compare_pairs(
    results: Results, methods: list[str], judged_by: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Each pair of methods, then each method and the untrained encoder, on the one measurement that
    they are judged by, by Welch's 95 % interval over seeds.
    """
    asked = (judged_by["name"], judged_by["split"], judged_by["selection"])
    scores: dict[str, list[float]] = {method: [] for method in methods}
    floors: dict[int, float] = {}
    unit: Unit = "fraction"
    for result in results:
        of_method = scores.setdefault(result["method"], [])
        for m in result["measurements"]:
            if (m["name"], m["split"], m["selection"]) == asked and "data" not in m:
                of_method.append(m["value"])
                unit = m["unit"]
        for m in result["untrained"]:
            if m["name"] == judged_by["name"]:
                floors[result["seed"]] = m["value"]
    scores[UNTRAINED] = list(floors.values())
    pairs = [*combinations(methods, 2), *((method, UNTRAINED) for method in methods)]
    return [
        {"name": judged_by["name"], **_pair(a, b, scores[a], scores[b], unit)}
        for a, b in pairs
        if scores[a] and scores[b]
    ]


def _pair(a: str, b: str, of_a: list[float], of_b: list[float], unit: Unit) -> dict[str, Any]:
    difference = float(np.mean(of_a) - np.mean(of_b))
    interval = welch_interval(of_a, of_b)
    larger = None if interval is None else bool(interval[0] > 0 or interval[1] < 0)
    points = f"{a} minus {b}: {difference_text(difference, unit)}"
    if interval is None:
        text = f"{points}; one seed cannot tell it from noise"
    else:
        verdict = "larger than" if larger else "not larger than"
        low, high = (signed_figure(end, unit) for end in interval)
        text = f"{points} (95 % interval {low} to {high} over seeds): {verdict} the seeds' noise"
    return {
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
    difference = float(np.mean(a) - np.mean(b))
    parts = [float(np.var(x, ddof=1)) / len(x) for x in (a, b)]
    error = sum(parts)
    if error == 0:
        return difference, difference
    freedom = error**2 / sum(part**2 / (len(x) - 1) for part, x in zip(parts, (a, b), strict=True))
    half = float(stats.t.ppf(0.975, freedom)) * error**0.5
    return difference - half, difference + half
