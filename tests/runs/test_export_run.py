"""`nearfar export`: what is written is what others run, and says how images are shown to it."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import nearfar
from nearfar.api import export as api
from nearfar.nn import exporting
from nearfar.run_folder.folder import RunFolder


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    """Five digits' worth of normalized numbers, a batch that nothing was tried with."""
    return torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def onnx(tiny_run, tmp_path_factory, nearfar_session) -> tuple[dict, Path]:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    out = tmp_path_factory.mktemp("export") / "leaf.onnx"
    ended = nearfar_session("export", tiny_run, "--to", "onnx", "--int8", "--out", out, "--json")
    assert ended.code == 0, ended.err
    return json.loads(ended.out), out


def test_the_onnx_encoder_gives_the_run_s_representations_of_any_number_of_images(
    onnx, tiny_run, images
):
    import onnxruntime

    done, out = onnx
    assert done["out"] == str(out)
    assert 0 < done["max_difference"] < 1e-4
    assert done["images"] == "the run's images"
    model = nearfar.load(tiny_run)
    session = onnxruntime.InferenceSession(out)
    (x,) = session.run(None, {"images": images.numpy()})
    with torch.no_grad():
        assert np.allclose(x, model.encoder(images).numpy(), atol=1e-5)
    assert [one.name for one in session.get_outputs()] == ["embedding"]


def test_the_second_file_classifies_as_the_run_does(onnx, tiny_run, images):
    import onnxruntime

    done, out = onnx
    assert done["classifier"] == str(out.with_stem("leaf_classifier"))
    session = onnxruntime.InferenceSession(done["classifier"])
    x, shares = session.run(None, {"images": images.numpy()})
    wanted = nearfar.load(tiny_run).classify(x).probabilities
    assert np.allclose(shares, wanted, atol=1e-5)


def test_the_files_say_how_an_image_is_shown_and_what_the_classes_are(onnx, tiny_run):
    import onnxruntime

    done, _ = onnx
    about = RunFolder(tiny_run).read_encoder_file()
    for path in (done["out"], done["classifier"], done["int8"]["out"]):
        notes = onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map
        assert json.loads(notes["class_names"]) == list("0123456789")
        shown = json.loads(notes["preprocessing"])
        assert (shown["size"], shown["crop"], shown["channels"]) == (8, 1.0, "RGB")
        assert shown["mean"] == list(about.mean)
        assert json.loads(notes["architecture"]) == "conv4"


def test_eight_bits_are_smaller_and_what_they_cost_is_measured(onnx, tiny_run):
    done, out = onnx
    eight = done["int8"]
    assert Path(eight["out"]) == out.with_stem("leaf_int8")
    assert Path(eight["out"]).stat().st_size < out.stat().st_size
    results = json.loads((tiny_run / "results.json").read_text())
    (knn,) = [
        m["value"]
        for m in results["measurements"]
        if (m["name"], m["selection"]) == ("knn.top1", "last")
    ]
    assert eight["knn"] == pytest.approx(knn, abs=0.01)
    assert eight["n"] == 360
    assert eight["knn_int8"] > eight["knn"] - 0.05


def test_the_program_runs_in_torch_alone(tiny_run, tmp_path, images, nearfar_command):
    out = tmp_path / "e.pt2"
    ended = nearfar_command("export", tiny_run, "--to", "torch", "--out", out)
    assert ended.code == 0, ended.err
    assert f"{out}: the encoder" in ended.out
    assert f"{tmp_path / 'e_classifier.pt2'}: the encoder with the classifier" in ended.out
    assert "on the run's images, in batches of 1, 7 and 32" in ended.out
    notes = {"class_names.json": ""}
    program = torch.export.load(out, extra_files=notes)
    (x,) = program.module()(images)
    with torch.no_grad():
        assert torch.allclose(x, nearfar.load(tiny_run).encoder(images), atol=1e-5)
    assert json.loads(notes["class_names.json"]) == list("0123456789")


@pytest.mark.parametrize("fault", [2e-4, float("nan")])
@pytest.mark.parametrize("outputs", [1, 2])  # of the encoder, and of that with a classifier
def test_where_one_file_differs_none_is_written(
    tiny_run, tmp_path, nearfar_command, monkeypatch, fault, outputs
):
    real = exporting.ProgramEncoder.arrays

    def faulty(self, rows):
        found = real(self, rows)
        if len(rows) != 7 or len(found) != outputs:
            return found
        return (*found[:-1], found[-1] + np.float32(fault))

    monkeypatch.setattr(exporting.ProgramEncoder, "arrays", faulty)
    ended = nearfar_command("export", tiny_run, "--to", "torch", "--out", tmp_path / "e.pt2")
    assert ended.code == 2
    assert "its numbers differ by" in ended.err
    assert list(tmp_path.glob("*")) == []


