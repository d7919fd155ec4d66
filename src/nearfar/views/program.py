"""A policy as arrays of numbers that the drawing kernel walks: one row an operation.

Each operation draws from a stream named after it and counted among its like, so that a new
operation shifts the draws of no other.
"""

import math
import zlib
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from nearfar.views import operations as ops
from nearfar.views.kinds import Kind

# What a row does. Rows up to SCALE act on the warp.
CROP, FLIP, ROTATE, SHEAR, TRANSLATE, SCALE = range(6)
ADD_BRIGHTNESS, BRIGHTNESS, CONTRAST, SATURATION, HUE, JITTER, TO_GRAY = range(9, 16)
DRAWN_BLUR, DRAWN_SHARPNESS, DRAWN_SOLARIZE, DRAWN_SOLARIZE_ADD, DRAWN_POSTERIZE = range(20, 25)
DRAWN_EQUALIZE, DRAWN_AUTOCONTRAST, DRAWN_INVERT, DRAWN_CUTOUT, DRAWN_ERASE, DRAWN_NOISE = range(
    25, 31
)
ONE_OF = 40
ARGUMENTS = 5
_FILL = {"mean": -1.0, "black": 0.0, "gray": 128.0}
_STREAM_NAMES = {"gray": "grey"}  # as they are hashed: an operation that is renamed draws as before
_OUTSIDE = {"edge": -1.0, "black": 0.0, "gray": 128.0}


class Program(NamedTuple):
    """The operations of one view group; every view has its part of the rows."""

    view: Int64[np.ndarray, "view 3"]  # number among all views of the policy, first row, rows
    code: Int64[np.ndarray, " row"]
    stream: Int64[np.ndarray, " row"]
    probability: Float64[np.ndarray, " row"]
    argument: Float64[np.ndarray, "row 5"]
    part: Int64[np.ndarray, "part 2"]  # what ONE_OF chooses among: first row, rows
    outside: Float64[np.ndarray, " view"]
    # grid (1: none), half a tile's side and its jitter, by the view's half
    tiles: tuple[int, float, float]
    stages: int  # most stages that a view can have


def compile_views(kinds: Iterable[tuple[int, Kind]]) -> Program:
    """The program of views of one size, each given by its number and kind. They agree in tiles."""
    kinds = list(kinds)
    rows: list[tuple[int, int, float, list[float]]] = []
    parts: list[tuple[int, int]] = []
    places: dict[int, tuple[int, int]] = {}
    views = []
    for number, kind in kinds:
        if id(kind) not in places:
            places[id(kind)] = _append(kind.operations, rows, parts)
        views.append((number, *places[id(kind)]))
    tiles = kinds[0][1].tiles
    return Program(
        view=np.array(views, np.int64),
        code=np.array([row[0] for row in rows], np.int64),
        stream=np.array([row[1] for row in rows], np.int64),
        probability=np.array([row[2] for row in rows], np.float64),
        argument=np.array([row[3] for row in rows], np.float64).reshape(-1, ARGUMENTS),
        part=np.array(parts, np.int64).reshape(-1, 2),
        outside=np.array([_OUTSIDE[kind.outside] for _, kind in kinds], np.float64),
        tiles=(1, 1.0, 0.0) if tiles is None else (
            tiles.grid, tiles.side / tiles.grid, tiles.jitter * (1 - tiles.side) / tiles.grid
        ),
        stages=max(1, *(_stages(kind.operations) for _, kind in kinds)),
    )  # fmt: skip


def _append(
    operations: Iterable[ops.Operation],
    rows: list[tuple[int, int, float, list[float]]],
    parts: list[tuple[int, int]],
) -> tuple[int, int]:
    """Writes the rows of a list of operations, nested lists first; where its own rows stand."""
    seen: Counter[str] = Counter()
    written = []
    for operation in operations:
        if isinstance(operation, ops.OneOf):
            first = len(parts)
            chosen = [_append(among, rows, parts) for among in operation.among]
            parts.extend(chosen)
            code, arguments = ONE_OF, [float(operation.times), float(first), float(len(chosen))]
        else:
            code, arguments = _row(operation)
        seen[operation.op] += 1
        name = _STREAM_NAMES.get(operation.op, operation.op)
        stream = zlib.crc32(f"{name}:{seen[operation.op]}".encode())
        padded = [*arguments, *[0.0] * (ARGUMENTS - len(arguments))]
        written.append((code, stream, operation.probability, padded))
    rows.extend(written)
    return len(rows) - len(written), len(written)


