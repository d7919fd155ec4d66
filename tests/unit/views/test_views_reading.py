"""A policy that a configuration spells out wrongly is refused by the path that was written, with
the nearest name.
"""

from typing import Any

import pytest

from nearfar.core.errors import ConfigError
from nearfar.views.reading import read_policy

FLIP = {"op": "flip"}
ALL_OPS = (
    "add_brightness, autocontrast, blur, brightness, contrast, crop, cutout, equalize, erase, flip,"
    " gray, hue, invert, jitter, noise, one_of, posterize, rotate, saturation, scale, sharpness,"
    " shear, solarize, solarize_add, translate"
)


def problems_of(value: Any) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        read_policy(value)
    assert caught.value.exit_code == 2
    return caught.value.problems


def one(**operation: Any) -> dict[str, Any]:
    return {"operations": [operation]}


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("suppcon", 'no policy "suppcon" (did you mean "supcon"?)'),
        (
            "rand_augment(2, 11)",
            (
                'no policy "rand_augment(2, 11)"; want rand_augment(N, M) with N from 1 to 8 and M'
                " from 0 to 10"
            ),
        ),
    ],
)
def test_an_unknown_name_suggests_the_nearest(name, problem):
    assert problems_of(name) == (f"views.policy: {problem}",)


def test_a_name_near_none_gets_them_all():
    (problem,) = problems_of("zzz")
    assert problem.startswith(
        'views.policy: no policy "zzz"; want one of simclr, simclr_cifar, moco_v1, '
    )
    assert problem.endswith("none, digits, patches, or a policy of your own")


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (
            {},
            (
                ': want operations = [...], kinds = [...] or a name ("none" for no change), got'
                " nothing"
            ),
        ),
        (one(op="flipp"), '.operations[0].op: no operation "flipp" (did you mean "flip"?)'),
        (one(op="zzz"), f'.operations[0].op: no operation "zzz"; want one of {ALL_OPS}'),
        (one(op=3), f'.operations[0].op: no operation "3"; want one of {ALL_OPS}'),
        (
            one(probability=1),
            ".operations[0]: want an operation such as {op = \"flip\"}, got {'probability': 1}",
        ),
        (one(**FLIP, probability=1.5), ".operations[0].probability: want at most 1, got 1.5"),
        (one(**FLIP, probability=-0.1), ".operations[0].probability: want at least 0, got -0.1"),
        (
            one(**FLIP, probability="0.5"),
            ".operations[0].probability: want a number, got '0.5'",
        ),
        (
            one(**FLIP, probability=True),
            ".operations[0].probability: want a number, got True",
        ),
        (
            one(**FLIP, probability=[0.5]),
            ".operations[0].probability: want a number, got [0.5]",
        ),
        (
            one(**FLIP, probabilty=0.5),
            '.operations[0].probabilty: unknown key (did you mean "probability"?)',
        ),
        (one(op="jitter", hue=0.7), ".operations[0].hue: want at most 0.5, got 0.7"),
        (one(op="jitter", brightness=5), ".operations[0].brightness: want at most 4, got 5"),
        (one(op="crop", area=[0, 1]), ".operations[0].area[0]: want more than 0, got 0"),
        (one(op="crop", area=[0.5, 0.2]), ".operations[0].area: want (low, high), got (0.5, 0.2)"),
        (one(op="crop", area=[0.2]), ".operations[0].area[1]: is missing"),
        (one(op="crop", area=0.2), ".operations[0].area: want a list in brackets, got 0.2"),
        (
            one(op="crop", ratio=[1, 1]),
            ".operations[0].ratio: unknown key; want one of probability, op, area, aspect",
        ),
        (one(op="rotate"), ".operations[0].degrees: is missing"),
        (
            one(op="rotate", degrees=[float("nan"), 1]),
            ".operations[0].degrees[0]: want a finite number, got nan",
        ),
        (
            one(op="posterize", bits=[2.0, 4]),
            ".operations[0].bits[0]: want a whole number, got 2.0",
        ),
        (one(op="one_of", among=[]), ".operations[0].among: want at least 1 item, got none"),
        (
            one(op="one_of", among=[[{"op": "one_of", "among": [[FLIP]]}]]),
            (
                ".operations[0].among[0][0].op: want neither crop nor one_of inside one_of, got"
                " 'one_of'"
            ),
        ),
        (
            one(op="one_of", among=[[FLIP], [FLIP, {"op": "crop"}]]),
            ".operations[0].among[1][1].op: want neither crop nor one_of inside one_of, got 'crop'",
        ),
        (
            one(op="one_of", among=[[{"op": "hue", "turns": [0, 2]}]]),
            ".operations[0].among[0][0].turns[1]: want at most 0.5, got 2",
        ),
        (
            one(op="one_of", among=[FLIP]),
            ".operations[0].among[0]: want a list in brackets, got {'op': 'flip'}",
        ),
        (
            {"operations": [FLIP, {"op": "crop"}]},
            ".operations: want crop first, and once, got it later",
        ),
        (
            {"operations": [{"op": "crop"}, {"op": "crop"}]},
            ".operations: want crop first, and once, got it later",
        ),
        ({"operations": ["flip"]}, ".operations[0]: want a table, got 'flip'"),
        ({"operations": "flip"}, ".operations: want a list in brackets, got 'flip'"),
        ({"operation": [FLIP]}, '.operation: unknown key (did you mean "operations"?)'),
        ({"kind": [{}]}, '.kind: unknown key (did you mean "kinds"?)'),
        (
            {"op": "flip"},
            ".op: unknown key; want one of operations, count, size, outside, tiles, kinds",
        ),
        ({"size": "half"}, ".size: want a number, got 'half'"),
        ({"size": 0}, ".size: want more than 0, got 0"),
        ({"count": 2}, ".kinds: want one without a count, which views.count fills"),
        ({"count": 2.5}, ".count: want a whole number, got 2.5"),
        ({"outside": "blue"}, ".outside: want 'edge', 'black' or 'gray', got 'blue'"),
        ({"tiles": {"gird": 3}}, '.tiles.gird: unknown key (did you mean "grid"?)'),
        ({"tiles": {"grid": 1}}, ".tiles.grid: want at least 2, got 1"),
        ({"kinds": []}, ".kinds: want at least 1 item, got none"),
        ({"kinds": 3}, ".kinds: want a list in brackets, got 3"),
        (
            {"kinds": [{"count": 2}, {"count": 1}]},
            ".kinds: want one without a count, which views.count fills",
        ),
        ({"kinds": [{}], "count": 3}, ".count: unknown key; want one of kinds"),
        (
            {"kinds": [{}, {"operations": [FLIP, {**FLIP, "axis": "up"}]}]},
            ".kinds[1].operations[1].axis: want 'horizontal' or 'vertical', got 'up'",
        ),
        ({"kinds": [{}] * 17}, ".kinds: want at most 16 items, got more"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(value, problem):
    assert problems_of(value) == (f"views.policy{problem}",)


def test_all_problems_come_at_once():
    found = problems_of(
        {"operations": [{"op": "flipp"}, {**FLIP, "probability": 2}], "outside": 3, "tile": 1}
    )
    assert [problem.split(":")[0].removeprefix("views.policy.") for problem in found] == [
        "operations[0].op",
        "operations[1].probability",
        "outside",
        "tile",
    ]


def test_lists_and_tuples_and_whole_numbers_are_as_good():
    assert read_policy(one(op="crop", area=(1, 1))) == read_policy(one(op="crop", area=[1.0, 1]))
