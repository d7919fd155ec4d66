"""Drawing: from a policy's program and the keys of a batch to params, compiled for the CPU.

The params depends on (seed, epoch, sample, draw, view number) and the image's true size, and on
nothing else. It is drawn on the CPU whatever the device, so that a GPU renders the same views.

**Geometry.** A warp takes a point of the view to a point of the stored square, both in [-1, 1] from
edge to edge (not from pixel center to pixel center), so that it holds for any side of view and
store. The crop is drawn in the image's true pixels and only then mapped to the squashed square, so
the squash never shears a view; the one distortion is the wanted one: a crop of aspect a is
stretched to a square, as everywhere. Without a crop the view is the largest centered square. Later
operations act on that square.

**Color.** Neighboring operations on color are one 3×4 matrix of (r, g, b, m), m being the view's
mean gray, and one number that is added to each channel:
brightness b    x ↦ b·x
added a         x ↦ x + a, which is gray: of the others brightness alone changes it
contrast c      x ↦ c·x + (1 - c)·m', where m' is the mean gray at that moment
saturation s    x ↦ s·x + (1 - s)·gray(x)
hue h           a turn by h about the gray axis in YIQ: linear, keeps gray(x). On purpose not
                torchvision's walk around the HSV hexagon, which changes a color's gray value
gray(x) = .299 r + .587 g + .114 b is the Y of YIQ, so contrast, saturation and hue leave the mean
gray as it is and brightness multiplies it. Hence those four commute: the random order of
ColorJitter has nothing to act on. In torchvision it acts only through the clipping to [0, 1] after
each operation; here a view is clipped once.
"""

import math

import numpy as np
from numba import njit

from nearfar.views.params import (
    AUTOCONTRAST,
    BLUR,
    COLOR,
    EQUALIZE,
    ERASE,
    GRAY,
    INVERT,
    NOISE,
    POSTERIZE,
    SHARPNESS,
    SOLARIZE,
    SOLARIZE_ADD,
)
from nearfar.views.program import (
    ADD_BRIGHTNESS,
    BRIGHTNESS,
    CONTRAST,
    CROP,
    DRAWN_AUTOCONTRAST,
    DRAWN_BLUR,
    DRAWN_CUTOUT,
    DRAWN_EQUALIZE,
    DRAWN_INVERT,
    DRAWN_NOISE,
    DRAWN_POSTERIZE,
    DRAWN_SHARPNESS,
    DRAWN_SOLARIZE,
    DRAWN_SOLARIZE_ADD,
    FLIP,
    JITTER,
    ONE_OF,
    ROTATE,
    SATURATION,
    SCALE,
    SHEAR,
    TO_GRAY,
)

