"""Many methods: the first sentence, the triangle of differences and what the command prints stay
readable.
"""

from itertools import combinations
from pathlib import Path

import pytest
from report_run_folders import write_comparison

from nearfar.cli.compare import _differences
from nearfar.evaluate.across_seeds import build_table, compare_pairs
from nearfar.report.differences import differences
from nearfar.report.formats import signed
from nearfar.report.groups import Findings, Group, findings
from nearfar.report.page import render
from nearfar.report.read import read_source
from nearfar.report.words import headline
from nearfar.run_folder.comparison import Difference, TableEntry
from nearfar.run_folder.older import described

SCORES = {
    "a": (0.70, 0.72),
    "b": (0.95, 0.93),
    "c": (0.90, 0.94),
    "d": (0.94, 0.92),
    "e": (0.92, 0.95),
    "f": (0.91, 0.95),
}
FLOORS = (0.60, 0.61)


def results() -> list[dict]:
    def measured(value: float, selection: str | None) -> dict:
        return {
            "name": "linear_probe.top1",
            "split": "test",
            "selection": selection,
            "value": value,
        }

    return [
        {
            "method": method,
            "seed": seed,
            "measurements": [measured(values[seed], "last")],
            "untrained": [measured(FLOORS[seed], None)],
            "cost": {"train_seconds": 1.0, "peak_memory_bytes": 1},
        }
        for method, values in SCORES.items()
        for seed in range(2)
    ]


def made_up(tmp_path: Path, seeds: int = 2) -> Findings:
    """Six methods, their table and pairs as `compare` writes them."""
    measured = [result for result in results() if result["seed"] < seeds]
    runs = findings(read_source([write_comparison(tmp_path / "c", seeds=seeds)])).groups[0].runs
    groups = tuple(Group(method, runs) for method in SCORES)
    table = tuple(TableEntry.model_validate(described(row)) for row in build_table(measured))
    pairs = tuple(Difference.model_validate(pair) for pair in compare_pairs(measured, list(SCORES)))
    return Findings(groups, table, pairs)


def test_many_methods_stand_in_a_triangle_the_better_as_the_row(tmp_path):
    found = differences(made_up(tmp_path))
    assert found.sentences == ()
    triangle = found.triangle
    assert triangle is not None
    means = {name: sum(values) / 2 for name, values in {**SCORES, "untrained": FLOORS}.items()}
    assert list(triangle.names) == sorted(means, key=lambda name: -means[name])
    assert triangle.names[-1] == "untrained"
    for at, row in enumerate(triangle.rows):
        for column, cell in enumerate(row, start=1):
            if column <= at:
                assert cell is None
                continue
            assert cell is not None
            better, worse = triangle.names[at], triangle.names[column]
            assert cell.text == signed(means[better] - means[worse])
            assert better in cell.title
            assert worse in cell.title
    pairs = compare_pairs(results(), list(SCORES))
    assert triangle.pairs == triangle.judged == len(pairs) == 21
    assert triangle.larger == sum(pair["larger_than_noise"] for pair in pairs)
    assert 0 < triangle.larger < 21
    shaded = sum(cell.larger for row in triangle.rows for cell in row if cell)
    assert shaded == triangle.larger


@pytest.mark.parametrize(
    ("seeds", "says"),
    [
        (2, "of 21 pairs. Of pairs that differ by noise alone"),
        (1, "One seed cannot tell any of the 21 from noise"),
    ],
)
def test_the_page_says_whether_the_seeds_can_tell_differences_from_noise(
    tmp_path, monkeypatch, seeds, says
):
    found = made_up(tmp_path, seeds)
    monkeypatch.setattr("nearfar.report.page.differences", lambda _: differences(found))
    source = read_source([write_comparison(tmp_path / "page")])
    text = " ".join(render(source, base=tmp_path).partition("</style>")[2].split())
    assert says in text
    assert ("Shaded where" in text) == (seeds > 1)


def test_many_methods_that_are_level_are_not_all_listed_in_the_first_sentence(tmp_path):
    sentence = headline(made_up(tmp_path)).sentence
    assert sentence.startswith(
        "b scored highest on digits, 94.0 ± 1.4 % of the test images right, but "
    )
    assert sentence.endswith(
        "but e, d, f and 1 more are level with it, no more apart than the seeds’ noise."
    )


def test_few_methods_have_sentences(tmp_path):
    found = differences(findings(read_source([write_comparison(tmp_path / "c")])))
    assert found.triangle is None
    assert len(found.sentences) == 3


def test_the_command_tells_the_pairs_of_the_best_where_there_are_many():
    table = build_table(results())
    found = {(row["method"], row["name"], row["selection"]): row for row in table}
    told = _differences(
        {"comparisons": compare_pairs(results(), list(SCORES)), "methods": list(SCORES)}, found
    )
    best = "b"
    assert len(told) == len(SCORES)
    assert all(best in line.split(":")[0].split(" minus ") for line in told[:-1])
    assert told[-1].startswith("15 pairs in all, of which those of b are shown")
    # ten pairs, fifteen with the untrained encoder: the report draws its triangle
    five = ["a", "b", "c", "d", "e"]
    told = _differences({"comparisons": compare_pairs(results(), five), "methods": five}, found)
    assert told[-1].startswith("10 pairs in all, of which those of b are shown")
    few = ["a", "b", "c"]
    told = _differences({"comparisons": compare_pairs(results(), few), "methods": few}, found)
    assert len(told) == len(list(combinations(few, 2)))


@pytest.mark.parametrize(
    ("difference", "text"), [(0.0004, "0.0"), (-0.0004, "0.0"), (-0.002, "−0.2"), (0.002, "+0.2")]
)
def test_a_difference_that_rounds_to_nothing_has_no_sign(difference, text):
    assert signed(difference) == text


def test_the_page_of_few_methods_has_no_triangle(tmp_path):
    source = read_source([write_comparison(tmp_path / "c")])
    assert "triangle" not in render(source, base=tmp_path).partition("</style>")[2]
