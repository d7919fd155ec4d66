"""Runs that 0.1.0 wrote open in report, predict, embed, probe and check."""

import json
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import nearfar
from nearfar.api.check_run import check_run
from nearfar.api.embed import embed
from nearfar.api.predict import predict
from nearfar.api.probe import probe
from nearfar.core.errors import RunError
from nearfar.report import write_report
from nearfar.run_folder import names, older
from nearfar.run_folder.folder import RunFolder
from nearfar.views.reading import read_policy

HERE = Path(__file__).parent
RUN = HERE / "run_0_1_0"  # supcon on the digits for two epochs, without its checkpoint
GRAY = HERE / "gray_0_1_0"  # its own policy, with op and outside "grey"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(RUN, tmp_path / "run"))


def test_the_runs_are_0_1_0_s_and_written_with_its_words():
    for run in (RUN, GRAY):
        assert json.loads((run / names.RESULTS).read_text())["nearfar"] == "0.1.0"
        assert "normalise_representation" in (run / names.RUN_TOML).read_text()
    assert nearfar.__version__ != "0.1.0"
    assert '"grey"' in (GRAY / names.RUN_TOML).read_text()


def test_old_keys_and_values_of_run_toml_are_read_as_those_of_today():
    method = RunFolder(RUN).read_config()["method"]
    assert method["normalize_representation"] is True
    assert "normalise_representation" not in method
    policy = RunFolder(GRAY).read_config()["views"]["policy"]
    assert "grey" not in json.dumps(policy)
    assert policy["outside"] == "gray"
    assert policy["operations"][2]["among"][0][0] == {"op": "gray", "probability": 0.5}
    assert read_policy(policy).describe(2, 8) == "2"
    assert RunFolder(RUN).read_config()["data"]["sampling"] == "uniform"
    balanced = {"data": {"balanced": True}}
    assert older.config(balanced) == {"data": {"sampling": "balanced"}}
    sections = {"views": {"policy": "grey"}, "method": {"name": "grey"}, "data": {"source": "grey"}}
    assert older.config(sections) == sections
    assert RunFolder(RUN).read_config()["encoder"]["frozen_batch_norm"] is False
    kept = {"encoder": {"frozen_batch_norm": True}}
    assert older.config(kept) == kept
    for norm, now in ((True, "hidden"), (False, "none")):
        method = older.config({"method": {"name": "dino", "batch_norm": norm}})["method"]
        assert method == {"name": "dino", "projector_batch_norm": now}


def test_old_results_have_title_unit_and_better_and_say_what_is_shown():
    results = RunFolder(RUN).read_results()
    assert len(results.measurements) == 14
    assert {(m.unit, m.better) for m in results.measurements} == {("fraction", "higher")}
    titles = {m.name: m.title for m in results.measurements}
    assert titles == {
        "linear_probe.top1": "linear probe",
        "linear_probe.balanced_accuracy": "linear probe, balanced",
        "linear_probe.per_class": "linear probe by class",
        "knn.top1": "kNN",
        "knn.balanced_accuracy": "kNN, balanced",
        "knn.per_class": "kNN by class",
        "few_label_probe.top1@10": "10 labels a class",
    }
    assert results.shown == ("linear_probe.top1", "knn.top1", "few_label_probe.top1@10")
    assert results.judged_by.name == "linear_probe.top1"
    assert older.title_of("head.top1") == "own head"
    assert older.title_of("classifier.top1") == "classifier stage"
    assert older.title_of("few_label_probe.top1@5") == "5 labels a class"
    assert older.title_of("of_tomorrow.top1") == "of_tomorrow.top1"


def test_old_results_written_anew_are_the_same_but_for_what_is_added():
    """To the letter, in the same order."""
    results = RunFolder(RUN).read_results().as_json()
    for m in [*results["measurements"], *results["untrained"]]:
        for key in ("title", "unit", "better"):
            del m[key]
    counts = results["confusion"]["counts"]
    right = sum(row[at] for at, row in enumerate(counts)) / sum(map(sum, counts))
    by = results.pop("predicted_by")
    assert (by["name"], by["title"], by["encoder"]) == ("linear_probe", "linear probe", "frozen")
    assert (by["validation"], by["test"]) == (None, right)
    del results["shown"], results["judged_by"], results["verdicts"]
    added = {"n_test_seen": 0, "n_withheld": 0, "n_mislabeled": 0, "class_counts": []}
    added |= dict.fromkeys(("labels_per_class", "label_fraction", "label_noise"))
    assert {key: results["data"].pop(key) for key in added} == added
    assert results["train"].pop("class_draws") == []
    assert results["confusion"]["by"] == "linear probe"
    results["confusion"]["by"] = "linear_probe"
    assert json.dumps(results) == json.dumps(json.loads((RUN / names.RESULTS).read_text()))
    encoder = RunFolder(RUN).read_encoder_file().as_json()
    assert encoder.pop("interpolation") == "bilinear"
    assert (encoder.pop("gray_white"), encoder.pop("float_white")) == (65535, None)
    assert encoder == json.loads((RUN / "encoder.json").read_text())


def test_the_encoder_of_an_older_run_stands_where_it_stood_until_it_is_written_anew(copy):
    folder = RunFolder(copy)
    about, state = folder.read_encoder_file(), folder.read_encoder()
    assert folder.encoder_config.name == "encoder.json"
    folder.write_encoder_file(about.model_copy(update={"class_names": ("a", "b")}))
    assert folder.read_encoder_file().class_names == ("a", "b")
    assert not (copy / "encoder").exists()
    folder.write_encoder(state, about, {"architecture": "conv4 (nearfar)"})
    assert not {"encoder.json", "encoder.safetensors"} & {path.name for path in copy.iterdir()}
    assert folder.read_encoder_file() == about
    again = folder.read_encoder()
    assert all(torch.equal(state[name], again[name]) for name in state)