_MASK = 0xFFFFFFFF
_GOLDEN = 0x9E3779B9
_TRIES = 10
# views, or times a value: nothing is to be seen there, and float32 can still multiply it
_FAR = 1e9
_YIQ = np.array([GRAY, (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112)])
_TURN = np.array([[0.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # red goes towards yellow
_TO_GRAY = np.array([GRAY, GRAY, GRAY])
_COLOR = np.eye(3) - _TO_GRAY  # what is left of a pixel without its gray
_TURNED = np.linalg.inv(_YIQ) @ _TURN @ _YIQ  # the same a quarter turn on

# see `cpu`: one code, in the process that compiled it and later
_part = njit(cache=True, nogil=True, forceinline=True)


@_part
def _mix(x):
    """lowbias32: bit-equal to core.randomness."""
    x &= _MASK
    x ^= x >> 16
    x = (x * 0x7FEB352D) & _MASK
    x ^= x >> 15
    x = (x * 0x846CA68B) & _MASK
    return x ^ (x >> 16)


@_part
def _fold(key, value):
    return _mix((key ^ (value & _MASK)) + _GOLDEN)


@_part
def _uniform(key, number):
    """The `number`-th draw of a key, counted from 0, in [0, 1)."""
    return (_mix(key + (number + 1) * _GOLDEN) >> 8) * 2.0**-24


@_part
def _between(key, number, low, high):
    return low + (high - low) * _uniform(key, number)


@_part
def _crop(key, width, height, argument, box):
    """Left, top, width and height as torchvision's RandomResizedCrop draws them: ten tries, then
    the center.
    """
    for attempt in range(_TRIES):
        area = width * height * _between(key, 2 * attempt + 1, argument[0], argument[1])
        ratio = math.exp(_between(key, 2 * attempt + 2, argument[2], argument[3]))
        w = round(math.sqrt(area * ratio))
        h = round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            box[0] = min(math.floor(_uniform(key, 2 * _TRIES + 1) * (width - w + 1)), width - w)
            box[1] = min(math.floor(_uniform(key, 2 * _TRIES + 2) * (height - h + 1)), height - h)
            box[2], box[3] = w, h
            return
    w = min(width, max(1.0, round(height * math.exp(argument[3]))))
    h = min(height, max(1.0, round(width / math.exp(argument[2]))))
    box[0], box[1], box[2], box[3] = math.floor((width - w) / 2), math.floor((height - h) / 2), w, h


@_part
def _append_map(local, a, b, c, d, e, f):
    """local ← local · [[a, b, c], [d, e, f]]: what happens to the picture last acts on the point
    first.
    """
    for i in range(2):
        p, q, r = local[i, 0], local[i, 1], local[i, 2]
        local[i, 0] = min(max(p * a + q * d, -_FAR), _FAR)
        local[i, 1] = min(max(p * b + q * e, -_FAR), _FAR)
        local[i, 2] = min(max(p * c + q * f + r, -_FAR), _FAR)


@_part
def _move(code, key, argument, local):
    """One operation on geometry: the map from a point of the new picture to the point of the old
    that it shows.
    """
    if code == FLIP:
        if argument[0] == 0.0:
            _append_map(local, -1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
        else:
            _append_map(local, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
        return
    by = _between(key, 1, argument[0], argument[1])
    if code == SCALE:
        _append_map(local, 1 / by, 0.0, 0.0, 0.0, 1 / by, 0.0)
        return
    if argument[2] > 0 and _uniform(key, 2) < 0.5:
        by = -by
    if code == ROTATE:
        _append_map(local, math.cos(by), -math.sin(by), 0.0, math.sin(by), math.cos(by), 0.0)
    elif code == SHEAR:
        if argument[3] == 0.0:
            _append_map(local, 1.0, by, by, 0.0, 1.0, 0.0)
        else:
            _append_map(local, 1.0, 0.0, 0.0, by, 1.0, by)
    elif argument[3] == 0.0:
        _append_map(local, 1.0, 0.0, -2 * by, 0.0, 1.0, 0.0)
    else:
        _append_map(local, 1.0, 0.0, 0.0, 0.0, 1.0, -2 * by)


@_part
def _recolor(matrix, amount, brightness, contrast, saturation, turn):
    """amount ← the four operations after amount, in any order; `matrix` is scratch, 3×3."""
    cos, sin = math.cos(turn) * saturation, math.sin(turn) * saturation
    gain = brightness * contrast
    # times m: grays stay gray under what came before
    mean_now = amount[0] + amount[1] + amount[2] + amount[3]
    pivot = brightness * (1 - contrast) * mean_now
    for i in range(3):
        for j in range(3):
            matrix[i, j] = gain * (_TO_GRAY[i, j] + cos * _COLOR[i, j] + sin * _TURNED[i, j])
    for j in range(4):
        r, g, b = amount[j], amount[4 + j], amount[8 + j]
        for i in range(3):
            mixed = (
                matrix[i, 0] * r + matrix[i, 1] * g + matrix[i, 2] * b + (pivot if j == 3 else 0.0)
            )
            amount[4 * i + j] = min(max(mixed, -_FAR), _FAR)
    amount[12] = min(max(brightness * amount[12], -_FAR), _FAR)


@_part
def _paint(code, key, argument, size, mean, amount):
    """What a cut-out or an erased rectangle covers; False where no rectangle was found."""
    if code == DRAWN_CUTOUT:
        side = round(_between(key, 1, argument[0], argument[1]) * size)
        amount[0] = math.floor(_uniform(key, 2) * size) - side // 2
        amount[1] = math.floor(_uniform(key, 3) * size) - side // 2
        amount[2] = amount[3] = side
        fill = argument[2]
    else:
        found = False
        for attempt in range(_TRIES):
            area = size * size * _between(key, 2 * attempt + 1, argument[0], argument[1])
            ratio = math.exp(_between(key, 2 * attempt + 2, argument[2], argument[3]))
            h, w = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if h < size and w < size:
                amount[0] = math.floor(_uniform(key, 2 * _TRIES + 1) * (size - w + 1))
                amount[1] = math.floor(_uniform(key, 2 * _TRIES + 2) * (size - h + 1))
                amount[2], amount[3] = w, h
                found = True
                break
        if not found:
            return False
        fill = argument[4]
    for c in range(3):
        amount[4 + c] = 255 * mean[c] if fill < 0 else fill
    return True


@_part
def _key_noise(key, amount):
    noise = _mix(key + 3 * _GOLDEN)
    amount[1] = noise >> 16
    amount[2] = noise & 0xFFFF


@_part
def _other_stage(code, key, argument, size, mean, amount):
    """The stage of an operation that is neither geometry nor color, its amounts written; 0 for
    none.
    """
    if code == DRAWN_BLUR:
        amount[0] = _between(key, 1, argument[0], argument[1])
        radius = (
            max(1, int(argument[2] * size) // 2) if argument[2] > 0 else math.ceil(3 * amount[0])
        )
        amount[1] = min(radius, size - 1)
        return BLUR if amount[1] > 0 else 0
    if code == DRAWN_SHARPNESS:
        amount[0] = _between(key, 1, argument[0], argument[1])
        return SHARPNESS
    if code == DRAWN_SOLARIZE:
        amount[0] = _between(key, 1, argument[0], argument[1])
        return SOLARIZE
    if code == DRAWN_SOLARIZE_ADD:
        amount[0] = _between(key, 1, argument[0], argument[1])
        amount[1] = argument[2]
        return SOLARIZE_ADD
    if code == DRAWN_POSTERIZE:
        amount[0] = math.floor(_between(key, 1, argument[0], argument[1] + 1))
        return POSTERIZE
    if code == DRAWN_EQUALIZE:
        return EQUALIZE
    if code == DRAWN_AUTOCONTRAST:
        return AUTOCONTRAST
    if code == DRAWN_INVERT:
        return INVERT
    if code == DRAWN_NOISE:
        amount[0] = _between(key, 1, argument[0], argument[1])
        _key_noise(key, amount)
        return NOISE
    return ERASE if _paint(code, key, argument, size, mean, amount) else 0


@_part
def _walk(
    first,
    rows,
    key,
    code,
    stream,
    probability,
    argument,
    size,
    mean,
    local,
    matrix,
    stage,
    amount,
    used,
):
    """Carries out `rows` rows that are no ONE_OF from `first` on; how many stages are used
    afterwards.
    """
    for row in range(first, first + rows):
        of = _fold(key, stream[row])
        if probability[row] < 1.0 and _uniform(of, 0) >= probability[row]:
            continue
        if code[row] <= SCALE:
            _move(code[row], of, argument[row], local)
            continue
        if code[row] <= TO_GRAY:
            if used == 0 or stage[used - 1] != COLOR:
                stage[used] = COLOR
                amount[used, :] = 0.0
                amount[used, 0] = amount[used, 5] = amount[used, 10] = 1.0
                used += 1
            a = argument[row]
            if code[row] == ADD_BRIGHTNESS:
                amount[used - 1, 12] += _between(of, 1, -a[0], a[0])
                continue
            brightness = contrast = saturation = 1.0
            turn = 0.0
            if code[row] == JITTER:
                brightness = _between(of, 1, max(0.0, 1 - a[0]), 1 + a[0])
                contrast = _between(of, 2, max(0.0, 1 - a[1]), 1 + a[1])
                saturation = _between(of, 3, max(0.0, 1 - a[2]), 1 + a[2])
                turn = _between(of, 4, -a[3], a[3])
            elif code[row] == TO_GRAY:
                saturation = 0.0
            else:
                by = _between(of, 1, a[0], a[1])
                if code[row] == BRIGHTNESS:
                    brightness = by
                elif code[row] == CONTRAST:
                    contrast = by
                elif code[row] == SATURATION:
                    saturation = by
                else:
                    turn = by
            _recolor(matrix, amount[used - 1], brightness, contrast, saturation, turn)
            continue
        found = _other_stage(code[row], of, argument[row], size, mean, amount[used])
        if found:
            stage[used] = found
            used += 1
    return used


@njit(cache=True, nogil=True)
def draw(
    first_key,
    index,
    times,
    size_px,
    view,
    code,
    stream,
    probability,
    argument,
    part,
    tiles,
    size,
    mean,
    start,
    stop,
    warp,
    stage,
    amount,
):
    """Writes the params of views `start` to `stop` of all (view, sample), counted sample by
    sample.

    `times` is how often a sample was drawn before in the epoch. `warp` (V·T, B, 2, 3), `stage`
    (V·T, B, L) and `amount` (V·T, B, L, 13) are zero at first; T tiles of a view stand one after
    another.
    """
    batch = len(index)
    grid, half, jitter = tiles
    box, local, matrix = np.empty(4), np.empty((2, 3)), np.empty((3, 3))
    for at in range(start, stop):
        v, b = at // batch, at % batch
        key = _fold(_fold(_fold(first_key, index[b]), times[b]), view[v, 0])
        width, height = float(size_px[b, 0]), float(size_px[b, 1])
        short = min(width, height)
        box[0], box[1], box[2], box[3] = (width - short) / 2, (height - short) / 2, short, short
        local[:, :] = 0.0
        local[0, 0] = local[1, 1] = 1.0
        out = v * grid * grid
        stages, amounts = stage[out, b], amount[out, b]
        used = 0
        row, last = view[v, 1], view[v, 1] + view[v, 2]
        while row < last:
            if code[row] == CROP:
                of = _fold(key, stream[row])
                if _uniform(of, 0) < probability[row]:
                    _crop(of, width, height, argument[row], box)
                row += 1
            elif code[row] == ONE_OF:
                of = _fold(key, stream[row])
                if _uniform(of, 0) < probability[row]:
                    for time in range(int(argument[row, 0])):
                        chosen = int(argument[row, 1]) + int(
                            _uniform(of, time + 1) * argument[row, 2]
                        )
                        used = _walk(
                            part[chosen, 0],
                            part[chosen, 1],
                            _fold(of, time + 1),
                            code,
                            stream,
                            probability,
                            argument,
                            size,
                            mean,
                            local,
                            matrix,
                            stages,
                            amounts,
                            used,
                        )
                row += 1
            else:
                rows = 0
                while row + rows < last and code[row + rows] != ONE_OF and code[row + rows] != CROP:
                    rows += 1
                used = _walk(
                    row,
                    rows,
                    key,
                    code,
                    stream,
                    probability,
                    argument,
                    size,
                    mean,
                    local,
                    matrix,
                    stages,
                    amounts,
                    used,
                )
                row += rows
        for t in range(grid * grid):
            x = y = 0.0
            if grid > 1:
                of = _fold(key, -1 - t)
                x = (2 * (t % grid) + 1) / grid - 1 + _between(of, 0, -jitter, jitter)
                y = (2 * (t // grid) + 1) / grid - 1 + _between(of, 1, -jitter, jitter)
                stage[out + t, b] = stages
                amount[out + t, b] = amounts
                for k in range(used):
                    if stages[k] == NOISE:
                        _key_noise(_fold(of, k), amount[out + t, b, k])
            into = warp[out + t, b]
            for i in range(2):
                side = width if i == 0 else height
                scale = box[2 + i] / side
                into[i, 0] = scale * local[i, 0] * half
                into[i, 1] = scale * local[i, 1] * half
                into[i, 2] = (
                    scale * (local[i, 0] * x + local[i, 1] * y + local[i, 2])
                    + (2 * box[i] + box[2 + i]) / side
                    - 1
                )
