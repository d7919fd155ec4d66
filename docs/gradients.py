"""How hard a loss pulls or pushes one row: docs/gradients.svg and its table in docs/losses.md,
from the gradients of nearfar's own losses.

An anchor has 2 positives and 62 negatives. All but one lie where training puts them, positives
beside the anchor and negatives across it; the one that is looked at moves from easy to hard. What
is drawn is the length of its part in the gradient of the anchor's own term, at the anchor. Each row
has a direction of its own besides the anchor's, so that the anchor's gradient along this direction
is what the row adds to it.
"""

from functools import cache
from typing import Literal

import torch
from torch import Tensor

from nearfar import losses
from nearfar.losses.choices import Form

Moved = Literal["positive", "negative"]

TEMPERATURE = 0.1
POSITIVES, NEGATIVES = 2, 62
BESIDE, ACROSS = 0.95, 0.0  # cosines with the anchor of the positives and negatives that stay
EASY: dict[Moved, float] = {"positive": BESIDE, "negative": ACROSS}
HARD: dict[Moved, float] = {"positive": 0.0, "negative": 0.9}
WORDS = {"easy": EASY, "hard": HARD}
LABELS = torch.tensor([0] * POSITIVES + [-1] * NEGATIVES)

# by loss: color and dashes
LOOKS = {
    "L_out": ("#0072b2", ""),
    "L_in": ("#d55e00", "7 4"),
    "triplet": ("#009e73", "2 3"),
    "cross-entropy": ("#b8860b", "10 3 2 3"),
}
GRAY = "#5b6776"
WIDTH, HEIGHT = 860, 330
TOP, BOTTOM, PANEL = 74, 276, 350
LEFT: dict[Moved, int] = {"positive": 52, "negative": 490}
HIGHEST = 10
POINTS = 121


@cache
def sizes(moved: Moved, cosine: float) -> dict[str, float]:
    """By loss: the length of the gradient at an anchor that comes from one of its positives or
    negatives at that cosine, strictly between -1 and 1.
    """
    cosines = torch.tensor([BESIDE] * POSITIVES + [ACROSS] * NEGATIVES, dtype=torch.float64)
    at = 0 if moved == "positive" else POSITIVES
    cosines[at] = cosine
    axes = torch.eye(1 + len(LABELS), dtype=torch.float64)
    anchor, own = axes[:1], axes[1:]
    rows = cosines[:, None] * anchor + (1 - cosines.square()).sqrt()[:, None] * own
    return {
        "L_out": _of_sup_con(anchor, rows, own[at], "outside"),
        "L_in": _of_sup_con(anchor, rows, own[at], "inside"),
        "triplet": _of_triplet(anchor, rows, own[at], moved),
        "cross-entropy": _of_cross_entropy(anchor, rows, own[at], moved, cosine),
    }


def _of_sup_con(anchor: Tensor, rows: Tensor, own: Tensor, form: Form) -> float:
    """The other rows are a queue: so the anchor is the only one."""
    z = anchor.clone()[None].requires_grad_()
    losses.sup_con(
        z, [0], temperature=TEMPERATURE, form=form, queue=rows, queue_labels=LABELS
    ).backward()
    return _along(z, own)


def _of_triplet(anchor: Tensor, rows: Tensor, own: Tensor, moved: Moved) -> float:
    """All rows of the class are anchors with equally many triplets, of which the loss is the mean;
    a pair of the class stands in the terms of both, which are alike here.
    """
    z = torch.cat([anchor, rows])[None].requires_grad_()
    losses.triplet(z, torch.cat([LABELS[:1], LABELS])).backward()
    return _along(z[:, :1], own, of=z) * (1 + POSITIVES) / (2 if moved == "positive" else 1)


