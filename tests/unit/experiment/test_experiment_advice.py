"""What is said before the work begins: few photographs and new weights."""

import pytest
from experiment_setups import decided, listing

from nearfar.experiment.advice import FEW_IMAGES, PHOTOGRAPH_PX, advice_lines, advise_weights


def facts(count: int, side: int = 64):
    return listing((count // 2, count - count // 2), side=side).facts(side)


@pytest.mark.parametrize(
    ("images", "side", "advised"),
    [
        (1000, 300, True),
        (FEW_IMAGES, PHOTOGRAPH_PX, True),
        (FEW_IMAGES + 1, 300, False),
        (1000, PHOTOGRAPH_PX - 1, False),
    ],
)
def test_few_photographs_are_advised_to_begin_from_weights(images, side, advised):
    text = advise_weights(facts(images), side)
    assert (text is not None) is advised
    if text is not None:
        assert f"{images:,} training images" in text and "--pretrained" in text
        assert "encoder.weights=" in text


def test_the_plan_says_it_for_new_weights_alone():
    few = listing((200, 200), side=300)
    new = decided("supcon", few, encoder={"name": "resnet18"})
    given = decided("supcon", few, encoder={"name": "resnet18", "pretrained": True})
    assert len(advice_lines(new, few.side, own_module=False)) == 1
    assert advice_lines(new, few.side, own_module=True) == []
    assert advice_lines(given, few.side, own_module=False) == []
