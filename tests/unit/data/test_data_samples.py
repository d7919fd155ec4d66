"""Samples: images and rows of features, through one protocol."""

import numpy as np
import pytest
import torch

from nearfar.data.center import CenterSquare
from nearfar.data.samples import EvaluationView, FeatureSamples, ImageSamples, Samples
from nearfar.data.store import KeptImages
from nearfar.views.making import ViewPlan, make_views
from nearfar.views.policies import named_policy

CPU = torch.device("cpu")
MEAN, STD = (0.5, 0.4, 0.3), (0.25, 0.2, 0.3)
VIEW = EvaluationView(CenterSquare(8, 0.875), MEAN, STD)
SPLITS = np.array(["train", "train", "val", "train", "test", "unlabeled"])
LABELS = torch.tensor([0, 1, 1, -1, 0, -1])
INDEX, DRAW = torch.tensor([3, 0, 5, 3]), torch.tensor([0, 2, 1, 1])


def images() -> KeptImages:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), dtype=np.uint8)
    return KeptImages(
        name="six",
        images=pixels,
        half=pixels[:, ::2, ::2],
        evaluated=np.random.default_rng(1).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8),
        center=VIEW.center,
        sizes_px=torch.tensor([[16, 12]] * 6),
        labels=LABELS,
        splits=SPLITS,
        paths=tuple(f"{row}.png" for row in range(6)),
        class_names=("a", "b"),
        default_policy=None,
        skipped=(),
    )


def features() -> FeatureSamples:
    table = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    return FeatureSamples("six", table, LABELS, SPLITS, ("a", "b"))


@pytest.mark.parametrize("policy", ["simclr", "swav"])
def test_images_have_the_views_that_make_views_gives(policy: str) -> None:
    data, plan = images(), ViewPlan(named_policy(policy), 2, 8, MEAN, STD)
    shown = ImageSamples(data, VIEW, CPU, plan).views(INDEX, DRAW, seed=3, epoch=2)
    known = make_views(data.rows(INDEX), plan, seed=3, epoch=2, index=INDEX, draw=DRAW)
    assert len(shown) == len(known) == (2 if policy == "swav" else 1)
    assert all(torch.equal(a, b) for a, b in zip(shown, known, strict=True))


def test_an_image_is_evaluated_in_its_evaluation_view_which_is_its_only_view_without_a_plan() -> (
    None
):
    data = images()
    samples = ImageSamples(data, VIEW, CPU)
    values = torch.from_numpy(data.evaluated[INDEX.numpy()]) / 255
    known = ((values - torch.tensor(MEAN)) / torch.tensor(STD)).permute(0, 3, 1, 2)
    shown = samples.evaluation_input(INDEX)
    assert torch.allclose(shown, known, atol=1e-6)
    assert shown.is_contiguous(memory_format=torch.channels_last)
    (views,) = samples.views(INDEX, DRAW, seed=3, epoch=2)
    assert torch.equal(views, shown[None])


def test_rows_of_features_are_shown_as_they_are_in_every_draw_and_epoch() -> None:
    samples = features()
    for seed, epoch in ((0, 0), (1, 7)):
        (views,) = samples.views(INDEX, DRAW, seed=seed, epoch=epoch)
        assert views.shape == (1, 4, 5)
        for place, row in enumerate(INDEX.tolist()):
            assert torch.equal(views[0, place], samples.rows[row])
    assert torch.equal(samples.evaluation_input(INDEX), samples.rows[INDEX])


@pytest.mark.parametrize("samples", [ImageSamples(images(), VIEW, CPU), features()])
def test_both_say_the_same_of_their_labels_and_splits(samples: Samples) -> None:
    assert isinstance(samples, Samples)
    assert (samples.name, len(samples), samples.class_names) == ("six", 6, ("a", "b"))
    assert samples.labels.tolist() == LABELS.tolist()
    found = {name: samples.split(name).tolist() for name in ("train", "val", "test", "unlabeled")}
    assert found == {"train": [0, 1, 3], "val": [2], "test": [4], "unlabeled": [5]}
    with pytest.raises(
        ValueError, match="want one of train, val, test, unlabeled, predict, got 'dev'"
    ):
        samples.split("dev")
    facts = samples.facts()
    assert (facts.n_train, facts.n_val, facts.n_test, facts.n_unlabeled) == (2, 1, 1, 1)
    assert facts.class_counts == (1, 1)


def test_facts_say_what_images_are_normalized_by_and_that_features_are_no_images() -> None:
    facts = ImageSamples(images(), VIEW, CPU).facts()
    assert (facts.side, facts.mean, facts.std) == (8, MEAN, STD)
    assert features().facts().side == 0