def _of_cross_entropy(
    anchor: Tensor, rows: Tensor, own: Tensor, moved: Moved, cosine: float
) -> float:
    """The anchor's class has one of the positives as its weight, every negative is the weight of
    another class; of such a length that logits are those of SupCon. (The softmax with margin 1 is
    the plain one.) Nothing is normalized, so the part is along the whole row.
    """
    true = rows[:1] if moved == "positive" else rows[POSITIVES - 1 : POSITIVES]
    weight = torch.cat([true, rows[POSITIVES:]]) / TEMPERATURE
    h = anchor.clone()[None].requires_grad_()
    losses.large_margin_softmax(h, weight, [0], margin=1).backward()
    return _along(h, own) / (1 - cosine**2) ** 0.5


def _along(row: Tensor, own: Tensor, *, of: Tensor | None = None) -> float:
    gradient = (row if of is None else of).grad
    assert gradient is not None
    return abs(float(gradient[0, 0] @ own))


def table() -> tuple[list[str], list[list[str]]]:
    """Headings, and loss by loss the sizes at an easy and a hard positive and negative."""
    places = [(moved, word, at[moved]) for moved in LEFT for word, at in WORDS.items()]
    columns = [sizes(moved, cosine) for moved, _, cosine in places]
    headings = ["", *(f"{word} {moved} (cosine {cosine:g})" for moved, word, cosine in places)]
    return headings, [[name, *(_short(column[name]) for column in columns)] for name in LOOKS]


def _short(size: float) -> str:
    """Two digits that count."""
    return f"{size:.2g}" if size == 0 or size >= 1e-4 else "< 0.0001"


def figure() -> str:
    """The picture, as SVG."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
        ' font-family="system-ui, sans-serif" font-size="13" role="img" aria-label="Size of the'
        " gradient from one positive and from one negative, from easy to hard, for four losses."
        f' The numbers stand in the table below." fill="{GRAY}">',
        *_legend(),
        *_panel("positive"),
        *_panel("negative"),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _legend() -> list[str]:
    parts = []
    for number, name in enumerate(LOOKS):
        x = 196 + 130 * number
        parts += [_line(name, f"{x},20 {x + 34},20"), _text(x + 42, 24, name, anchor="start")]
    return parts


def _panel(moved: Moved) -> list[str]:
    left = LEFT[moved]
    right = left + PANEL

    def x(cosine: float) -> float:
        way = (1 - cosine) / 2 if moved == "positive" else (1 + cosine) / 2
        return left + PANEL * way

    def y(size: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * size / HIGHEST

    parts = [
        _text(
            (left + right) / 2, 56, f"one {moved}: easy on the left, hard on the right", bold=True
        )
    ]
    for size in range(0, HIGHEST + 1, 2):
        parts += [
            f'<path d="M{left} {y(size):.1f}H{right}" stroke="{GRAY}" stroke-opacity=".25"/>',
            _text(left - 8, y(size) + 4.5, f"{size}", anchor="end"),
        ]
    for cosine in (-1.0, -0.5, 0.0, 0.5, 1.0):
        parts.append(_text(x(cosine), BOTTOM + 20, f"{cosine:g}".replace("-", "−")))
    parts.append(_text((left + right) / 2, BOTTOM + 42, "cosine with the anchor"))
    # not the ends, where a row has no direction of its own
    drawn = [-0.995 + 1.99 * step / (POINTS - 1) for step in range(POINTS)]
    of_each = [sizes(moved, cosine) for cosine in drawn]
    for name, (color, _) in LOOKS.items():
        points = zip(drawn, (size[name] for size in of_each), strict=True)
        parts.append(_line(name, " ".join(f"{x(c):.1f},{y(size):.1f}" for c, size in points)))
        for at in WORDS.values():
            cosine, size = at[moved], sizes(moved, at[moved])[name]
            parts.append(
                f'<circle cx="{x(cosine):.1f}" cy="{y(size):.1f}" r="3.5" fill="{color}"/>'
            )
    return parts


def _line(name: str, points: str) -> str:
    color, dashes = LOOKS[name]
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="2"{dashed}/>'


def _text(x: float, y: float, text: str, *, anchor: str = "middle", bold: bool = False) -> str:
    weight = ' font-weight="600"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{weight}>{text}</text>'
