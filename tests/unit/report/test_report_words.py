"""What the page says of what was found."""

import json
from pathlib import Path

import pytest
from report_run_folders import write_comparison, write_run

from nearfar.report.differences import differences
from nearfar.report.groups import findings
from nearfar.report.page import render
from nearfar.report.read import read_source
from nearfar.report.table import results_table
from nearfar.report.verdicts import next_steps
from nearfar.report.words import headline, missing
from nearfar.run_folder.records import LOST_EPOCHS, STILL_FALLS


def _edit(path: Path, **change: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | change))


def _sentence(*paths: Path) -> str:
    return headline(findings(read_source(paths))).sentence


def test_a_lead_larger_than_the_noise_is_called_a_win(tmp_path: Path) -> None:
    sentence = _sentence(write_comparison(tmp_path / "c", larger=True))
    assert (
        sentence
        == "supcon won on digits: 99.2 ± 0.3 % of the test images right against 98.9 ± 0.3 % for"
        " cross_entropy, which is more than the seeds’ noise."
    )


def test_a_win_over_the_second_is_none_over_a_method_that_varies_too_much(tmp_path: Path) -> None:
    folder = write_comparison(tmp_path / "c", larger=True)
    pairs = json.loads((folder / "compare.json").read_text())["comparisons"]
    pairs[1]["larger_than_noise"] = False  # supcon and simclr
    _edit(folder / "compare.json", comparisons=pairs)
    assert _sentence(folder) == (
        "supcon scored highest on digits: 99.2 ± 0.3 % of the test images right against 98.9 ± 0.3 %"
        " for cross_entropy, which is more than the seeds’ noise; against simclr (96.6 ± 0.3 %)"
        " it is not."
    )


def test_a_lead_within_the_noise_is_called_level(tmp_path: Path) -> None:
    sentence = _sentence(write_comparison(tmp_path / "c", larger=False))
    assert sentence.startswith("supcon and cross_entropy are level on digits")
    assert "won" not in sentence


def test_one_seed_cannot_tell_noise(tmp_path: Path) -> None:
    sentence = _sentence(write_comparison(tmp_path / "c", larger=None, seeds=1))
    assert sentence.endswith(
        "one seed cannot tell whether that is more than noise; three may (--seeds 3)."
    )


def test_equal_scores_of_one_seed_are_called_level(tmp_path: Path) -> None:
    folder = write_comparison(tmp_path / "c", larger=None, seeds=1)
    table = json.loads((folder / "compare.json").read_text())["table"]
    for entry in table:
        if entry["method"] != "untrained" and entry["name"] == "linear_probe.top1":
            entry["mean"] = 0.992
    _edit(folder / "compare.json", table=table)
    sentence = _sentence(folder)
    assert "are level on digits: both get 99.2" in sentence
    assert "highest" not in sentence


def test_the_details_name_protocol_seeds_difference_and_the_untrained_floor(tmp_path: Path) -> None:
    found = findings(read_source([write_comparison(tmp_path / "c")]))
    assert (
        headline(found).details
        == "Linear probe on the last epoch’s encoder, 40 test images, mean ± standard deviation"
        " over 3 seeds. supcon is 0.3 percentage points above cross_entropy (interval −0.2 to"
        " +0.8). The untrained encoder gets 78.1 ± 1.2 %; supcon is 21.1 percentage points"
        " above it."
    )


def test_an_interval_of_the_reversed_pair_is_turned_round(tmp_path: Path) -> None:
    folder = write_comparison(tmp_path / "c")
    compare = json.loads((folder / "compare.json").read_text())
    first = compare["comparisons"][0]
    first |= {
        "a": "cross_entropy",
        "b": "supcon",
        "difference": -0.003,
        "interval": [-0.008, 0.002],
    }
    _edit(folder / "compare.json", comparisons=compare["comparisons"])
    found = findings(read_source([folder]))
    assert "(interval −0.2 to +0.8)" in headline(found).details
    assert (
        differences(found)
        .sentences[0]
        .startswith("cross_entropy is 0.3 percentage points below supcon")
    )


def test_no_method_above_untrained_is_said_first(tmp_path: Path) -> None:
    folder = write_comparison(tmp_path / "c", larger=True)
    table = json.loads((folder / "compare.json").read_text())["table"]
    for entry in table:
        if entry["method"] == "untrained":
            entry["mean"] = 0.995
    _edit(folder / "compare.json", table=table)
    best = next(entry["mean"] for entry in table if entry["name"] == "linear_probe.top1")
    below = _sentence(folder)
    for entry in table:
        if entry["method"] == "untrained":
            entry["mean"] = best
    _edit(folder / "compare.json", table=table)
    assert "right, as much as the untrained encoder (99.2 ± 1.2 %). Try" in _sentence(folder)
    assert below == (
        "No method improved on the untrained encoder on digits: supcon, the best, gets 99.2 ± 0.3 %"
        " of the test images right, 0.3 percentage points below the untrained encoder (99.5 ±"
        " 1.2 %). Try more epochs, or another learning rate (a third, three times it)."
    )


