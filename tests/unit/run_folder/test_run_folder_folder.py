"""One door: what is written is read back, what is wrong is named, and who does not write touches
nothing.
"""

import inspect
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from run_folder_records import BY_CLASS, COMPARISON, ELSEWHERE, ENCODER, RESULTS, TOP1

from nearfar.core.errors import RunError
from nearfar.run_folder import names
from nearfar.run_folder.comparison import Tuning
from nearfar.run_folder.folder import RunFolder
from nearfar.run_folder.records import Stopped

STATE = {"weight": torch.arange(6.0).reshape(2, 3).T, "bias": torch.ones(2, requires_grad=True)}
TIMM = {"architecture": "conv4 (nearfar)", "num_classes": 0}
STOPPED = Stopped(code="diverged", epoch=2, text="nan")
WRITES: dict[str, Callable[[RunFolder], None]] = {
    "make": lambda folder: folder.make(),
    "clear": lambda folder: folder.clear(),
    "remove": lambda folder: folder.remove(names.RESULTS),
    "write_config": lambda folder: folder.write_config({"train": {"epochs": 3}}),
    "write_environment": lambda folder: folder.write_environment({"python": "3.13", "git": None}),
    "write_views": lambda folder: folder.write_views(b"png"),
    "write_encoder": lambda folder: folder.write_encoder(STATE, ENCODER, TIMM),
    "write_encoder_file": lambda folder: folder.write_encoder_file(ENCODER),
    "write_classifier": lambda folder: folder.write_classifier(
        {"weight": np.eye(2), "bias": np.ones(2)}
    ),
    "write_best_classifier": lambda folder: folder.write_best_classifier(STATE),
    "write_tensors": lambda folder: folder.write_tensors(names.CLASSIFIER, STATE, {"a": "b"}),
    "write_results": lambda folder: folder.write_results(RESULTS),
    "write_stopped": lambda folder: folder.write_stopped(STOPPED),
    "append_metrics": lambda folder: folder.append_metrics({"epoch": 1, "loss": 0.5}),
    "append_classifier_metrics": lambda folder: folder.append_classifier_metrics({"epoch": 1}),
    "keep_metrics_until": lambda folder: folder.keep_metrics_until(0),
    "keep_classifier_metrics_until": lambda folder: folder.keep_classifier_metrics_until(0),
    "write_embeddings": lambda folder: folder.write_embeddings({"labels": np.arange(3)}),
    "write_reference": lambda folder: folder.write_reference({"train": np.zeros((2, 3))}),
    "write_comparison": lambda folder: folder.write_comparison(COMPARISON),
    "write_trials": lambda folder: folder.write_trials(Tuning(method="supcon")),
}


def content(path: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()
    }


def written(path: Path) -> RunFolder:
    """A folder in which everything stands."""
    folder = RunFolder(path)
    for name in WRITES:
        if name not in ("clear", "remove"):
            WRITES[name](folder)
    folder.append_metrics({"epoch": 1, "loss": 0.5})
    folder.append_classifier_metrics({"epoch": 1, "accuracy": 1.0})
    return folder


def test_the_walk_knows_every_method_that_writes():
    found = {
        name
        for name, method in inspect.getmembers(RunFolder, inspect.isfunction)
        if not name.startswith(("_", "read_")) and name != "has"
    }
    assert found == set(WRITES)


@pytest.mark.parametrize("name", list(WRITES))
def test_who_does_not_write_touches_nothing(tmp_path, name):
    WRITES[name](RunFolder(tmp_path / "none", writes=False))
    assert not (tmp_path / "none").exists()
    path = written(tmp_path / "run").path
    before = content(path)
    assert len(before) == 15
    WRITES[name](RunFolder(path, writes=False))
    assert content(path) == before


def test_who_does_not_write_reads(tmp_path):
    folder = RunFolder(written(tmp_path / "run").path, writes=False)
    assert folder.read_results() == RESULTS
    assert folder.read_metrics()[0].loss == 0.5