def test_an_older_run_with_a_stage_predicts_by_it():
    stage = {"kind": "mlp", "encoder": "finetuned"}
    counts = {"by": "classifier", "counts": [[3, 1], [0, 4]]}
    content = {"nearfar": "0.1.0", "classifier": stage, "confusion": counts}
    by = older.results(content)["predicted_by"]
    known = {"name": "stage", "title": "classifier stage", "encoder": "finetuned", "test": 7 / 8}
    assert by == known
    damaged = {**content, "confusion": {**counts, "counts": [[3], None]}}
    assert "test" not in older.results(damaged)["predicted_by"]


def test_what_a_measurement_of_an_older_run_says_of_itself_stays():
    """`nearfar probe` adds to the results of older runs."""
    added = {"name": "calibration.ece", "title": "ECE", "unit": "nats", "better": "lower"}
    content = {"nearfar": "0.1.0", "measurements": [added], "shown": ["calibration.ece"]}
    found = older.results(content)
    assert found["measurements"] == [added]
    assert found["shown"] == ["calibration.ece"]


def test_a_comparison_of_0_1_0_is_read(tmp_path):
    entry = {"split": None, "selection": None, "mean": 2.0, "sd": None, "seeds": 1}
    table = [
        {"method": "supcon", "name": "cost.train_seconds", **entry},
        {"method": "supcon", "name": "cost.peak_memory_bytes", **entry},
        {"method": "supcon", "name": "knn.top1", **entry, "split": "test", "selection": "last"},
    ]
    (tmp_path / names.COMPARE).write_text(json.dumps({"nearfar": "0.1.0", "table": table}))
    found = RunFolder(tmp_path).read_comparison()
    assert [(e.unit, e.better) for e in found.table] == [
        ("seconds", "lower"),
        ("bytes", "lower"),
        ("fraction", "higher"),
    ]
    assert found.shown == ("knn.top1",)
    (tmp_path / names.COMPARE).write_text(json.dumps({"nearfar": "0.2.0", "table": table}))
    with pytest.raises(RunError, match=r"compare\.json: table\.0\.title: Field required"):
        RunFolder(tmp_path).read_comparison()


def test_the_arrays_have_the_names_of_today():
    with np.load(RUN / names.EMBEDDINGS) as arrays:
        before = arrays["neighbours"]
    found = RunFolder(RUN).read_embeddings()
    assert (found["neighbors"] == before).all()
    assert "neighbours" not in found


def test_it_opens_in_report(tmp_path):
    html = write_report([RUN], tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<h1>On digits, the supcon encoder gets" in html
    assert "<canvas" in html
    assert "normalise_representation" in html  # the configuration as it stands
    assert "is missing" not in html
    assert "load_file(&#39;" in html and "/encoder.safetensors&#39;)" in html
    html = write_report([GRAY], tmp_path / "gray.html").read_text(encoding="utf-8")
    assert "linear_probe.top1 was not measured" in html


def test_it_opens_in_predict(tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(np.full((8, 8, 3), 90, np.uint8)).save(path)
    (found,) = predict(RUN, [path], quiet=True)["predictions"]
    assert found["class"] in "0123456789"


def test_it_opens_in_embed_and_gives_what_it_gave(tmp_path):
    out = tmp_path / "x.npz"
    embed(RUN, "digits", out, quiet=True)
    then = RunFolder(RUN).read_embeddings()
    with np.load(out) as now:
        row = {path: at for at, path in enumerate(now["paths"].tolist())}
        chosen = [row[path] for path in then["paths"].tolist()]
        np.testing.assert_allclose(now["embeddings"][chosen], then["embeddings"], atol=0.05)


def test_it_opens_in_probe_and_its_results_are_read_with_what_was_added(copy):
    before = RunFolder(copy).read_results()
    probe(copy, kind="linear", labels_per_class=5, quiet=True)
    after = RunFolder(copy).read_results()
    assert after.measurements[:-1] == before.measurements
    assert after.measurements[-1].title == "5 labels a class"
    assert after.measurements[-1].unit == "fraction"


def test_it_opens_in_check():
    assert check_run(RUN).verdicts == []
    assert check_run(GRAY).verdicts == []


def test_a_missing_key_of_0_1_0_is_an_error_too(copy):
    results = json.loads((copy / names.RESULTS).read_text())
    del results["measurements"][0]["name"]
    (copy / names.RESULTS).write_text(json.dumps(results))
    with pytest.raises(RunError, match=r"results\.json: measurements\.0\.name: Field required"):
        RunFolder(copy).read_results()


@pytest.mark.parametrize("damaged", [None, 7, [3], {"a": 1}])
def test_damaged_results_of_0_1_0_are_refused_by_name(copy, damaged):
    results = json.loads((copy / names.RESULTS).read_text())
    (copy / names.RESULTS).write_text(json.dumps({**results, "measurements": damaged}))
    with pytest.raises(RunError, match=r"results\.json: measurements.*; train again"):
        RunFolder(copy).read_results()


def test_no_old_key_is_left_in_what_is_read():
    """Of all that stands in both runs' run.toml."""
    for run in (RUN, GRAY):
        text = (run / names.RUN_TOML).read_text()
        read = RunFolder(run).read_config()
        assert read != tomllib.loads(text)
        nearfar_keys = {f"{section}.{key}" for section, values in read.items() for key in values}
        assert not [key for key in nearfar_keys if "normalise" in key or "centre" in key]
