"""Lines of metrics: every number is kept, a last one that is cut short forgiven where it may be."""

import json
from pathlib import Path

import pytest

from nearfar.core.errors import RunError
from nearfar.run_folder import metrics


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metrics.jsonl"


def lines(path: Path, *texts: str) -> Path:
    path.write_text("".join(text + "\n" for text in texts))
    return path


def test_every_number_of_a_line_is_kept_known_or_not(path):
    metrics.append(path, {"epoch": 1, "knn.top1.val": 0.5, "of_tomorrow": 7, "chance": None})
    metrics.append(path, {"epoch": 2, "loss": float("nan")})
    one, two = metrics.read(path)
    assert one.numbers == {"epoch": 1.0, "knn.top1.val": 0.5, "of_tomorrow": 7.0}
    assert (one.epoch, one.knn_val, one.chance) == (1, 0.5, None)
    assert two.loss != two.loss


def test_what_a_newer_version_says_in_other_ways_than_numbers_is_passed_over(path):
    metrics.append(path, {"epoch": 1, "loss": 0.5, "place": "gpu 0", "all": True, "two": [1, 2]})
    (one,) = metrics.read(path, forgive_last=False)
    assert one.numbers == {"epoch": 1.0, "loss": 0.5}


def test_no_file_has_no_epochs(path):
    assert metrics.read(path) == ()


@pytest.mark.parametrize(
    "last", ['{"epoch": 2, "lo', '{"epoch": 2, "loss": "x"}', "7", "{}", "[2]"]
)
def test_a_last_line_that_is_no_epoch_is_forgiven_where_it_may_be(path, last):
    lines(path, '{"epoch": 1}', last, "")
    assert [epoch.epoch for epoch in metrics.read(path)] == [1]
    with pytest.raises(RunError, match=r"metrics\.jsonl: line 2.*; do this"):
        metrics.read(path, forgive_last=False, remedy="do this")
    lines(path, '{"epoch": 1}', last, '{"epoch": 3}')
    with pytest.raises(RunError, match=r"metrics\.jsonl: line 2.*; train again with --force"):
        metrics.read(path)


def test_lines_after_the_checkpoint_go_and_the_others_stay_to_the_letter(path):
    lines(path, '{"epoch":  1}', '{"epoch": 2}', '{"epoch": 3}', '{"epoch": 4, "lo')
    metrics.keep_until(path, 2)
    assert path.read_text() == '{"epoch":  1}\n{"epoch": 2}\n'
    metrics.keep_until(path, 0)
    assert path.read_text() == ""


@pytest.mark.parametrize(
    "there", [["1"], ["1", "3"], ["2", "1"], ["1", "1", "2"], ["1", '2, "lo'], []]
)
def test_a_missing_line_of_an_epoch_in_the_checkpoint_is_an_error(path, there):
    lines(path, *(f'{{"epoch": {number}}}' for number in there))
    with pytest.raises(RunError, match=r"want a row for each of the 2 epochs in the checkpoint"):
        metrics.keep_until(path, 2)
    assert len(path.read_text().splitlines()) == len(there)


def test_no_file_is_well_before_the_first_epoch(path):
    metrics.keep_until(path, 0)
    assert not path.exists()
    with pytest.raises(RunError, match="got 0"):
        metrics.keep_until(path, 1)


def test_a_line_is_added_as_json(path):
    metrics.append(path, {"epoch": 1, "loss": 0.25})
    assert json.loads(path.read_text()) == {"epoch": 1, "loss": 0.25}