def test_each_record_is_read_back_as_it_was_written(tmp_path):
    folder = written(tmp_path / "run")
    assert folder.read_results() == RESULTS
    assert folder.read_encoder_file() == ENCODER
    assert folder.read_stopped() == STOPPED
    assert folder.read_comparison() == COMPARISON
    assert folder.read_environment().as_json() == {"python": "3.13", "git": None}
    assert folder.read_config() == {"train": {"epochs": 3}}
    assert [epoch.numbers for epoch in folder.read_metrics()] == [{"epoch": 1.0, "loss": 0.5}]
    assert folder.read_classifier_metrics()[0].numbers == {"epoch": 1.0, "accuracy": 1.0}
    assert folder.read_embeddings()["labels"].tolist() == [0, 1, 2]
    assert (folder.path / names.VIEWS).read_bytes() == b"png"


def test_the_encoder_s_folder_holds_what_timm_reads_and_what_nearfar_knows(tmp_path):
    folder = written(tmp_path / "run")
    config = json.loads((folder.path / "encoder" / "config.json").read_text())
    assert {key: config[key] for key in TIMM} == TIMM
    assert config["nearfar"] == ENCODER.as_json()
    folder.write_encoder_file(ENCODER.model_copy(update={"class_names": ("c",)}))
    assert folder.read_encoder_file().class_names == ("c",)
    again = json.loads((folder.path / "encoder" / "config.json").read_text())
    assert {key: again[key] for key in TIMM} == TIMM


def test_tensors_are_read_back_with_their_header_whatever_storage_they_shared(tmp_path):
    folder = written(tmp_path / "run")
    for name in (names.ENCODER, names.CLASSIFIER):
        found = folder.read_tensors(name)
        assert set(found) == set(STATE)
        assert all(torch.equal(found[key], STATE[key]) for key in STATE)
    assert folder.read_header(names.CLASSIFIER) == {"a": "b"}
    assert folder.read_header(names.ENCODER) == {}


def test_data_stand_in_the_file_only_where_they_are_others():
    assert "data" not in TOP1.as_json()
    assert ELSEWHERE.as_json()["data"] == "other"
    assert BY_CLASS.as_json()["value"] == [1.0, None]
    assert BY_CLASS.number is None
    assert RESULTS.own == (TOP1, BY_CLASS)


def test_a_key_of_a_newer_version_is_passed_over_and_kept(tmp_path):
    folder = written(tmp_path / "run")
    for name in (names.RESULTS, names.COMPARE, names.STOPPED):
        path = folder.path / name
        path.write_text(json.dumps({**json.loads(path.read_text()), "of_tomorrow": [1]}))
    path = folder.path / names.ENCODER_CONFIG
    config = json.loads(path.read_text())
    config["nearfar"]["of_tomorrow"] = [1]
    path.write_text(json.dumps(config))
    found = folder.read_results()
    assert found.model_copy(update={"nearfar": "0.2.0"}).own == RESULTS.own
    assert found.as_json() == {**RESULTS.as_json(), "of_tomorrow": [1]}
    assert folder.read_encoder_file().mean == ENCODER.mean
    assert folder.read_comparison().table == COMPARISON.table
    assert folder.read_stopped() is not None


REQUIRED = {
    names.RESULTS: {"method", "data", "shown", "judged_by"},
    names.COMPARE: {"shown", "judged_by"},
    names.ENCODER_CONFIG: {
        "architecture",
        "library",
        "stem",
        "input_size",
        "eval_crop",
        "mean",
        "std",
        "class_names",
    },
    names.STOPPED: {"code", "epoch", "text"},
}


@pytest.mark.parametrize(
    ("name", "key"), [(name, key) for name, keys in REQUIRED.items() for key in sorted(keys)]
)
def test_a_missing_key_is_an_error_that_names_file_key_and_remedy(tmp_path, name, key):
    folder = written(tmp_path / "run")
    without(folder.path / name, key)
    where = f"{name}: nearfar" if name == names.ENCODER_CONFIG else name
    message = rf"{where}: {key}: Field required; train again with --force"
    with pytest.raises(RunError, match=message):
        read(folder, name)


