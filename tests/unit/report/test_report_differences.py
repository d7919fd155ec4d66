"""Many methods: the first sentence, the triangle of differences and what the command prints stay
readable.
"""

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
from report_run_folders import write_comparison

from nearfar.api.across_seeds import build_table, compare_pairs
from nearfar.cli.compare import _text
from nearfar.report.differences import differences
from nearfar.report.formats import signed
from nearfar.report.groups import Findings, Group, findings
from nearfar.report.page import render
from nearfar.report.read import read_source
from nearfar.report.table import results_table
from nearfar.report.words import headline
from nearfar.run_folder.records import JudgedBy, Results

SCORES = {
    "a": (0.70, 0.72, 0.71),
    "b": (0.95, 0.93, 0.94),
    "c": (0.90, 0.94, 0.92),
    "d": (0.94, 0.92, 0.93),
    "e": (0.92, 0.95, 0.935),
    "f": (0.91, 0.95, 0.93),
}
FLOORS = (0.60, 0.61, 0.605)
JUDGED_BY = {"name": "linear_probe.top1", "split": "test", "selection": "last"}
ACCURACY = {
    "name": "linear_probe.top1",
    "title": "linear probe",
    "unit": "fraction",
    "better": "higher",
}


def results(like: dict[str, str] = ACCURACY) -> list[Results]:
    def measured(value: float, selection: str | None) -> dict:
        return {**like, "split": "test", "selection": selection, "value": value}

    return [
        Results.model_validate(
            {
                "method": method,
                "seed": seed,
                "data": {"name": "digits"},
                "measurements": [measured(values[seed], "last")],
                "untrained": [measured(FLOORS[seed], None)],
                "shown": [like["name"]],
                "judged_by": JUDGED_BY | {"name": like["name"]},
                "cost": {"train_seconds": 1.0, "peak_memory_bytes": 1},
            }
        )
        for method, values in SCORES.items()
        for seed in range(3)
    ]


def made_up(tmp_path: Path, seeds: int = 3, like: dict[str, str] = ACCURACY) -> Findings:
    """Six methods, their table and pairs as `compare` writes them."""
    measured = [result for result in results(like) if result.seed < seeds]
    judged_by = JUDGED_BY | {"name": like["name"]}
    runs = findings(read_source([write_comparison(tmp_path / "c", seeds=seeds)])).groups[0].runs
    groups = tuple(Group(method, runs) for method in SCORES)
    table, pairs = build_table(measured), compare_pairs(measured, list(SCORES))
    return Findings(groups, table, JudgedBy(**judged_by), (like["name"],), pairs)


def test_many_methods_stand_in_a_triangle_the_better_as_the_row(tmp_path):
    found = differences(made_up(tmp_path))
    assert found.sentences == ()
    triangle = found.triangle
    assert triangle is not None
    means = {name: sum(values) / 3 for name, values in {**SCORES, "untrained": FLOORS}.items()}
    assert list(triangle.names) == sorted(means, key=lambda name: -means[name])
    assert triangle.names[-1] == "untrained"
    for at, row in enumerate(triangle.rows):
        for column, cell in enumerate(row, start=1):
            if column <= at:
                assert cell is None
                continue
            assert cell is not None
            better, worse = triangle.names[at], triangle.names[column]
            assert cell.text == signed(means[better] - means[worse], "fraction")
            assert better in cell.title
            assert worse in cell.title
    pairs = compare_pairs(results(), list(SCORES))
    assert triangle.pairs == triangle.judged == len(pairs) == 21
    assert triangle.larger == sum(pair.larger_than_noise for pair in pairs)
    assert 0 < triangle.larger < 21
    shaded = sum(cell.larger for row in triangle.rows for cell in row if cell)
    assert shaded == triangle.larger