def _given(path: Path, **change: object) -> None:
    """The run began from weights that were given."""
    results = json.loads(path.read_text())
    _edit(path, encoder=results["encoder"] | {"weights": "hub"}, **change)


def test_given_weights_are_called_so_wherever_the_floor_is(tmp_path: Path) -> None:
    folder = write_comparison(tmp_path / "c")
    for results in folder.glob("*/seed*/results.json"):
        _given(results)
    found = findings(read_source([folder]))
    table = results_table(found)
    assert table is not None
    assert [row.method for row in table.rows if row.floor] == ["given weights, frozen"]
    start, meaning = table.meanings[-1]
    assert start == "Given weights, frozen"
    assert meaning.startswith("the encoder before its first step")
    assert "The given weights get 78.1 ± 1.2 %" in headline(found).details
    compared = json.loads((folder / "compare.json").read_text())["table"]
    for entry in compared:
        if entry["method"] == "untrained":
            entry["mean"] = 0.999
    _edit(folder / "compare.json", table=compared)
    assert _sentence(folder).startswith("No method improved on the given weights on digits")
    run = write_run(tmp_path / "r")
    _given(run / "results.json")
    assert "percentage points above the given weights." in _sentence(run)


def test_runs_with_different_starts_have_a_floor_of_both(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / "a"), write_run(tmp_path / "b", method="simclr")]
    _given(runs[0] / "results.json")
    table = results_table(findings(read_source(runs)))
    assert table is not None
    assert [row.method for row in table.rows if row.floor] == ["before training"]


def test_a_run_in_which_nothing_was_trained_claims_no_gain_and_misses_no_curves(
    tmp_path: Path,
) -> None:
    run = write_run(tmp_path / "r")
    _given(run / "results.json", method="frozen", train={"epochs": 0})
    (run / "metrics.jsonl").unlink()
    found = findings(read_source([run]))
    sentence = headline(found).sentence
    assert sentence.startswith("On digits, the frozen encoder gets ")
    assert sentence.endswith(" right; nothing was trained.")
    assert missing(found.groups[0]) == []


