"""Every projector in every published form: one set of words for all methods that have one."""

import pytest
import torch
from test_every_method import facts_for, make, make_batch, train
from torch import nn

from nearfar.config.models import MethodConfig
from nearfar.losses import sup_con
from nearfar.methods import METHODS, method_class
from nearfar.nn.queue import Queue

WORDS = ("projector", "projector_layers", "projector_batch_norm", "hidden_dim", "projection_dim")
PROJECTED = [name for name in METHODS if "projector" in method_class(name).Config.model_fields]
NEEDED = {"byol", "swav", "simsiam", "barlow_twins", "vicreg", "nnclr", "dino"}
BARE = [name for name in PROJECTED if name not in NEEDED]


def config(name: str, **settings: object) -> MethodConfig:
    return method_class(name).Config(**settings)


def kinds(head: nn.Module) -> str:
    letters = {nn.Linear: "L", nn.BatchNorm1d: "B", nn.ReLU: "R", nn.GELU: "R"}
    return "".join(letters[type(layer)] for layer in head.children())


def test_the_words_are_the_same_for_every_method_that_has_a_projector():
    assert len(PROJECTED) == 15
    for name in METHODS:
        fields = method_class(name).Config.model_fields
        assert all((word in fields) == (name in PROJECTED) for word in WORDS[:3])
        assert name not in PROJECTED or set(WORDS) <= set(fields)
    with_one = [name for name in METHODS if hasattr(make(name), "projector")]
    assert with_one == PROJECTED


@pytest.mark.parametrize("name", PROJECTED)
@pytest.mark.parametrize(
    ("settings", "layers"),
    [
        ({"projector": "linear"}, "L"),
        ({"projector": "relu"}, "LR"),
        ({"projector_layers": 2}, "LRL"),
        ({"projector_layers": 4}, "LRLRLRL"),
    ],
)
def test_a_projector_is_what_its_words_say_and_teaches_the_encoder(name, settings, layers):
    form = {"projector": "mlp", "projector_batch_norm": "none", "hidden_dim": 7} | settings
    method = make(name, config=config(name, **form))
    assert kinds(method.projector) == layers
    widths = [layer.out_features for layer in method.projector if isinstance(layer, nn.Linear)]
    assert widths[:-1] == [7] * (len(widths) - 1)
    result = method(make_batch(name))
    assert result.projection.shape[-1] == widths[-1]
    assert name == "swav" or (result.projection.min() >= 0) == (form["projector"] == "relu")
    before = [p.detach().clone() for p in method.encoder.parameters()]
    train(method, make_batch(name), 1)
    assert not all(
        torch.equal(b, a) for b, a in zip(before, method.encoder.parameters(), strict=True)
    )


@pytest.mark.parametrize("name", PROJECTED)
@pytest.mark.parametrize(
    ("where", "layers"), [("none", "LRL"), ("hidden", "LBRL"), ("all", "LBRLB")]
)
def test_batch_norm_stands_where_its_word_says(name, where, layers):
    form = {"projector": "mlp", "projector_layers": 2, "projector_batch_norm": where}
    method = make(name, config=config(name, **form))
    assert kinds(method.projector) == layers
    assert all(layer.affine for layer in list(method.projector)[:3] if kinds_of_norm(layer))
    train(method, make_batch(name), 1)


def kinds_of_norm(layer: nn.Module) -> bool:
    return isinstance(layer, nn.BatchNorm1d)


@pytest.mark.parametrize("name", BARE)
def test_without_a_projector_the_projection_is_the_representation(name):
    method = make(name, config=config(name, projector="none"))
    assert not list(method.projector.parameters())
    result = method(make_batch(name))
    h = result.representation
    expected = torch.nn.functional.normalize(h, dim=-1) if normalizes(name) else h
    assert torch.equal(result.projection, expected)
    for queue in [module for module in method.modules() if isinstance(module, Queue)]:
        assert queue.rows.shape[1] == method.encoder.width
        method.after_step(result.remember, 0.5)
    train(method, make_batch(name), 2)


def normalizes(name: str) -> bool:
    return name in ("supcon", "joint", "supcon_moco")


@pytest.mark.parametrize("name", sorted(NEEDED))
def test_a_method_that_needs_a_projector_says_why(name):
    with pytest.raises(ValueError, match=f'projector: want "linear", "relu" or "mlp" .{name}'):
        config(name, projector="none")


@pytest.mark.parametrize("name", PROJECTED)
def test_an_mlp_has_two_layers_or_more(name):
    for layers in (0, 1, -1):
        with pytest.raises(ValueError, match="greater than or equal to 2"):
            config(name, projector_layers=layers)


# ---- supcon's own
# -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("form", "loss_form"), [("out", "outside"), ("in", "inside")])
@pytest.mark.parametrize("cap", [None, 0, 2, 4])
def test_supcon_has_both_forms_of_the_loss_and_a_cap(form, loss_form, cap):
    batch = make_batch("supcon")
    method = make("supcon", config=config("supcon", form=form, positives_cap=cap))
    result = method(batch)
    z, labels = result.projection, batch.labels
    expected = sup_con(z, labels, temperature=0.1, form=loss_form, positives_cap=cap)
    assert float(result.loss.detach()) == float(expected.detach())
    others = [
        sup_con(z, labels, temperature=0.1, form=one, positives_cap=most)
        for one in ("outside", "inside")
        for most in (None, 0, 2, 4)
        if (one, most) != (loss_form, cap)
    ]
    distinct = [each for each in others if abs(float((each - expected).detach())) > 1e-6]
    assert len(distinct) >= (7 if cap else 6)  # with no other image the two forms are one


@pytest.mark.parametrize(
    ("cap", "views", "wanted"),
    [
        (3, 2, "a multiple of 2 (the views of each image)"),
        (4, 3, "a multiple of 3 (the views of each image)"),
        (0, 1, "at least 1 with one view of each image"),
    ],
)
def test_a_cap_that_does_not_fit_the_views_is_a_misfit(cap, views, wanted):
    problem = f"method.positives_cap: want {wanted}, got {cap}"
    assert config("supcon", positives_cap=cap).misfits(1000, 32, views) == [problem]


@pytest.mark.parametrize(("cap", "views"), [(None, 3), (0, 2), (4, 2), (3, 3), (1, 1), (5, 1)])
def test_a_cap_that_fits_the_views_is_none(cap, views):
    assert config("supcon", positives_cap=cap).misfits(1000, 32, views) == []


# ---- dino's own
# -------------------------------------------------------------------------------------------------


def test_dino_begins_as_its_authors_head():
    """`trunc_normal_(std=.02)`, no bias, and the last layer as torch begins a linear one."""
    torch.manual_seed(0)
    kind = method_class("dino")
    encoder = make("dino").encoder.float()
    settings = kind.Config(hidden_dim=500, projector_batch_norm="none", prototypes=40)
    method = kind(encoder, settings, facts_for("dino"))
    for layer in method.projector:
        if isinstance(layer, nn.Linear):
            assert 0.018 < float(layer.weight.detach().std()) < 0.022
            assert not layer.bias.any()
    weight, width = method.prototypes.weight, method.projector[-1].out_features
    assert float(weight.detach().abs().max()) <= width**-0.5
    assert abs(float(weight.detach().std()) - (3 * width) ** -0.5) < 0.05 * width**-0.5
