"""Which number one gets: by what `nearfar predict` classifies, over the runs of a method."""

import pytest
from report_run_folders import write_run

from nearfar.report.groups import findings
from nearfar.report.predicting import chosen_line, predicting
from nearfar.report.read import read_run, read_source
from nearfar.report.table import results_table
from nearfar.run_folder.records import Candidate, PredictedBy, Results


def chosen(title: str, test: float | None, *others: Candidate) -> PredictedBy:
    me = Candidate(name=title, title=title, validation=0.95, test=test)
    return PredictedBy(**me.model_dump(), candidates=(me, *others))


@pytest.fixture
def results(tmp_path) -> Results:
    return read_run(write_run(tmp_path / "r")).results


def test_over_seeds_it_is_a_mean_and_says_by_what_where_runs_differ(results):
    def runs(*found: PredictedBy | None) -> list[Results]:
        return [results.model_copy(update={"predicted_by": by}) for by in found]

    probe = chosen("linear probe", 0.9)
    one = predicting("supcon", runs(probe))
    assert one is not None
    assert (one.text, one.sd) == ("supcon: linear probe, 90.0 % on test", None)
    two = predicting("supcon", runs(probe, probe, chosen("own head", 0.93)))
    assert two is not None
    assert two.by == {"linear probe": 2, "own head": 1}
    assert two.text == ("supcon: linear probe (2 runs) and own head (1 run), 91.0 ± 1.7 % on test")
    unknown = predicting("supcon", runs(chosen("classifier stage", None)))
    assert unknown is not None
    assert unknown.text == "supcon: classifier stage"
    assert predicting("supcon", runs(None)) is None
    unfinished = results.model_copy(update={"predicted_by": probe, "complete": False})
    assert predicting("supcon", [unfinished]) is None


def test_of_one_run_it_is_said_what_it_was_chosen_from():
    stage = Candidate(name="stage", title="classifier stage", validation=0.948, test=0.99)
    assert chosen_line(chosen("linear probe", 0.917, stage)) == (
        "* nearfar predict uses the linear probe, 91.7 % on test; on validation, %: linear probe"
        " 95.0, classifier stage 94.8"
    )
    assert chosen_line(chosen("linear probe", None)) == "* nearfar predict uses the linear probe"


@pytest.mark.parametrize(("title", "marked"), [("linear probe", 1), ("own head", 0)])
def test_the_table_marks_the_cell_of_what_predict_uses(tmp_path, title, marked):
    by = chosen(title, 0.9).model_dump(mode="json")
    run = write_run(tmp_path / "r", change={"predicted_by": by})
    table = results_table(findings(read_source([run])))
    assert table is not None
    cells = [cell for row in table.rows for cell in row.cells if cell.mark]
    assert len(cells) == marked
    assert table.predicting == (f"{read_run(run).label}: {title}, 90.0 % on test",)
