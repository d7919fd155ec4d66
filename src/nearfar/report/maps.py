"""The maps of the test embeddings: what the page's script draws, as plain numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nearfar.report.groups import Group
from nearfar.report.palette import SHAPES, ClassStyle, class_styles
from nearfar.report.read import Run
from nearfar.report.rows import TestRows
from nearfar.report.sheet import Sheet

_EXTENT = 1000  # coordinates are whole numbers from 0 to this


@dataclass(frozen=True)
class MapPanel:
    """One method's place: a map a seed, of which one is shown at a time."""

    label: str
    seeds: tuple[int, ...]
    maps: tuple[int, ...]  # into the payload's "maps", one a seed
    agreement: tuple[str, ...]  # one a seed


@dataclass(frozen=True)
class MapFamily:
    """Maps with the same classes, hence one legend."""

    number: int
    classes: tuple[str, ...]
    styles: tuple[ClassStyle, ...]
    panels: tuple[MapPanel, ...]


def map_families(groups: Sequence[Group], sheet: Sheet) -> tuple[list[MapFamily], dict[str, Any]]:
    """Panels for the template, and the payload for the script. Thumbnails go onto `sheet`."""
    paths: dict[str, int] = {}
    maps: list[dict[str, Any]] = []
    panels: dict[tuple[str, ...], list[MapPanel]] = {}
    for group in groups:
        shown = [run for run in group.runs if run.rows is not None and len(run.rows)]
        numbers, agreements = [], []
        for run in shown:
            assert run.rows is not None
            numbers.append(len(maps))
            agreements.append(_agreement(run.rows))
            maps.append(_map(group, run, run.rows, paths, sheet))
        if shown:
            classes = shown[0].results.data.classes
            panel = MapPanel(
                group.label,
                tuple(run.results.seed for run in shown),
                tuple(numbers),
                tuple(agreements),
            )
            panels.setdefault(classes, []).append(panel)
    families = [
        MapFamily(i, classes, tuple(class_styles(max(1, len(classes)))), tuple(of))
        for i, (classes, of) in enumerate(panels.items())
    ]
    for family in families:
        for panel in family.panels:
            for number in panel.maps:
                maps[number]["family"] = family.number
    payload = {
        "families": [
            {
                "classes": family.classes,
                "styles": [[style.color, style.shape] for style in family.styles],
            }
            for family in families
        ],
        "shapes": [[shape.path, shape.filled] for shape in SHAPES],
        "extent": _EXTENT,
        "paths": list(paths),
        "maps": maps,
    }
    return families, payload


def _map(
    group: Group, run: Run, rows: TestRows, paths: dict[str, int], sheet: Sheet
) -> dict[str, Any]:
    return {
        "method": group.label,
        "seed": run.results.seed,
        "xy": _scaled(rows.xy).ravel().tolist(),
        "label": rows.labels.tolist(),
        "predicted": rows.predictions.tolist(),
        "confidence": [round(100 * float(c)) if np.isfinite(c) else None for c in rows.confidence],
        "near": [[other for other in near if other >= 0] for near in rows.neighbors.tolist()],
        "tile": [sheet.add(thumbnail) for thumbnail in rows.thumbnails],
        "path": [paths.setdefault(str(path), len(paths)) for path in rows.paths],
    }


def _scaled(xy: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Both axes by the same factor, centered in the square; what is not finite goes to the
    center.
    """
    finite = np.isfinite(xy).all(axis=1)
    if not finite.any():
        return np.full(xy.shape, _EXTENT // 2, np.int64)
    low, high = xy[finite].min(0).astype(np.float64), xy[finite].max(0).astype(np.float64)
    side = max(float((high - low).max()), 1e-12)
    shares = (np.where(finite[:, None], xy, (low + high) / 2) - (low + high) / 2) / side + 0.5
    coordinates: np.ndarray[Any, Any] = np.rint(shares * _EXTENT).astype(np.int64)
    return coordinates


def _agreement(rows: TestRows) -> str:
    """How often a neighbor is of the image's own class: what a map's islands only suggest."""
    near = rows.neighbors[rows.labels >= 0]
    there = near >= 0
    if not there.any():
        return ""
    same = (rows.labels[near] == rows.labels[rows.labels >= 0, None])[there]
    k = int(there.sum(axis=1).max())
    return f"{100 * same.mean():.1f} % of the {k} nearest neighbors are of the image’s own class"
