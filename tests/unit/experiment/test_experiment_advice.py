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


def test_the_plan_says_that_images_are_enlarged_for_given_weights():
    small = listing((200, 200), side=32)
    given = decided("cross_entropy", small, encoder={"name": "resnet18", "pretrained": True})
    (line,) = advice_lines(given, small.side, own_module=False)
    assert line.startswith("note       images of 32 px are enlarged to 128 px")
    new = decided("cross_entropy", small, data={"source": "", "size": 64})
    assert not any("enlarged" in line for line in advice_lines(new, small.side, own_module=False))


def told_without_positive(method="supcon", classes=(60, 60, 60), unlabeled=0, **asked):
    setup = decided(method, listing(classes, unlabeled=unlabeled), **asked)
    lines = advice_lines(setup, side=32, own_module=True)
    return next((line for line in lines if "will have no positive" in line), None)


def test_the_plan_says_how_many_anchors_have_no_positive():
    many = (5,) * 60
    line = told_without_positive(classes=many, train={"batch_size": 32})
    assert line == (
        "note       64% of the anchors will have no positive but the other views of their image in"
        " their batch of 32; a larger train.batch_size makes them fewer,"
        " data.sampling=m_per_class with data.per_class=2 leaves none"
    )
    one_view = told_without_positive(classes=many, train={"batch_size": 32}, views={"count": 1})
    assert "64% of the anchors will have no positive in their batch of 32;" in one_view
    unlabeled = told_without_positive(classes=(20, 20), unlabeled=160, train={"batch_size": 32})
    assert "(160 of 200 images have no label)" in unlabeled
    assert "m_per_class" not in unlabeled
    groups = {"sampling": "m_per_class", "per_class": 2}
    assert told_without_positive(classes=many, data=groups) is None


@pytest.mark.parametrize(
    ("method", "classes"), [("supcon", (60, 60)), ("cross_entropy", (5,) * 60), ("simclr", (5, 5))]
)
def test_it_is_silent_where_few_are_alone_or_positives_come_from_elsewhere(method, classes):
    assert told_without_positive(method, classes) is None


def test_a_selection_by_more_labels_than_training_has_is_said():
    def told(**asked):
        setup = decided("simclr", listing((60, 60), held_out=20), data=asked)
        return [line for line in advice_lines(setup, 32, own_module=True) if "keep their" in line]

    assert told() == told(label_noise=0.3) == told(labels_per_class=30) == []
    (line,) = told(labels_per_class=5)
    assert "all 40 validation images keep their labels, and training has 10" in line