def test_a_single_run_is_told_with_its_gain_over_untrained(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", accuracy=1.0)
    found = findings(read_source([run]))
    assert (
        headline(found).sentence
        == "On digits, the supcon encoder gets 100.0 % of the test images right, "
        "21.9 percentage points above the untrained encoder."
    )
    assert "95 % interval" in headline(found).details


def test_a_single_run_whose_interval_holds_the_floor_is_not_called_better(tmp_path: Path) -> None:
    floor = [{"name": "linear_probe.top1", "split": "test", "selection": None, "value": 0.9}]
    top = {
        "name": "linear_probe.top1",
        "split": "test",
        "selection": "last",
        "value": 0.92,
        "interval": [0.85, 0.96],
    }
    run = write_run(tmp_path / "r", change={"untrained": floor, "measurements": [top]})
    assert "not clearly more than the untrained encoder (90.0 %)" in _sentence(run)
    worse = write_run(
        tmp_path / "w", change={"untrained": [floor[0] | {"value": 0.95}], "measurements": [top]}
    )
    assert _sentence(worse).endswith(
        "no more than the untrained encoder (95.0 %): training did not help. Try more epochs, or"
        " another learning rate (a third, three times it)."
    )


def test_runs_on_different_data_are_not_compared(tmp_path: Path) -> None:
    a = write_run(tmp_path / "a")
    b = write_run(tmp_path / "b", classes=("cat", "dog"))
    assert "different data" in _sentence(a, b)


def test_loose_runs_are_gathered_over_seeds_with_the_sample_deviation(tmp_path: Path) -> None:
    values = (0.90, 0.94, 0.98)
    runs = [
        write_run(
            tmp_path / f"s{seed}",
            seed=seed,
            change={
                "measurements": [
                    {"name": "linear_probe.top1", "split": "test", "selection": "last", "value": v}
                ]
            },
        )
        for seed, v in enumerate(values)
    ]
    found = findings(read_source(runs))
    assert [group.label for group in found.groups] == ["supcon"]
    entry = found.entry("supcon", "linear_probe.top1", "test", "last")
    assert entry is not None
    assert (entry.mean, entry.sd, entry.seeds) == (pytest.approx(0.94), pytest.approx(0.04), 3)


def _floor(value: float, **encoder: str) -> dict[str, object]:
    floor = {"name": "linear_probe.top1", "split": "test", "selection": None, "value": value}
    return {"untrained": [floor], "encoder": {"name": "conv4", **encoder}}


def test_an_untrained_encoder_that_methods_share_is_counted_once(tmp_path: Path) -> None:
    for method in ("supcon", "simclr", "cross_entropy"):
        for seed, value in enumerate((0.7, 0.8)):
            write_run(
                tmp_path / "c" / method / f"seed{seed}",
                method=method,
                seed=seed,
                change=_floor(value),
            )
    floor = findings(read_source([tmp_path / "c"])).entry(
        "untrained", "linear_probe.top1", "test", None
    )
    assert floor is not None
    assert (floor.mean, floor.sd, floor.seeds) == (
        pytest.approx(0.75),
        pytest.approx(0.1 / 2**0.5),
        2,
    )


def test_untrained_encoders_that_differ_are_all_counted(tmp_path: Path) -> None:
    runs = [
        write_run(tmp_path / name, change=_floor(0.7, name=name)) for name in ("conv4", "resnet18")
    ]
    runs.append(write_run(tmp_path / "own", change=_floor(0.7)))
    (tmp_path / "own" / "run.toml").write_text(
        '[encoder]\nname = "conv4"\nweights = "w.safetensors"\n'
    )
    floor = findings(read_source(runs)).entry("untrained", "linear_probe.top1", "test", None)
    assert floor is not None
    assert floor.seeds == 3


def test_runs_of_one_method_with_other_settings_are_kept_apart(tmp_path: Path) -> None:
    a, b = write_run(tmp_path / "cold"), write_run(tmp_path / "warm", epochs=12)
    found = findings(read_source([a, b]))
    assert [group.label for group in found.groups] == ["supcon (cold)", "supcon (warm)"]


def test_the_table_ranks_methods_and_puts_untrained_last(tmp_path: Path) -> None:
    table = results_table(findings(read_source([write_comparison(tmp_path / "c")])))
    assert table is not None
    assert [row.method for row in table.rows] == ["supcon", "cross_entropy", "simclr", "untrained"]
    assert [column.selections for column in table.columns] == [("last", "validation")] * 3
    assert table.rows[-1].cells[0].span == 2
    assert table.rows[0].costs == ("3", "61,440", "6.4 s", "–")
    assert "40 test images; mean ± standard deviation over 3 seeds" in table.caption
    for row in table.rows:
        assert sum(cell.span for cell in row.cells) == 6


def test_an_interrupted_run_says_where_it_stopped(tmp_path: Path) -> None:
    run = write_run(
        tmp_path / "r",
        epochs=12,
        change={"complete": False, "measurements": [], "untrained": [], "train": {"epochs": 30}},
    )
    found = findings(read_source([run]))
    assert (
        headline(found).sentence
        == "supcon: interrupted before anything was measured (after 12 of 30 epochs)."
    )
    assert "`--resume` continues it" in missing(found.groups[0])[0]
    assert results_table(found) is None


def test_a_run_without_a_test_split_is_told_by_validation(tmp_path: Path) -> None:
    top = {"name": "linear_probe.top1", "split": "val", "selection": "last", "value": 0.9, "n": 359}
    data = {"name": "mine", "classes": ["a", "b"], "n_val": 359}
    run = write_run(
        tmp_path / "r",
        classes=("a", "b"),
        change={"measurements": [top], "untrained": [], "data": data},
    )
    found = findings(read_source([run]))
    assert (
        headline(found).sentence
        == "On mine, the supcon encoder gets 90.0 % of the validation images right."
    )
    assert any("no test split" in line for line in missing(found.groups[0]))


def _sicken(folder: Path, method: str, code: str = "undertrained") -> None:
    """A verdict on the second seed of a method."""
    verdict = {
        "code": code,
        "severity": "watch",
        "since_epoch": 10,
        "text": f"{code}. Try {method}.",
        "advice": f"Try {method}.",
    }
    _edit(folder / method / "seed1" / "results.json", verdicts=[verdict])


def test_a_method_that_has_hardly_learned_is_said_first_and_nothing_is_won(tmp_path: Path) -> None:
    folder = write_comparison(tmp_path / "c", larger=True)
    _sicken(folder, "simclr")
    told = headline(findings(read_source([folder])))
    assert told.sentence == (
        "simclr has hardly learned on digits; no comparison with it yet. Try simclr."
    )
    assert told.details.startswith("Of the others: supcon won on digits: ")
    _sicken(folder, "supcon", "collapsed")
    told = headline(findings(read_source([folder])))
    assert "won" not in told.sentence + told.details
    assert " is " not in told.details
    assert "supcon has collapsed and simclr has hardly learned on digits; no comparison yet." in (
        told.sentence
    )
    _sicken(folder, "supcon")
    assert _sentence(folder).startswith("supcon and simclr have hardly learned on digits; no")
    _sicken(folder, "simclr", "partial_collapse")
    assert _sentence(folder).startswith("supcon has hardly learned on digits; no comparison with")


def test_what_is_said_of_the_others_is_of_them_alone(tmp_path: Path) -> None:
    """supcon is above the start and has hardly learned; the others are below it."""
    folder = write_comparison(tmp_path / "c", larger=True)
    _sicken(folder, "supcon")
    table = json.loads((folder / "compare.json").read_text())["table"]
    supcon = next(e["mean"] for e in table if (e["method"], e["selection"]) == ("supcon", "last"))
    for entry in table:
        if entry["method"] == "untrained":
            entry["mean"] = supcon - 0.0001
    _edit(folder / "compare.json", table=table)
    told = headline(findings(read_source([folder])))
    first = told.details.partition(" Linear probe on")[0]
    assert first.startswith("Of the others: No method improved on the untrained encoder on digits:")
    assert "supcon" not in first
    assert "Try" not in first


def test_several_that_have_not_learned_are_each_told_what_to_try(tmp_path: Path) -> None:
    folder = write_comparison(tmp_path / "c", larger=True)
    _sicken(folder, "simclr")
    _sicken(folder, "supcon")
    advice = _sentence(folder).partition("; no comparison yet. ")[2]
    assert advice == "supcon: Try supcon. simclr: Try simclr."


def test_a_rate_for_one_of_several_methods_is_told_with_the_way_to_one_for_each(
    tmp_path: Path,
) -> None:
    folder = write_comparison(tmp_path / "c", larger=True)
    _sicken(folder, "simclr")
    results = folder / "simclr" / "seed1" / "results.json"
    (verdict,) = json.loads(results.read_text())["verdicts"]
    verdict["advice"] = "Try a higher learning rate (--set optimizer.lr=0.3)."
    _edit(results, verdicts=[verdict])
    way = "In a comparison --tune finds each method a rate of its own."
    assert _sentence(folder).endswith(f"(--set optimizer.lr=0.3). {way}")
    assert _sentence(folder / "simclr" / "seed1").endswith("(--set optimizer.lr=0.3).")


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        (f"{STILL_FALLS}: 31% of all that it fell", "not finished learning on digits"),
        (
            f"{LOST_EPOCHS} in 16 of 40 epochs",
            "learned nothing in a large part of its epochs on digits",
        ),
    ],
)
def test_other_kinds_of_undertrained_are_not_called_hardly_learned(
    tmp_path: Path, text: str, instead: str
) -> None:
    folder = write_comparison(tmp_path / "c", larger=True)
    _sicken(folder, "simclr")
    ill = {"code": "undertrained", "severity": "watch", "since_epoch": 10, "text": text}
    _edit(folder / "simclr" / "seed1" / "results.json", verdicts=[ill])
    assert _sentence(folder) == f"simclr has {instead}; no comparison with it yet."


