"""What the section of the encoder takes, and what of it does not go together."""

import pytest
from pydantic import ValidationError

from nearfar.config.encoder import OWN_NETWORKS, EncoderConfig
from nearfar.config.problems import problem

NAMES = [*OWN_NETWORKS, "resnet18", "vit_tiny_patch16_224"]


def problems(**values: object) -> list[str]:
    return EncoderConfig.model_validate(values).problems(lambda: NAMES)


@pytest.mark.parametrize(
    ("typed", "stages"), [(3, 3), ("stages 0-2", 3), ("stage 0", 1), ("stages 0", 1), (None, None)]
)
def test_frozen_stages_are_a_number_or_the_first_and_the_last(typed, stages):
    assert EncoderConfig(frozen=typed).frozen == stages


@pytest.mark.parametrize("typed", ["stages 1-2", "0-2", "all", True, 2.5])
def test_frozen_stages_of_another_form_are_refused_with_the_form_to_type(typed):
    with pytest.raises(ValidationError) as caught:
        EncoderConfig(frozen=typed)
    (details,) = caught.value.errors()
    said = problem("encoder", details, {"frozen": typed}, EncoderConfig)
    want = 'want a number of stages, or "stages 0-2", which begin at 0'
    assert said == f"encoder.frozen: {want}, got {typed!r}"


def test_no_stage_is_too_few():
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        EncoderConfig(frozen=0)


@pytest.mark.parametrize(
    ("key", "value"),
    [("outputs", 10), ("patch_size", 4), ("drop_path", 0.1), ("gradient_checkpointing", True)],
)
@pytest.mark.parametrize("name", OWN_NETWORKS)
def test_what_timms_networks_alone_have_is_refused_for_nearfars(key, value, name):
    assert problems(name="resnet18", **{key: value}) == []
    (found,) = problems(name=name, **{key: value})
    assert found == f"encoder.{key}: is for timm's networks, and {name} is none; leave it out"


def test_arguments_have_timms_names_and_only_what_was_asked_for():
    assert EncoderConfig().arguments == {}
    asked = EncoderConfig(outputs=1000, drop_path=0.2)
    assert asked.arguments == {"num_classes": 1000, "drop_path_rate": 0.2}


def test_nearfars_own_networks_are_known_without_a_list_that_takes_seconds():
    def slow():
        raise AssertionError

    for name in OWN_NETWORKS:
        assert EncoderConfig(name=name).problems(slow) == []
