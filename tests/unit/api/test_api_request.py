"""What was typed over a recipe."""

import pytest

from nearfar.api.request import Place, make_request
from nearfar.config.classifier import ClassifierConfig
from nearfar.core.progress import Progress
from nearfar.experiment.configuration import check_config

RECIPE = "supcon-cassava"  # it has published weights


def encoders(settings):
    """The encoder's settings: of the recipe, and of the recipe as one of several."""
    alone = make_request("photos", settings, place=Place(), recipe=RECIPE, command="")
    several = make_request("photos", settings, place=Place(), recipes=[RECIPE], command="")
    return alone.sections["encoder"], several.sections_of(RECIPE)["encoder"]


@pytest.mark.parametrize("smoke", [False, True])
def test_a_file_of_weights_stands_instead_of_a_recipes_published_ones(smoke):
    typed = {"encoder.weights": "mine.safetensors"}
    request = make_request("photos", typed, place=Place(), recipe=RECIPE, smoke=smoke, command="")
    encoder = request.sections["encoder"]
    assert encoder["weights"] == "mine.safetensors"
    assert not encoder.get("pretrained")


def test_the_recipes_weights_stay_where_none_are_typed_or_both_are():
    for encoder in encoders({"encoder.name": "resnet18"}):
        assert encoder["pretrained"] is True
        assert encoder["name"] == "resnet18"
    for encoder in encoders({"encoder.weights": "mine.safetensors"}):
        assert "pretrained" not in encoder
    both = {"encoder.weights": "mine.safetensors", "encoder.pretrained": True}
    for encoder in encoders(both):
        assert encoder["pretrained"] is True  # refused later, as two of one thing


def test_published_weights_stand_instead_of_a_files(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('[method]\nname = "supcon"\n[encoder]\nweights = "a.safetensors"\n')
    typed = {"encoder.pretrained": True}
    request = make_request("photos", typed, place=Place(), recipe=path, command="")
    assert request.sections["encoder"] == {"pretrained": True}
    refused = {"encoder.pretrained": False}  # of what there is none
    request = make_request("photos", refused, place=Place(), recipe=path, command="")
    assert request.sections["encoder"] == {"weights": "a.safetensors", "pretrained": False}


@pytest.mark.parametrize(("typed", "said"), [({}, 1), ({"encoder.weights": "mine.pth"}, 0)])
def test_smoke_says_which_weights_it_leaves_out(typed, said, capsys):
    request = make_request("photos", typed, place=Place(), recipe=RECIPE, smoke=True, command="")
    request.say_beginning("nearfar", Progress())
    assert capsys.readouterr().err.count("new weights for") == said


@pytest.mark.parametrize("smoke", [False, True])
def test_a_recipes_classifier_stage_can_be_left_out(smoke):
    typed = {"classifier.kind": "none", "encoder.pretrained": False}
    request = make_request("photos", typed, place=Place(), recipe=RECIPE, smoke=smoke, command="")
    assert check_config(request.sections).classifier == ClassifierConfig()