def test_a_single_run_that_has_hardly_learned_is_told_so_before_its_score(tmp_path: Path) -> None:
    folder = write_comparison(tmp_path / "c")
    _sicken(folder, "simclr")
    told = headline(findings(read_source([folder / "simclr" / "seed1"])))
    assert told.sentence == "simclr has hardly learned on digits. Try simclr."
    assert told.details.startswith("Linear probe on the last epoch’s encoder")


def test_the_last_line_is_what_to_try_next(tmp_path: Path) -> None:
    folder = write_comparison(tmp_path / "c", larger=True)

    def steps(*paths: Path) -> list[str]:
        return next_steps(findings(read_source(paths)))

    use = "The doctor found nothing wrong. How to use the best run stands above, under “Use it”."
    assert steps(folder) == [use]
    run = folder / "supcon" / "seed0"
    assert steps(run)[0].endswith("nearfar compare DATA --methods cross_entropy,supcon")
    pairs = json.loads((folder / "compare.json").read_text())["comparisons"]
    for pair in pairs:
        pair["seeds_needed"] = 7
    _edit(folder / "compare.json", comparisons=pairs)
    (line,) = steps(folder)
    assert line.endswith("from cross_entropy it takes about 7 seeds: --seeds 7")
    _sicken(folder, "simclr")
    _sicken(folder, "supcon", "worse_than_start")
    assert steps(folder) == ["supcon: Try supcon.", "simclr: Try simclr."]
    page = render(read_source([folder]), base=tmp_path)
    last = page.partition("What to try next")[2].partition("</main>")[0]
    assert last.index("supcon: Try supcon.") < last.index("simclr: Try simclr.")
