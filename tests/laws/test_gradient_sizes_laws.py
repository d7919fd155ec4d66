"""What docs/gradients.svg draws, by the formulas of each loss, pencil and paper."""

import math
import re

import gradients
import pytest
import torch

from nearfar.losses import triplet

T, MARGIN = 0.1, 0.2
COSINES = (-0.99, -0.7, -0.3, 0.0, 0.09, 0.11, 0.4, 0.8, 0.84, 0.86, 0.93, 0.99)


def by_hand(moved: str, cosine: float) -> dict[str, float]:
    """2 positives at .95 and 62 negatives at 0, one of which is at `cosine`."""
    positives, negatives = [0.95] * 2, [0.0] * 62
    (positives if moved == "positive" else negatives)[0] = cosine
    of_all = sum(math.exp(c / T) for c in positives + negatives)
    share = math.exp(cosine / T) / of_all  # of the softmax
    target_out, target_in = 0.0, 0.0
    if moved == "positive":
        target_out = 1 / 2
        target_in = math.exp(cosine / T) / sum(math.exp(c / T) for c in positives)
    across = math.sqrt(1 - cosine**2)

    def at_cost(positive: float, negative: float) -> bool:
        return (2 - 2 * positive) - (2 - 2 * negative) + MARGIN > 0

    if moved == "positive":
        triplets = sum(at_cost(cosine, negative) for negative in negatives)
        of_class = math.exp(cosine / T) / sum(math.exp(c / T) for c in [cosine, *negatives])
        probability_less_target = of_class - 1
    else:
        triplets = sum(at_cost(positive, cosine) for positive in positives)
        probability_less_target = math.exp(cosine / T) / sum(
            math.exp(c / T) for c in [positives[0], *negatives]
        )
    return {
        "L_out": abs(share - target_out) * across / T,
        "L_in": abs(share - target_in) * across / T,
        "triplet": triplets / (2 * 62) * 2 * across,
        "cross-entropy": abs(probability_less_target) / T,
    }


@pytest.mark.parametrize("cosine", COSINES)
@pytest.mark.parametrize("moved", ["positive", "negative"])
def test_each_size_is_that_of_its_formula(moved, cosine):
    drawn = gradients.sizes(moved, cosine)
    assert list(drawn) == list(gradients.LOOKS)
    assert drawn == pytest.approx(by_hand(moved, cosine), rel=1e-9, abs=1e-13)


def test_hard_pairs_count_more_but_for_positives_in_l_in():
    for moved in ("positive", "negative"):
        easy = gradients.sizes(moved, gradients.EASY[moved])
        hard = gradients.sizes(moved, gradients.HARD[moved])
        for name in gradients.LOOKS:
            assert (hard[name] > easy[name]) == ((moved, name) != ("positive", "L_in"))
        assert hard["L_out"] > 1000 * easy["L_out"]
    assert gradients.sizes("positive", 0.0)["L_in"] < 1e-4
    negatives = [gradients.sizes("negative", cosine) for cosine in COSINES]
    assert all(size["L_in"] == pytest.approx(size["L_out"], rel=1e-12) for size in negatives)


def test_mining_gives_the_hard_negative_what_the_mean_over_all_takes_away():
    """As the page says: 62 times as much, at an anchor beside its two positives."""
    axes = torch.eye(65, dtype=torch.float64)
    cosines = torch.tensor([1.0, 0.95, 0.95, 0.9] + [0.0] * 61, dtype=torch.float64)
    across = (1 - cosines.square()).sqrt()
    z = (cosines[:, None] * axes[0] + across[:, None] * axes)[None]
    labels = [0, 0, 0] + [-1] * 62
    sizes = []
    for mining in ("all", "hard"):
        x = z.clone().requires_grad_()
        triplet(x, labels, mining=mining).backward()
        sizes.append(abs(float(x.grad[0, 0, 3])))
    assert sizes[1] == pytest.approx(62 * sizes[0], rel=1e-12)
    assert 3 * sizes[0] == pytest.approx(gradients.sizes("negative", 0.9)["triplet"], rel=1e-12)


def test_the_picture_has_a_line_for_each_loss_in_either_panel_that_stays_within_it():
    figure = gradients.figure()
    lines = re.findall(r'<polyline points="([^"]*)"', figure)
    assert len(lines) == 4 + 2 * 4  # those of the legend first
    for line in lines[4:]:
        points = [tuple(map(float, point.split(","))) for point in line.split(" ")]
        assert len(points) == gradients.POINTS
        assert all(gradients.TOP <= y <= gradients.BOTTOM for _, y in points)
    # L_out of a hard positive is half the height of its panel: 5 of 10
    middle = (gradients.TOP + gradients.BOTTOM) / 2
    x = gradients.LEFT["positive"] + gradients.PANEL / 2
    assert f'cx="{x:.1f}" cy="{middle:.1f}"' in figure
