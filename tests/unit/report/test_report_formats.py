"""Numbers by their unit."""

import pytest

from nearfar.report.formats import (
    apart,
    capitalized,
    difference_text,
    figure,
    headed,
    interval,
    quantity,
    signed,
)


@pytest.mark.parametrize(
    ("value", "unit", "sd", "text"),
    [
        (0.9861, "fraction", None, "98.6 %"),
        (0.9861, "fraction", 0.0031, "98.6 ± 0.3 %"),
        (0.41239, "nats", None, "0.412 nats"),
        (0.41239, "nats", 0.01, "0.412 ± 0.010 nats"),
        (1234567.0, "count", None, "1,234,567"),
        (1.2345, "ratio", 0.5, "1.23 ± 0.50"),
        (6.41, "seconds", None, "6.4 s"),
        (75.0, "seconds", None, "75 s"),
        (3725.0, "seconds", None, "1 h 02 min"),
        (2.5e9, "bytes", None, "2.5 GB"),
        (None, "fraction", None, "–"),
        (float("nan"), "nats", None, "–"),
    ],
)
def test_a_quantity_is_told_in_its_unit(value, unit, sd, text):
    assert quantity(value, unit, sd) == text
    assert figure(value, unit, sd) == text.removesuffix(" %").removesuffix(" nats")


@pytest.mark.parametrize(
    ("difference", "unit", "told", "sign", "plain"),
    [
        (0.006, "fraction", "0.6 percentage points", "+0.6", "+0.6 points"),
        (-0.01, "fraction", "1.0 percentage point", "−1.0", "-1.0 points"),
        (-0.0123, "nats", "0.012 nats", "−0.012", "-0.012 nats"),
        (0.0001, "nats", "0.000 nats", "0.000", "+0.000 nats"),
        (-12.4, "seconds", "12 s", "−12 s", "-12 s"),
        (1500.0, "count", "1,500", "+1,500", "+1,500"),
    ],
)
def test_a_difference_is_told_in_its_unit_and_points_are_for_fractions(
    difference, unit, told, sign, plain
):
    assert apart(difference, unit) == told
    assert signed(difference, unit) == sign
    assert difference_text(difference, unit) == plain


def test_intervals_and_headings_have_the_unit_once():
    assert interval((0.972, 0.996), "fraction") == "97.2–99.6"
    assert interval((0.972, 0.996), "fraction", word=True) == "97.2–99.6 %"
    assert interval((0.1, 0.2), "nats", word=True) == "0.100–0.200 nats"
    assert headed("kNN", "fraction") == "kNN, %"
    assert headed("rank", "count") == "rank"


@pytest.mark.parametrize(
    ("title", "text"),
    [("linear probe", "Linear probe"), ("kNN", "kNN"), ("10 labels a class", "10 labels a class")],
)
def test_a_title_that_begins_a_sentence(title, text):
    assert capitalized(title) == text