def test_without_the_run_s_data_the_images_are_made(tiny_run, tmp_path):
    folder, model = RunFolder(tiny_run), nearfar.load(tiny_run)
    rows, images = api.example_rows(folder, model)
    assert (rows.shape, images) == ((32, 3, 8, 8), "the run's images")
    assert rows.is_contiguous()
    for source in ("gone/", "<Dataset>"):
        copy = RunFolder(tmp_path / source.strip("<>/"))
        copy.make()
        copy.write_config({"data": {"source": source}})
        made, images = api.example_rows(copy, model)
        assert (made.shape, images) == ((32, 3, 8, 8), "made images")
        assert len(made.flatten(1).unique(dim=0)) == 32


def test_for_timm_what_it_cannot_build_is_printed_as_lines(tiny_run, nearfar_command):
    ended = nearfar_command("export", tiny_run, "--to", "timm")
    assert ended.code == 0, ended.err
    names: dict = {}
    exec(ended.out, names)
    rows = torch.zeros(2, 3, 8, 8)
    with torch.no_grad():
        found = names["encoder"](rows)
        assert torch.allclose(found, nearfar.load(tiny_run).encoder(rows), atol=1e-5)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--to", "onnx", "--out", "e.pt2"), "want a file ending in .onnx for --to onnx"),
        (("--to", "torch", "--int8"), "--int8: wants --to onnx beside it, got torch"),
        (("--to", "timm", "--int8"), "--int8: wants --to onnx beside it, got timm"),
        (("--to", "timm", "--out", "e"), "--to timm writes nothing"),
        (("--to", "tensorflow"), "'tensorflow' is not one of"),
    ],
)
def test_what_does_not_go_together_is_refused(tiny_run, nearfar_command, options, said):
    ended = nearfar_command("export", tiny_run, *options)
    assert ended.code == 2
    assert said in ended.err


def test_a_missing_extra_is_a_plain_message(tiny_run, nearfar_command, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    ended = nearfar_command("export", tiny_run, "--to", "onnx")
    assert ended.code == 2
    assert "--to onnx: wants onnxscript" in ended.err
    assert "pip install 'nearfar[export]', or choose --to torch" in ended.err


def test_a_file_that_is_there_stays_unless_forced(tiny_run, tmp_path, nearfar_command):
    (tmp_path / "e_classifier.pt2").write_text("mine")
    ended = nearfar_command("export", tiny_run, "--to", "torch", "--out", tmp_path / "e.pt2")
    assert ended.code == 2
    assert "e_classifier.pt2 exists; replace it by --force" in ended.err
    assert [path.name for path in tmp_path.iterdir()] == ["e_classifier.pt2"]


def test_eight_bits_are_refused_before_anything_is_written(tiny_run, tmp_path, nearfar_command):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    out = tmp_path / "e.onnx"
    (tmp_path / "e_int8.onnx").write_text("mine")
    ended = nearfar_command("export", tiny_run, "--to", "onnx", "--int8", "--out", out)
    assert ended.code == 2
    assert "e_int8.onnx exists; replace it by --force" in ended.err
    copy = tmp_path / "run"
    shutil.copytree(tiny_run, copy)
    config = (copy / "run.toml").read_text().replace('source = "digits"', 'source = "gone/"')
    (copy / "run.toml").write_text(config)
    ended = nearfar_command("export", copy, "--to", "onnx", "--int8", "--out", out, "--force")
    assert ended.code == 2
    assert "gone/: no such file or folder" in ended.err
    assert [path.name for path in tmp_path.glob("*.onnx")] == ["e_int8.onnx"]


def test_eight_bits_are_measured_with_the_labels_that_the_run_had(tmp_path, nearfar_command):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    run = nearfar.train(
        "digits", method="simclr", epochs=1, out=tmp_path / "run", quiet=True,
        **{"data.labels_per_class": 3, "evaluate.probes": ["knn"]},
    )  # fmt: skip
    ended = nearfar_command("export", run.path, "--to", "onnx", "--int8", "--json")
    assert ended.code == 0, ended.err
    (knn,) = [
        m["value"]
        for m in run.results["measurements"]
        if (m["name"], m["selection"]) == ("knn.top1", "last")
    ]
    assert json.loads(ended.out)["int8"]["knn"] == pytest.approx(knn, abs=0.01)


def test_for_timm_a_module_of_the_user_is_printed_as_lines(tmp_path, nearfar_command):
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 4))
    run = nearfar.train(
        "digits", method="simclr", encoder=module, epochs=1, out=tmp_path / "run", quiet=True,
        **{"evaluate.probes": ["knn"]},
    )  # fmt: skip
    ended = nearfar_command("export", run.path, "--to", "timm")
    assert ended.code == 0, ended.err
    assert "This encoder is a module of your own" in ended.out