def _stages(operations: Iterable[ops.Operation]) -> int:
    """An upper bound: neighbors among the color operations share one."""
    geometry = (ops.Crop, ops.Flip, ops.Rotate, ops.Shear, ops.Translate, ops.Scale)
    color = (
        ops.Brightness,
        ops.AddBrightness,
        ops.Contrast,
        ops.Saturation,
        ops.Hue,
        ops.Jitter,
        ops.Gray,
    )
    count, merges = 0, False
    for operation in operations:
        if isinstance(operation, ops.OneOf):
            count, merges = (
                count + operation.times * max(_stages(among) for among in operation.among),
                False,
            )
        elif not isinstance(operation, geometry):
            count += not (merges and isinstance(operation, color))
            merges = isinstance(operation, color)
    return count


def _row(operation: ops.Crop | ops.Simple) -> tuple[int, list[float]]:
    match operation:
        case ops.Crop(area=area, aspect=aspect):
            return CROP, [*area, *(math.log(x) for x in aspect)]
        case ops.Flip(axis=axis):
            return FLIP, [float(axis == "vertical")]
        case ops.Rotate(degrees=degrees, either_sign=sign):
            return ROTATE, [*(math.radians(x) for x in degrees), float(sign)]
        case ops.Shear(axis=axis, slope=slope, either_sign=sign):
            return SHEAR, [*slope, float(sign), float(axis == "y")]
        case ops.Translate(axis=axis, fraction=fraction, either_sign=sign):
            return TRANSLATE, [*fraction, float(sign), float(axis == "y")]
        case ops.Scale(factor=factor):
            return SCALE, [*factor]
        case ops.Brightness(factor=factor):
            return BRIGHTNESS, [*factor]
        case ops.AddBrightness(amount=amount):
            return ADD_BRIGHTNESS, [255 * amount]
        case ops.Contrast(factor=factor):
            return CONTRAST, [*factor]
        case ops.Saturation(factor=factor):
            return SATURATION, [*factor]
        case ops.Hue(turns=turns):
            return HUE, [2 * math.pi * x for x in turns]
        case ops.Jitter():
            return JITTER, [
                operation.brightness,
                operation.contrast,
                operation.saturation,
                2 * math.pi * operation.hue,
            ]
        case ops.Gray():
            return TO_GRAY, []
        case ops.Blur(sigma_px=sigma, kernel=kernel):
            return DRAWN_BLUR, [*sigma, kernel or 0.0]
        case ops.Sharpness(factor=factor):
            return DRAWN_SHARPNESS, [*factor]
        case ops.Solarize(threshold=threshold):
            return DRAWN_SOLARIZE, [*threshold]
        case ops.SolarizeAdd(amount=amount, threshold=threshold):
            return DRAWN_SOLARIZE_ADD, [*amount, threshold]
        case ops.Posterize(bits=bits):
            return DRAWN_POSTERIZE, [float(x) for x in bits]
        case ops.Equalize():
            return DRAWN_EQUALIZE, []
        case ops.Autocontrast():
            return DRAWN_AUTOCONTRAST, []
        case ops.Invert():
            return DRAWN_INVERT, []
        case ops.Cutout(side=side, fill=fill):
            return DRAWN_CUTOUT, [*side, _FILL[fill]]
        case ops.Erase(area=area, aspect=aspect, fill=fill):
            return DRAWN_ERASE, [*area, *(math.log(x) for x in aspect), _FILL[fill]]
        case ops.Noise(sigma=sigma):
            return DRAWN_NOISE, [255 * x for x in sigma]