@pytest.mark.parametrize(
    ("seeds", "says"),
    [
        (3, "of 21 pairs. Of pairs that differ by noise alone"),
        (2, "So few seeds cannot tell any of the 21 from noise"),
        (1, "So few seeds cannot tell any of the 21 from noise"),
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
    assert ("Shaded where" in text) == (seeds > 2)


def test_many_methods_that_are_level_are_not_all_listed_in_the_first_sentence(tmp_path):
    sentence = headline(made_up(tmp_path)).sentence
    assert sentence.startswith(
        "b scored highest on digits, 94.0 ± 1.0 % of the test images right, but "
    )
    assert sentence.endswith(
        "but e, d, f and 1 more are level with it, no more apart than the seeds’ noise."
    )


def test_few_methods_have_sentences(tmp_path):
    found = differences(findings(read_source([write_comparison(tmp_path / "c")])))
    assert found.triangle is None
    assert len(found.sentences) == 3


def compared(methods: list[str], like: dict[str, str] = ACCURACY) -> dict:
    """compare.json, as far as the command prints it."""
    judged_by = JUDGED_BY | {"name": like["name"]}
    return {
        "data": {"name": "digits", "n_test": 360},
        "methods": methods,
        "seeds": 3,
        "images": dict.fromkeys(methods, 1077),
        "table": [
            entry.as_json()
            for entry in build_table([r for r in results(like) if r.method in methods])
        ],
        "shown": [like["name"]],
        "floor": "untrained",
        "predicting": [],
        "judged_by": judged_by,
        "comparisons": [pair.as_json() for pair in compare_pairs(results(like), methods)],
        "left_out": [],
        "failed": [],
        "unbalanced": [],
        "tuning": [],
    }


def pairs_told(methods: list[str], like: dict[str, str] = ACCURACY) -> list[str]:
    lines = _text(compared(methods, like), Path("out")).splitlines()
    return [line for line in lines if " minus " in line or " pairs in all" in line]


def test_the_command_tells_the_pairs_of_the_best_where_there_are_many():
    told = pairs_told(list(SCORES))
    best = "b"
    assert len(told) == len(SCORES)
    assert all(best in line.split(":")[0].split(" minus ") for line in told[:-1])
    assert told[-1].startswith("15 pairs in all, of which those of b are shown")
    # ten pairs, fifteen with the untrained encoder: the report draws its triangle
    told = pairs_told(["a", "b", "c", "d", "e"])
    assert told[-1].startswith("10 pairs in all, of which those of b are shown")
    few = ["a", "b", "c"]
    assert len(pairs_told(few)) == len(list(combinations(few, 2)))


@pytest.mark.parametrize(
    ("difference", "text"), [(0.0004, "0.0"), (-0.0004, "0.0"), (-0.002, "−0.2"), (0.002, "+0.2")]
)
def test_a_difference_that_rounds_to_nothing_has_no_sign(difference, text):
    assert signed(difference, "fraction") == text


def test_the_page_of_few_methods_has_no_triangle(tmp_path):
    source = read_source([write_comparison(tmp_path / "c")])
    assert "triangle" not in render(source, base=tmp_path).partition("</style>")[2]


LOSS = {"name": "mine.loss", "title": "my loss", "unit": "nats", "better": "lower"}


def test_a_number_in_nats_that_is_better_lower_ranks_the_other_way_on_the_page(tmp_path):
    found = made_up(tmp_path, like=LOSS)
    means = {name: sum(values) / 3 for name, values in {**SCORES, "untrained": FLOORS}.items()}
    told = headline(found)
    assert told.sentence == (
        "No method improved on the untrained encoder on digits: a, the best, gets 0.710 ± 0.010"
        " nats (my loss) on the test images, 0.105 nats above the untrained encoder (0.605 ±"
        " 0.005 nats). Try more epochs, or another learning rate (a third, three times it)."
    )
    table = results_table(found)
    assert table is not None
    assert [row.method for row in table.rows[:-1]] == sorted(SCORES, key=lambda name: means[name])
    assert [column.title for column in table.columns] == ["My loss, nats"]
    assert table.rows[0].cells[0].text == "0.710 ± 0.010"
    assert table.caption.startswith("Measured on ")
    assert "%" not in table.caption
    triangle = differences(found).triangle
    assert triangle is not None
    assert triangle.names[:2] == ("untrained", "a")
    cell = triangle.rows[0][0]
    assert cell is not None
    assert cell.text == "−0.105"
    assert cell.title == (
        "a minus the untrained encoder: +0.105 nats (95 % interval +0.084 to +0.126 over seeds):"
        " larger than the seeds' noise"
    )
    assert triangle.what == "how much of the my loss, nats,"


def test_a_lower_loss_than_the_untrained_encoder_s_is_a_gain(tmp_path):
    found = made_up(tmp_path, like=LOSS)
    floors = tuple(e.model_copy(update={"mean": 1.5}) for e in found.table if e.selection is None)
    low = replace(found, table=(*(e for e in found.table if e.selection), *floors))
    told = headline(low)
    assert told.sentence == (
        "a won on digits: 0.710 ± 0.010 nats (my loss) on the test images against"
        " 0.920 ± 0.020 nats for c, which is more than the seeds’ noise."
    )
    assert told.details == (
        "My loss on the last epoch’s encoder, 40 test images, mean ± standard deviation over 3"
        " seeds. a is 0.210 nats below c (interval +0.168 to +0.252). The untrained encoder gets"
        " 1.500 ± 0.005 nats; a is 0.790 nats below it."
    )
    one = replace(low, groups=low.groups[:1])
    assert headline(one).sentence == (
        "On digits, the a encoder gets 0.710 ± 0.010 nats (my loss) on the test images, 0.790 nats"
        " below the untrained encoder."
    )


def test_the_command_prints_a_number_in_nats_by_its_unit_and_the_lowest_as_the_best():
    printed = _text(compared(list(SCORES), LOSS), Path("out"))
    heading, _, untrained, first, *_ = printed.splitlines()
    assert heading.split("  ")[0] == "test"
    assert "my loss, nats" in heading
    assert "my loss, nats, selected epoch" in heading
    assert "%" not in heading
    assert untrained.split()[:4] == ["untrained", "0.605", "±", "0.005"]
    assert first.split()[:4] == ["a", "0.710", "±", "0.010"]
    told = pairs_told(list(SCORES), LOSS)
    assert told[-1].startswith("15 pairs in all, of which those of a are shown")
    assert told[0].startswith("a minus b: -0.230 nats (95 % interval -0.")


def test_a_column_is_what_every_method_has():
    content = compared(["a", "b"])
    head = {**content["table"][1], "name": "head.top1", "title": "own head"}
    content |= {"table": [*content["table"], head], "shown": [*content["shown"], "head.top1"]}
    assert head["method"] == "a"
    assert "own head" not in _text(content, Path("out"))
    content["table"].append({**head, "method": "b"})
    assert "own head" in _text(content, Path("out")).splitlines()[0]


def test_a_lower_loss_whose_interval_holds_the_floor_is_not_clearly_less(tmp_path):
    found = made_up(tmp_path, like=LOSS)
    entry = next(e for e in found.table if e.method == "a" and e.name == LOSS["name"])
    floor = next(e for e in found.table if e.method == "untrained")
    rest = tuple(e for e in found.table if e not in (entry, floor))
    floor = floor.model_copy(update={"mean": 0.75})

    def sentence(high: float) -> str:
        one = entry.model_copy(update={"interval": (0.6, high), "sd": None})
        alone = replace(found, groups=found.groups[:1], table=(*rest, one, floor), comparisons=())
        return headline(alone).sentence

    assert "0.040 nats below the untrained encoder." in sentence(0.74)
    assert "not clearly less than the untrained encoder (0.750 ± 0.005 nats)" in sentence(0.76)
