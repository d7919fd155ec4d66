"""What a run leaves behind, whatever stops it; and what is called out of memory."""

import errno
import json

import pytest
import torch
from experiment_setups import decided

import nearfar
from nearfar.core.errors import DivergedError, TrainingStoppedError, UserError
from nearfar.experiment import run as run_module
from nearfar.experiment.setup import Setup
from nearfar.experiment.stopping import is_out_of_memory
from nearfar.run_folder import names
from nearfar.run_folder.folder import RunFolder

ASKED = {
    "train.batch_size": 128,
    "train.steps_per_epoch": 2,
    "evaluate.probes": ["knn"],
    "evaluate.map_rows": 20,
    "evaluate.selections": 0,
}


def stopped_by(error, tmp_path, monkeypatch):
    """A run of three epochs of which the second is stopped as its row is written."""
    real = RunFolder.append_metrics

    def stop(folder, row):
        if row["epoch"] == 2:
            raise error
        real(folder, row)

    monkeypatch.setattr(RunFolder, "append_metrics", stop)
    out = tmp_path / "run"
    with pytest.raises(BaseException) as raised:
        nearfar.train("digits", method="supcon", epochs=3, out=out, quiet=True, **ASKED)
    return out, raised.value


@pytest.mark.parametrize(
    ("error", "seen", "said"),
    [
        (KeyboardInterrupt(), KeyboardInterrupt, None),
        (DivergedError("the loss is nan"), DivergedError, "the loss is nan"),
        (TrainingStoppedError("nothing to compare"), TrainingStoppedError, "nothing to compare"),
        (torch.OutOfMemoryError("CUDA out of memory"), TrainingStoppedError, "out of memory with"),
        (MemoryError(), TrainingStoppedError, "out of memory with"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9"),
            TrainingStoppedError,
            "out of memory with",
        ),
        (OSError(errno.ENOSPC, "No space left"), TrainingStoppedError, "make room"),
        (RuntimeError("a fault of ours"), RuntimeError, "a fault of ours"),
        (ZeroDivisionError("division"), ZeroDivisionError, "division"),
        (SystemExit(3), SystemExit, "3"),
    ],
)
def test_whatever_stops_a_run_its_last_complete_epoch_is_usable(
    tmp_path, monkeypatch, error, seen, said
):
    out, raised = stopped_by(error, tmp_path, monkeypatch)
    assert type(raised) is seen
    assert nearfar.load(out).embed([torch.zeros(8, 8, 3, dtype=torch.uint8).numpy()]).shape == (
        1,
        64,
    )
    results = RunFolder(out).read_results()
    assert not results.complete
    assert "interrupted after epoch 1 of 3; --resume continues" in results.diagnosis
    why = RunFolder(out).read_stopped()
    if said is None:
        assert why is None
    else:
        assert said in why.text and why.epoch == 2
        assert why.code == ("diverged" if seen is DivergedError else "stopped")
        assert any(said in line for line in results.diagnosis)


def test_a_disk_that_stays_full_does_not_hide_why_the_run_stopped(tmp_path, monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    real = run_module.save_checkpoint
    out = tmp_path / "run"

    def full_from_now_on(path, *rest):
        real(path, *rest)
        for write in ("append_metrics", "write_encoder", "write_results", "write_stopped"):
            monkeypatch.setattr(RunFolder, write, full)

    monkeypatch.setattr(run_module, "save_checkpoint", full_from_now_on)
    with pytest.raises(TrainingStoppedError, match=r"No space left on device.*make room.*--resume"):
        nearfar.train("digits", method="supcon", epochs=2, out=out, quiet=True, **ASKED)
    assert (out / names.CHECKPOINT).exists()
    assert not (out / names.STOPPED).exists()


def test_a_run_that_was_stopped_so_goes_on(tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        out, _ = stopped_by(MemoryError(), tmp_path, patched)
    again = nearfar.train(
        "digits", method="supcon", epochs=3, out=out, resume=True, quiet=True, **ASKED
    )
    assert again.results["complete"]
    assert not (out / names.STOPPED).exists()
    rows = [json.loads(line) for line in (out / names.METRICS).read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2, 3]


def test_a_run_that_is_interrupted_as_it_takes_up_again_says_how_far_it_was(
    tmp_path, monkeypatch, capsys
):
    with monkeypatch.context() as patched:
        out, _ = stopped_by(MemoryError(), tmp_path, patched)

    def interrupt(*_args):
        raise KeyboardInterrupt

    monkeypatch.setattr(run_module, "measure_untrained", interrupt)
    with pytest.raises(KeyboardInterrupt):
        nearfar.train("digits", method="supcon", epochs=3, out=out, resume=True, **ASKED)
    assert "stopped after epoch 1 of 3; continue" in capsys.readouterr().err


def test_what_a_user_can_mend_before_anything_has_begun_leaves_nothing_new(tmp_path, monkeypatch):
    def refuse(*_args):
        raise UserError("mend it")

    monkeypatch.setattr(run_module, "measure_untrained", refuse)
    with pytest.raises(UserError, match="mend it"):
        nearfar.train(
            "digits", method="supcon", epochs=1, out=tmp_path / "run", quiet=True, **ASKED
        )
    assert not (tmp_path / "run" / names.STOPPED).exists()
    assert not (tmp_path / "run" / names.RESULTS).exists()


def test_a_user_s_fault_after_training_leaves_what_any_other_stop_leaves(tmp_path, monkeypatch):
    def refuse(*_args):
        raise UserError("an evaluator of your own cannot go on")

    monkeypatch.setattr(run_module, "evaluate_run", refuse)
    out = tmp_path / "run"
    with pytest.raises(UserError, match="cannot go on"):
        nearfar.train("digits", method="supcon", epochs=1, out=out, quiet=True, **ASKED)
    assert not RunFolder(out).read_results().complete
    assert "cannot go on" in RunFolder(out).read_stopped().text
    assert (out / names.ENCODER).exists()


@pytest.mark.parametrize(
    ("error", "memory"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("x"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate"
                      " 12 bytes."), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (RuntimeError("the allocation of labels to classes failed"), False),
        (RuntimeError("memory format option is only supported by strided tensors"), False),
        (ValueError("can't allocate memory"), False),
    ],
)  # fmt: skip
def test_only_what_the_allocators_say_is_called_out_of_memory(error, memory):
    assert is_out_of_memory(error) is memory


def test_a_setup_of_the_same_configuration_is_equal():
    assert isinstance(decided(), Setup)
    assert decided() == decided()
