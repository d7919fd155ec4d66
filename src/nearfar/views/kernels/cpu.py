"""Rendering on a CPU, compiled: a view at a time, all of it in the cache, uint8 in and float32 out.

A view is resampled into three planes of floats, its stages act on the planes, and one pass
normalizes and writes. A warp without rotation or shear, which is nearly every one, is resampled row
by row: two stored rows are mixed, then their columns. Stages on whole values that follow one
another are one table of 256 entries a channel.

`render` lets go of the interpreter's lock; `kernels.render` calls it from as many threads as torch
has. No sum runs across views, so a view is the same bits in any batch on any number of threads.

numba compiles at the first call (about 20 s) and keeps the code beside this file; it does not
notice edits in other files, so all that is called stands here.
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
    HALF,
    INVERT,
    NOISE,
    POSTERIZE,
    SHARPNESS,
    SOLARIZE,
    SOLARIZE_ADD,
    WITHIN,
)

_MASK = 0xFFFFFFFF
_GOLDEN = 0x9E3779B9
_GRAY_R, _GRAY_G, _GRAY_B = (np.float32(x) for x in GRAY)
_ZERO, _TOP, _WITHIN = np.float32(0), np.float32(255), np.float32(WITHIN)
_HALF, _TO_WHOLE = np.float32(0.5), np.float32(HALF)
_ONE, _TWO, _THREE = (np.uint64(x) for x in (1, 2, 3))  # unsigned: an index that counts from no end

# Sums may be reordered and multiplications fused, which vectorizes them; NaN and infinity stay what
# they are.
_HOW = {
    "cache": True,
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"reassoc", "contract", "nsz", "arcp"},
}
# Parts become part of `render`: a part with a symbol of its own may be compiled twice, with and
# without fused products, and views would differ in the last bit between the process that compiled
# them and later ones.
_part = njit(forceinline=True, **_HOW)


@_part
def _clip(x):
    return min(max(x, _ZERO), _TOP)


@_part
def _axis(a, c, side, size, step, into):
    """The two stored columns (or rows) that each column of the view mixes, times `step`, and the
    weight of the second: into three arrays.
    """
    near, far, weight = into
    for j in range(size):
        at = ((a * ((2 * j + 1) / size - 1) + c) + 1) * side / 2 - 0.5
        at = min(max(at, 0.0), side - 1.0)
        low = int(at)
        near[j] = step * low
        far[j] = step * min(low + 1, side - 1)
        weight[j] = at - low


@_part
def _resample_straight(source, size, xs, ys, row, planes):
    """Rows mixed, then columns: for warps that neither turn nor shear."""
    near_x, far_x, weight_x = xs
    near_y, far_y, weight_y = ys
    first, last = min(near_x[0], near_x[size - 1]), max(far_x[0], far_x[size - 1]) + np.uint64(3)
    for i in range(size):
        upper, lower, w = source[near_y[i]], source[far_y[i]], weight_y[i]
        for x in range(first, last):
            above = np.float32(upper[x])
            row[x] = above + w * (np.float32(lower[x]) - above)
        r, g, b = planes[0, i], planes[1, i], planes[2, i]
        for j in range(size):
            p, q, w = near_x[j], far_x[j], weight_x[j]
            r[j] = row[p] + w * (row[q] - row[p])
            g[j] = row[p + _ONE] + w * (row[q + _ONE] - row[p + _ONE])
            b[j] = row[p + _TWO] + w * (row[q + _TWO] - row[p + _TWO])


@_part
def _with_border(source, side, outside, texels):
    """The level as floats with one pixel before and two behind it on each axis: its edge again, or
    one gray value.
    """
    wide = side + 3
    for y in range(wide):
        into = texels[3 * wide * y : 3 * wide * (y + 1)]
        if outside >= 0 and (y == 0 or y > side):
            into[:] = outside
            continue
        line = source[min(max(y - 1, 0), side - 1)]
        for x in range(3 * side):
            into[x + 3] = line[x]
        for c in range(3):
            into[c] = outside if outside >= 0 else into[c + 3]
            for x in range(side + 1, wide):
                into[3 * x + c] = outside if outside >= 0 else into[3 * side + c]


@_part
def _resample_any(texels, side, size, warp, reach_x, reach_y, at, planes):
    """Bilinear, each pixel at its center; points more than the reach outside the image count as
    that far outside.
    """
    corner, weight_x, weight_y = at
    half, below = np.float32(side) / np.float32(2), np.uint32(3 * (side + 3))
    left_most, right_most = np.float32(1) - reach_x, np.float32(side) + reach_x
    top_most, bottom_most = np.float32(1) - reach_y, np.float32(side) + reach_y
    step_x, step_y = (
        warp[0, 0] * np.float32(side) / np.float32(size),
        warp[1, 0] * np.float32(side) / np.float32(size),
    )
    for i in range(size):
        v = np.float32(2 * i + 1) / np.float32(size) - np.float32(1)
        x0 = (warp[0, 1] * v + warp[0, 2] - warp[0, 0]) * half + half + _HALF + _HALF * step_x
        y0 = (warp[1, 1] * v + warp[1, 2] - warp[1, 0]) * half + half + _HALF + _HALF * step_y
        for j in range(size):
            x = min(max(x0 + step_x * np.float32(j), left_most), right_most)
            y = min(max(y0 + step_y * np.float32(j), top_most), bottom_most)
            left, top = np.uint32(x), np.uint32(y)
            weight_x[j], weight_y[j] = x - np.float32(left), y - np.float32(top)
            corner[j] = below * top + np.uint32(3) * left
        for c in range(3):
            into = planes[c, i]
            for j in range(size):
                p = np.uint64(corner[j]) + np.uint64(c)
                q = p + np.uint64(below)
                above = texels[p] + weight_x[j] * (texels[p + _THREE] - texels[p])
                under = texels[q] + weight_x[j] * (texels[q + _THREE] - texels[q])
                into[j] = above + weight_y[j] * (under - above)


@_part
def _reach(along, outside):
    """How many pixels outside the image are seen along an axis: one, which is all of what lies
    there, or none.
    """
    within = abs(along[0]) + abs(along[1]) + abs(along[2]) <= _WITHIN
    return _ZERO if outside < 0 or within else np.float32(1)


@_part
def _resample(source, side, size, warp, outside, xs, ys, row, texels, corner, planes):
    reach_x, reach_y = _reach(warp[0], outside), _reach(warp[1], outside)
    if warp[0, 1] == 0 and warp[1, 0] == 0 and reach_x == 0 and reach_y == 0:
        _axis(warp[0, 0], warp[0, 2], side, size, 3, xs)
        _axis(warp[1, 1], warp[1, 2], side, size, 1, ys)
        _resample_straight(source, size, xs, ys, row, planes)
    else:
        _with_border(source, side, outside, texels)
        _resample_any(texels, side, size, warp, reach_x, reach_y, (corner, xs[2], ys[2]), planes)


@_part
def _color(planes, m):
    """(r, g, b, mean gray) times a 3×4 matrix, with a number added, clipped."""
    r, g, b = planes[0].ravel(), planes[1].ravel(), planes[2].ravel()
    mean = _ZERO
    if m[3] != 0 or m[7] != 0 or m[11] != 0:
        for k in range(len(r)):
            mean += _GRAY_R * r[k] + _GRAY_G * g[k] + _GRAY_B * b[k]
        mean /= np.float32(len(r))
    m0, m1, m2, p0 = m[0], m[1], m[2], m[3] * mean + m[12]
    m4, m5, m6, p1 = m[4], m[5], m[6], m[7] * mean + m[12]
    m8, m9, m10, p2 = m[8], m[9], m[10], m[11] * mean + m[12]
    for k in range(len(r)):
        x, y, z = r[k], g[k], b[k]
        r[k] = _clip(m0 * x + m1 * y + m2 * z + p0)
        g[k] = _clip(m4 * x + m5 * y + m6 * z + p1)
        b[k] = _clip(m8 * x + m9 * y + m10 * z + p2)


@_part
def _rewrite(kind, amount, counts, table):
    """table ← the operation after table, for one channel; `counts` is the channel's histogram
    before table.
    """
    if kind in (EQUALIZE, AUTOCONTRAST):
        now = np.zeros(256, np.int64)
        for v in range(256):
            now[table[v]] += counts[v]
        low, high = 0, 255
        while low < 255 and now[low] == 0:
            low += 1
        while high > 0 and now[high] == 0:
            high -= 1
        if high <= low:
            return
    if kind == EQUALIZE:
        step = (now.sum() - now[high]) // 255
        if step == 0:
            return
        total = step // 2
        for v in range(256):
            now[v], total = min(255, total // step), total + now[v]
    for v in range(256):
        x = table[v]
        if kind == POSTERIZE:
            table[v] = x & ~((1 << (8 - int(amount[0]))) - 1)
        elif kind == SOLARIZE:
            table[v] = 255 - x if x >= amount[0] else x
        elif kind == SOLARIZE_ADD:
            table[v] = min(255, int(x + amount[0])) if x < amount[1] else x
        elif kind == INVERT:
            table[v] = 255 - x
        elif kind == EQUALIZE:
            table[v] = now[x]
        else:
            table[v] = min(255, max(0, int((x - low) * 255.0 / (high - low) + 1e-6)))


@_part
def _tables(planes, stage, amount, first, last):
    """Stages `first` to `last` as one table a channel, of values rounded to whole ones."""
    table, counts, values = (
        np.empty(256, np.int64),
        np.zeros(256, np.int64),
        np.empty(256, np.float32),
    )
    counted = False
    for k in range(first, last):
        counted |= stage[k] == EQUALIZE or stage[k] == AUTOCONTRAST
    for c in range(3):
        plane = planes[c].ravel()
        if counted:
            counts[:] = 0
            for k in range(len(plane)):
                counts[np.uint64(np.int32(plane[k] + _TO_WHOLE))] += 1
        if counted or c == 0:
            for v in range(256):
                table[v] = v
            for k in range(first, last):
                _rewrite(stage[k], amount[k], counts, table)
            for v in range(256):
                values[v] = table[v]
        for k in range(len(plane)):
            plane[k] = values[np.uint64(np.int32(plane[k] + _TO_WHOLE))]


@_part
def _sharpen(planes, factor, spare):
    """Away from, or towards, the mean of the 3×3 neighbors, the middle counted five times; borders
    stay.
    """
    size = planes.shape[1]
    for c in range(3):
        spare[:, :] = planes[c]
        for i in range(1, size - 1):
            above, here, below, into = spare[i - 1], spare[i], spare[i + 1], planes[c, i]
            for j in range(1, size - 1):
                around = above[j - 1] + above[j] + above[j + 1] + here[j - 1] + here[j + 1]
                around += below[j - 1] + below[j] + below[j + 1]
                smooth = (around + np.float32(5) * here[j]) / np.float32(13)
                into[j] = _clip(smooth + factor * (here[j] - smooth))


@_part
def _reflected(k, size):
    if k < 0:
        return -k
    return 2 * (size - 1) - k if k >= size else k


@_part
def _blur(planes, sigma, radius, spare, row, weight):
    """Gaussian along columns, then along rows; weights cut off at `radius` sum to 1."""
    size = planes.shape[1]
    total = np.float32(0)
    for k in range(radius + 1):
        weight[k] = math.exp(-0.5 * (k / max(sigma, np.float32(1e-3))) ** 2)
        total += weight[k] if k == 0 else 2 * weight[k]
    for k in range(radius + 1):
        weight[k] /= total
    while radius > 0 and weight[radius] < 1e-6:
        radius -= 1
    for c in range(3):
        plane = planes[c]
        for i in range(size):
            into, here, w = spare[i], plane[i], weight[0]
            for j in range(size):
                into[j] = w * here[j]
            for k in range(1, radius + 1):
                above, below, w = (
                    plane[_reflected(i - k, size)],
                    plane[_reflected(i + k, size)],
                    weight[k],
                )
                for j in range(size):
                    into[j] += w * (above[j] + below[j])
        for i in range(size):
            into, here, w = plane[i], spare[i], weight[0]
            for k in range(radius):
                row[k] = here[_reflected(k - radius, size)]
                row[radius + size + k] = here[_reflected(size + k, size)]
            for j in range(size):
                row[radius + j] = here[j]
                into[j] = w * here[j]
            for k in range(1, radius + 1):
                w = weight[k]
                left, right = row[radius - k :], row[radius + k :]
                for j in range(size):
                    into[j] += w * (left[j] + right[j])


@_part
def _erase(planes, amount):
    size = planes.shape[1]
    left, top = max(0, int(amount[0])), max(0, int(amount[1]))
    right, bottom = min(size, int(amount[0] + amount[2])), min(size, int(amount[1] + amount[3]))
    for c in range(3):
        for i in range(top, bottom):
            for j in range(left, right):
                planes[c, i, j] = amount[4 + c]


@_part
def _mix(x):
    x &= _MASK
    x ^= x >> 16
    x = (x * 0x7FEB352D) & _MASK
    x ^= x >> 15
    x = (x * 0x846CA68B) & _MASK
    return x ^ (x >> 16)


@_part
def _add_noise(planes, amount):
    """Box and Muller's normal numbers from a hash of the key and the value's number in its view."""
    key = int(amount[1]) * 65536 + int(amount[2])
    values = planes.ravel()
    for k in range(len(values)):
        radius = math.sqrt(-2 * math.log(((_mix(key + (2 * k + 1) * _GOLDEN) >> 8) + 1) * 2.0**-24))
        turn = 2 * math.pi * ((_mix(key + (2 * k + 2) * _GOLDEN) >> 8) * 2.0**-24)
        values[k] = _clip(values[k] + amount[0] * np.float32(radius * math.cos(turn)))


@_part
def _stages(planes, stage, amount, spare, row, weight):
    k = 0
    while k < len(stage) and stage[k] != 0:
        kind = stage[k]
        if kind == COLOR:
            _color(planes, amount[k])
        elif POSTERIZE <= kind <= INVERT:
            first = k
            while k + 1 < len(stage) and POSTERIZE <= stage[k + 1] <= INVERT:
                k += 1
            _tables(planes, stage, amount, first, k + 1)
        elif kind == SHARPNESS:
            _sharpen(planes, amount[k, 0], spare)
        elif kind == BLUR:
            _blur(planes, amount[k, 0], int(amount[k, 1]), spare, row, weight)
        elif kind == ERASE:
            _erase(planes, amount[k])
        elif kind == NOISE:
            _add_noise(planes, amount[k])
        k += 1


@_part
def _write(planes, mean, scale, channels_last, out):
    """(value - mean) · scale: no product is added to, so that both orders hold the same bits."""
    if channels_last:
        r, g, b = planes[0].ravel(), planes[1].ravel(), planes[2].ravel()
        for k in range(len(r)):
            out[3 * k] = (r[k] - mean[0]) * scale[0]
            out[3 * k + 1] = (g[k] - mean[1]) * scale[1]
            out[3 * k + 2] = (b[k] - mean[2]) * scale[2]
    else:
        pixels = planes.shape[1] ** 2
        for c in range(3):
            plane, m, s = planes[c].ravel(), mean[c], scale[c]
            into = out[c * pixels : (c + 1) * pixels]
            for k in range(pixels):
                into[k] = (plane[k] - m) * s


@_part
def _half(source, side, into):
    """The next smaller level: means of 2×2, a last odd row or column by itself. Its side."""
    smaller = (side + 1) // 2
    for i in range(smaller):
        for j in range(smaller):
            rows, columns = min(2, side - 2 * i), min(2, side - 2 * j)
            for c in range(3):
                total = np.float32(0)
                for y in range(2 * i, 2 * i + rows):
                    for x in range(2 * j, 2 * j + columns):
                        total += np.float32(source[y, 3 * x + c])
                into[i, 3 * j + c] = total / np.float32(rows * columns)
    return smaller


@njit(**_HOW)
def render(
    images,
    half,
    warp,
    stage,
    amount,
    outside,
    level,
    mean,
    scale,
    size,
    channels_last,
    start,
    stop,
    out,
):
    """Writes views `start` to `stop` of all (view, sample), counted view by view.

    images (B, side, 3·side) and half (B, side/2, 3·side/2) uint8; `level` says which each view
    reads: 0 images, 1 half, and so on by halves. out (V, B, 3·S·S) float32 gets (value - mean) ·
    scale for each channel.
    """
    batch = warp.shape[1]
    side, half_side = images.shape[1], half.shape[1]
    planes, spare = np.empty((3, size, size), np.float32), np.empty((size, size), np.float32)
    row, weight = np.empty(3 * max(side, size), np.float32), np.empty(size + 1, np.float32)
    xs = np.empty(size, np.uint64), np.empty(size, np.uint64), np.empty(size, np.float32)
    ys = np.empty(size, np.uint64), np.empty(size, np.uint64), np.empty(size, np.float32)
    texels, corner = np.empty(3 * (side + 3) ** 2, np.float32), np.empty(size, np.uint32)
    for at in range(start, stop):
        v, b = at // batch, at % batch
        if level[v, b] < 2:
            source, deep = (images[b], side) if level[v, b] == 0 else (half[b], half_side)
            _resample(
                source, deep, size, warp[v, b], outside[v], xs, ys, row, texels, corner, planes
            )
        else:
            smaller = np.empty((half_side, 3 * half_side), np.float32)
            deep = _half(half[b], half_side, smaller)
            for _ in range(level[v, b] - 2):
                deep = _half(smaller, deep, smaller)
            _resample(
                smaller, deep, size, warp[v, b], outside[v], xs, ys, row, texels, corner, planes
            )
        _stages(planes, stage[v, b], amount[v, b], spare, row, weight)
        _write(planes, mean, scale, channels_last, out[v, b])
