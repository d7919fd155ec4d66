"""Run with TRITON_INTERPRET=1: the float32 kernels against the tiles in float64, every kind of
pairs.
"""

import torch
from torch.nn import functional as F

from nearfar.losses.tiled import cpu, triton
from nearfar.losses.tiled.pairs import Over, Pairs, Positives

TOLERANCE = 2e-6


def make_pairs(
    m: int, n: int | None, width: int, over: str, positives: str, temperature: float
) -> tuple[Pairs, Pairs]:
    """The same in float32 and in float64."""
    anchors = F.normalize(torch.randn(m, width), dim=1) * temperature**-0.5
    candidates = (
        None if n is None else F.normalize(torch.randn(n, width), dim=1) * temperature**-0.5
    )
    classes = torch.randint(0, 4, (n or m,))
    own = torch.arange(m) if n is None else torch.randint(-1, n, (m,))
    marks = (None if n is None else own, classes[own], classes, over, positives)
    wide = None if candidates is None else candidates.double()
    return Pairs(anchors, candidates, *marks), Pairs(anchors.double(), wide, *marks)


def check(given: Pairs, known: Pairs, largest: float, *, safe: bool) -> None:
    values, true = triton.forward(given, safe=safe), cpu.forward(known, safe=True)
    grads = []
    for ours, right in zip(values, true, strict=True):
        there = torch.isfinite(right)
        assert bool((torch.isfinite(ours) == there).all())
        assert not there.any() or float((ours - right)[there].abs().max()) <= TOLERANCE * largest
        grads.append(torch.linspace(-1, 2, len(right)))
    ours = triton.backward(given, values, tuple(grads), safe=safe)
    theirs = cpu.backward(known, true, tuple(grad.double() for grad in grads), safe=True)
    for mine, right in zip(ours, theirs, strict=True):
        assert (mine is None) == (right is None)
        if mine is not None:
            error = float((mine - right).abs().max() / right.abs().max())
            assert error <= TOLERANCE * max(1.0, largest / 10), (
                given.over,
                given.positives,
                largest,
                error,
            )


if __name__ == "__main__":
    torch.manual_seed(0)
    done = 0
    for m, n, width in ((70, None, 20), (30, 130, 16), (65, 64, 130)):
        for over in Over.__args__:
            for positives in Positives.__args__:
                for temperature, safe in ((0.1, False), (0.1, True), (0.0125, True)):
                    pairs = make_pairs(m, n, width, over, positives, temperature)
                    check(*pairs, 1 / temperature, safe=safe)
                    done += 1
    print(done, "cases")
