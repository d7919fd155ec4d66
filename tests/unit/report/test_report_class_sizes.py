"""The sizes of classes as bars: when, in which order, how long."""

import pytest
from report_run_folders import write_run

from nearfar.report.class_sizes import LEFT, RIGHT, WIDTH, class_sizes
from nearfar.report.groups import findings
from nearfar.report.page import write_report
from nearfar.report.read import read_source

NAMES = ("daisy", "rose", "a tulip with a very long name indeed")
LONGEST = WIDTH - LEFT - RIGHT


@pytest.fixture
def sizes(tmp_path):
    """The bars of a run with classes of such sizes, of which an epoch has so many draws."""

    def drawn(counts, draws=(), names=NAMES):
        data = {"name": "flowers", "classes": names, "class_counts": counts, "n_test": 40}
        train = {"epochs": 3, "class_draws": draws}
        change = {"data": data, "train": train}
        path = write_run(tmp_path / "run", classes=names, epochs=3, change=change)
        (path / "run.toml").write_text('[method]\nname = "supcon"\n[data]\nsampling = "sqrt"\n')
        write_report([path], tmp_path / "report.html")
        return class_sizes(findings(read_source([path]))), (tmp_path / "report.html").read_text()

    return drawn


def test_the_largest_is_first_and_lengths_are_in_proportion(sizes):
    found, page = sizes((20, 80, 40))
    assert [bar.name for bar in found.bars] == ["rose", "a tulip with a very l…", "daisy"]
    assert [bar.images for bar in found.bars] == [LONGEST, LONGEST / 2, LONGEST / 4]
    assert {bar.drawn for bar in found.bars} == {None}
    assert "the largest class has 80, the smallest 20" in found.caption
    assert 'id="classes"' in page
    assert "rose: 80 training images" in page


def test_what_an_epoch_draws_is_outlined_on_the_same_scale(sizes):
    found, page = sizes((20, 80, 40), (30.0, 160.0, 50.0))
    assert [bar.images for bar in found.bars] == [215.0, 107.5, 53.8]
    assert found.bars[0].drawn == LONGEST
    assert "how many of them an epoch of supcon draws on average, by data.sampling = sqrt" in page
    assert "rose: 80 training images, 160 drawn in an epoch" in page


@pytest.mark.parametrize("counts", [(), (40, 39, 35)])
def test_nothing_is_drawn_of_even_classes_or_older_runs(sizes, counts):
    found, page = sizes(counts)
    assert found is None
    assert 'id="classes"' not in page


def test_even_classes_are_drawn_where_an_epoch_draws_them_otherwise(sizes):
    found, _ = sizes((40, 40, 40), (40.0, 40.0, 40.0))
    assert found is not None


def test_many_classes_are_a_skyline_without_names(sizes):
    names = tuple(f"class {number}" for number in range(200))
    found, page = sizes(tuple(range(1, 201)), names=names)
    assert not found.labeled
    assert found.height < 700
    assert "class 199: 200 training images" in page
    assert '<text class="y" x="142"' not in page