@pytest.mark.parametrize("key", ["name", "title", "unit", "better"])
def test_a_measurement_without_what_it_says_of_itself_is_an_error(tmp_path, key):
    folder = written(tmp_path / "run")
    for name, part in ((names.RESULTS, "measurements"), (names.COMPARE, "table")):
        path = folder.path / name
        record = json.loads(path.read_text())
        del record[part][0][key]
        path.write_text(json.dumps(record))
        with pytest.raises(RunError, match=rf"{name}: {part}\.0\.{key}: Field required"):
            read(folder, name)


def without(path: Path, key: str) -> None:
    record = json.loads(path.read_text())
    del (record["nearfar"] if path.name == names.ENCODER_CONFIG.name else record)[key]
    path.write_text(json.dumps(record))


def read(folder: RunFolder, name: str) -> object:
    readers = {
        names.RESULTS: folder.read_results,
        names.COMPARE: folder.read_comparison,
        names.ENCODER_CONFIG: folder.read_encoder_file,
        names.STOPPED: folder.read_stopped,
        names.RUN_TOML: folder.read_config,
        names.ENVIRONMENT: folder.read_environment,
        names.EMBEDDINGS: folder.read_embeddings,
        names.ENCODER: folder.read_encoder,
        names.CLASSIFIER: lambda: folder.read_header(names.CLASSIFIER),
    }
    return readers[name]()


@pytest.mark.parametrize(
    "name", [names.RESULTS, names.COMPARE, names.ENCODER_CONFIG, names.STOPPED, names.ENVIRONMENT,
             names.RUN_TOML, names.EMBEDDINGS, names.ENCODER, names.CLASSIFIER]
)  # fmt: skip
def test_a_file_cut_short_is_named_with_the_remedy(tmp_path, name):
    path = written(tmp_path / "run").path
    whole = (path / name).read_bytes()
    (path / name).write_bytes(whole[: len(whole) - 3])
    with pytest.raises(RunError, match=rf"{name}.*cut short.*; do this") as caught:
        read(RunFolder(path, remedy="do this"), name)
    assert "train again" not in str(caught.value)


def test_a_missing_file_says_what_there_is_instead(tmp_path):
    with pytest.raises(RunError, match="nowhere: want a run folder, got no such folder"):
        RunFolder(tmp_path / "nowhere").read_results()
    with pytest.raises(RunError, match=r"want a run folder, got one without results\.json"):
        RunFolder(tmp_path).read_results()
    folder = written(tmp_path / "run")
    folder.remove(names.EMBEDDINGS)
    with pytest.raises(RunError, match=r"embeddings\.npz is missing: the run is not complete"):
        folder.read_embeddings()
    called = written(tmp_path / "encoder")  # as the folder of a run's own encoder is called
    called.remove(names.EMBEDDINGS)
    with pytest.raises(RunError, match=r"embeddings\.npz is missing: .*--out .*/encoder --resume"):
        called.read_embeddings()
    folder.remove(names.STOPPED)
    assert folder.read_stopped() is None
    folder.remove(names.STOPPED)


def test_a_folder_that_cannot_be_made_or_removed_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"--out: .* cannot be written \(Not a directory\)"):
        RunFolder(tmp_path / "file" / "run").make()
    folder = written(tmp_path / "run")
    (folder.path / "checkpoint").mkdir(exist_ok=True)

    def refuse(_path: Path) -> None:
        raise OSError(13, "Permission denied")

    monkeypatch.setattr("nearfar.run_folder.folder.shutil.rmtree", refuse)
    with pytest.raises(RunError, match=r"--force: .* cannot be removed \(Permission denied\)"):
        folder.clear()
    monkeypatch.undo()
    folder.clear()
    assert list(folder.path.iterdir()) == []
    folder.clear()
