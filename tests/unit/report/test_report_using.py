"""Which run to use, and the lines that use it."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from report_run_folders import write_comparison, write_run

from nearfar.report import ending, write_report
from nearfar.report.groups import findings
from nearfar.report.read import read_source
from nearfar.report.using import best_on_validation, using
from nearfar.run_folder.records import Results


def predicted_by(validation: float | None, test: float | None = 0.9) -> dict[str, Any]:
    return {"name": "head", "title": "own head", "validation": validation, "test": test}


def chosen_in(run: Path, **of: Any) -> None:
    """Edits results.json."""
    path = run / "results.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | of))


@pytest.fixture
def comparison(tmp_path: Path) -> Path:
    """Best on validation: simclr, seed 1, whose test accuracy is the lowest."""
    folder = write_comparison(tmp_path / "it's c")
    for run in folder.glob("*/seed*"):
        chosen_in(run, predicted_by=predicted_by(0.8, 0.95))
    chosen_in(folder / "simclr" / "seed1", predicted_by=predicted_by(0.85, 0.7))
    return folder


def test_a_comparison_names_the_run_that_is_best_on_validation(comparison):
    use = using(findings(read_source([comparison])))
    assert use is not None
    assert use.why == (
        "simclr, seed 1, the best of 9 runs on validation: its own head gets 85.0 % of 359"
        " validation images and 70.0 % of 40 test images right."
    )
    run = str(comparison / "simclr" / "seed1")
    assert shlex.split(use.predict)[:3] == ["nearfar", "predict", run]
    assert use.load == f"import nearfar; model = nearfar.load({run!r})"
    page = write_report([comparison], comparison / "report.html").read_text(encoding="utf-8")
    section = page.partition('<section id="use">')[2].partition("</section>")[0]
    assert section.count('class="code"') == 2
    assert "simclr, seed 1, the best of 9 runs on validation" in section
    said = ending([comparison])
    assert len(said) == 4
    assert said[1:3] == [f"to use: {use.why}", f"  {use.predict}"]


def test_a_single_run_is_the_one_to_use(comparison):
    use = using(findings(read_source([comparison / "supcon" / "seed0"])))
    assert use is not None
    assert use.why.startswith("supcon, seed 0: its own head gets 80.0 % of 359 validation images")


def test_without_a_classifier_measured_on_validation_none_is_named(tmp_path):
    folder = write_comparison(tmp_path / "c")
    assert using(findings(read_source([folder]))) is None
    assert len(ending([folder])) == 1
    page = write_report([folder], folder / "report.html").read_text(encoding="utf-8")
    assert 'id="use"' not in page


def test_runs_on_different_data_are_not_chosen_from(tmp_path):
    one, other = (write_run(tmp_path / name) for name in "ab")
    for run in (one, other):
        chosen_in(run, predicted_by=predicted_by(0.8))
    assert using(findings(read_source([one, other]))) is not None
    data = json.loads((other / "results.json").read_text())["data"]
    chosen_in(other, data=data | {"name": "others"})
    assert using(findings(read_source([one, other]))) is None


def test_of_equals_the_first_and_none_that_is_not_complete(tmp_path):
    like = findings(read_source([write_run(tmp_path / "r")])).groups[0].first.results

    def run(validation: float | None, *, complete: bool = True) -> Results:
        by = predicted_by(validation) | {"candidates": []}
        return Results.model_validate(like.as_json() | {"predicted_by": by, "complete": complete})

    assert best_on_validation([run(0.5), run(0.7), run(0.7)]) == 1
    assert best_on_validation([run(0.9, complete=False), run(None), run(0.0)]) == 2
    assert best_on_validation([run(None)]) is None
    assert best_on_validation([]) is None
