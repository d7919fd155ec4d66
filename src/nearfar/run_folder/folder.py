"""One run's folder, or a comparison's: all that is written to it and read from it."""

import io
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import tomli_w

from nearfar.core.errors import RunError
from nearfar.core.writing import write_bytes
from nearfar.run_folder import metrics, names, older, reading
from nearfar.run_folder.comparison import ComparisonResults, Tuning
from nearfar.run_folder.records import EncoderFile, Environment, EpochMetrics, Results, Stopped

if TYPE_CHECKING:
    from torch import Tensor

Sections = dict[str, dict[str, Any]]
OWN = "nearfar"  # the part of the encoder's config.json that timm does not read


@final
class RunFolder:
    """Where `writes` is False, as on a rank that does not write, every method that would change the
    folder does nothing; reading works all the same.

    Files are written whole or not at all; OSError passes where they cannot be. What is missing,
    damaged or lacks a key is a RunError that names it and ends with the `remedy`.
    """

    def __init__(
        self, path: Path, *, writes: bool = True, remedy: str = reading.TRAIN_AGAIN
    ) -> None:
        self.path = path
        self.writes = writes
        self.remedy = remedy

    @property
    def checkpoint(self) -> Path:
        return self.path / names.CHECKPOINT

    @property
    def classifier_checkpoint(self) -> Path:
        return self.path / names.CLASSIFIER_CHECKPOINT

    @property
    def encoder_weights(self) -> Path:
        """The name of the file with the encoder's weights."""
        return older.standing(self.path, names.ENCODER)

    @property
    def encoder_config(self) -> Path:
        """The name of the file that says how the encoder is built."""
        return older.standing(self.path, names.ENCODER_CONFIG)

    def write_best_classifier(self, state: "Mapping[str, Tensor]") -> None:
        """What a classifier stage has trained, of the epoch that is best on validation so far."""
        if self.writes:
            self.checkpoint.parent.mkdir(exist_ok=True)
            self.write_tensors(names.CLASSIFIER_BEST, state)

    def has(self, name: str | Path) -> bool:
        return (self.path / name).exists()

    def make(self) -> None:
        """Creates the folder. RunError: it cannot be written."""
        if self.writes:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise RunError(
                    f"--out: {self.path} cannot be written ({error.strerror})"
                ) from error

    def clear(self) -> None:
        """What stood in it goes, but the lock: the folder may be a mount. RunError: it cannot."""
        if not self.writes:
            return
        try:
            for path in self.path.iterdir() if self.path.exists() else ():
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                elif path.name != names.LOCK:
                    path.unlink()
        except OSError as error:
            raise RunError(f"--force: {self.path} cannot be removed ({error.strerror})") from error

    def remove(self, name: str | Path) -> None:
        """The file of this name goes, if it is there."""
        if self.writes:
            (self.path / name).unlink(missing_ok=True)

    def write_config(self, sections: Mapping[str, Mapping[str, Any]]) -> None:
        self._write(names.RUN_TOML, tomli_w.dumps(sections).encode())

    def read_config(self) -> Sections:
        """The sections of run.toml; those that an older version wrote, under the keys of today."""
        return older.config(reading.read_toml(self.path / names.RUN_TOML, self.remedy))

    def read_config_text(self) -> str:
        """run.toml as it stands."""
        return reading.read_text(self.path / names.RUN_TOML, self.remedy)

    def write_environment(self, environment: Mapping[str, Any]) -> None:
        self._write_json(names.ENVIRONMENT, environment)

    def read_environment(self) -> Environment:
        return Environment.read(*self._json(names.ENVIRONMENT))

    def write_views(self, png: bytes) -> None:
        self._write(names.VIEWS, png)

    def write_encoder(
        self, state: "Mapping[str, Tensor]", about: EncoderFile, config: Mapping[str, Any]
    ) -> None:
        """The encoder's folder: its weights, and in one file what timm reads (`config`) and what
        nearfar knows. Where an older version wrote them, they go.
        """
        if not self.writes:
            return
        (self.path / names.ENCODER).parent.mkdir(exist_ok=True)
        self.write_tensors(names.ENCODER, state)
        self._write_json(names.ENCODER_CONFIG, {**config, OWN: about.as_json()})
        for file in older.FILES.values():
            self.remove(file)

    def write_encoder_file(self, about: EncoderFile) -> None:
        """In place of the one that stands there."""
        if not self.writes:
            return
        content, _, _ = self._json(self.encoder_config)
        is_older = self.encoder_config != names.ENCODER_CONFIG
        self._write_json(
            self.encoder_config, about.as_json() if is_older else {**content, OWN: about.as_json()}
        )

    def read_encoder_file(self) -> EncoderFile:
        content, where, remedy = self._json(self.encoder_config)
        if self.encoder_config == names.ENCODER_CONFIG:
            content, where = content.get(OWN, {}), f"{where}: {OWN}"
        return EncoderFile.read(content, where, remedy)

    def read_encoder(self) -> "dict[str, Tensor]":
        """Its weights."""
        return self.read_tensors(self.encoder_weights)

    def write_tensors(
        self,
        name: str | Path,
        tensors: "Mapping[str, Tensor]",
        header: dict[str, str] | None = None,
    ) -> None:
        """A safetensors file of copies on the CPU; `header` stands in it."""
        if not self.writes:
            return
        from safetensors.torch import save

        own = {key: tensor.detach().cpu().contiguous().clone() for key, tensor in tensors.items()}
        self._write(name, save(own, metadata=header))

    def write_classifier(
        self, arrays: Mapping[str, Any], finetuned: "Mapping[str, Tensor] | None" = None
    ) -> None:
        """classifier.safetensors: scores = representation @ weight.T + bias, of the arrays weight
        (C, E) and bias (C,); with an MLP also hidden.weight and hidden.bias, of the layer before.

        Its header says whether it goes with an encoder of its own, whose state `finetuned` is
        written first.
        """
        if not self.writes:
            return
        import torch

        if finetuned is not None:
            self.write_tensors(names.ENCODER_FINETUNED, finetuned)
        else:
            self.remove(names.ENCODER_FINETUNED)
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        # one key: safetensors writes several in any order
        header = {"encoder": "frozen" if finetuned is None else "finetuned"}
        self.write_tensors(names.CLASSIFIER, tensors, header)

    def read_tensors(self, name: str | Path) -> "dict[str, Tensor]":
        return reading.read_tensors(self.path / name, self.remedy)

    def read_header(self, name: str) -> dict[str, str]:
        """What stands in the header of a safetensors file."""
        return reading.read_header(self.path / name, self.remedy)

    def write_results(self, results: Results) -> None:
        self._write_json(names.RESULTS, results.as_json())

    def read_results(self) -> Results:
        content, where, remedy = self._json(names.RESULTS)
        if older.is_older(content):
            content = older.results(content)
        return Results.read(content, where, remedy)

    def write_stopped(self, stopped: Stopped) -> None:
        self._write_json(names.STOPPED, stopped.as_json())

    def read_stopped(self) -> Stopped | None:
        """Why training stopped; None where it did not."""
        return Stopped.read(*self._json(names.STOPPED)) if self.has(names.STOPPED) else None

    def append_metrics(self, line: Mapping[str, Any]) -> None:
        """An epoch, as `EpochMetrics` reads it again. ValidationError: it is none."""
        EpochMetrics.model_validate(line)
        if self.writes:
            metrics.append(self.path / names.METRICS, line)

    def append_classifier_metrics(self, line: Mapping[str, Any]) -> None:
        EpochMetrics.model_validate(line)
        if self.writes:
            metrics.append(self.path / names.CLASSIFIER_METRICS, line)

    def read_metrics(self, *, forgive_last: bool = True) -> tuple[EpochMetrics, ...]:
        """An epoch a line; none where there is no file. A last line that is cut short is passed
        over where `forgive_last` says so.
        """
        path = self.path / names.METRICS
        return metrics.read(path, forgive_last=forgive_last, remedy=self.remedy)

    def read_classifier_metrics(self, *, forgive_last: bool = True) -> tuple[EpochMetrics, ...]:
        path = self.path / names.CLASSIFIER_METRICS
        return metrics.read(path, forgive_last=forgive_last, remedy=self.remedy)

    def keep_metrics_until(self, epoch: int) -> None:
        """Drops the lines of epochs that a resumed run will train again. RunError: those of an
        earlier one are not there.
        """
        if self.writes:
            metrics.keep_until(self.path / names.METRICS, epoch)

    def keep_classifier_metrics_until(self, epoch: int) -> None:
        if self.writes:
            metrics.keep_until(self.path / names.CLASSIFIER_METRICS, epoch)

    def write_embeddings(self, arrays: Mapping[str, Any]) -> None:
        self._write_arrays(names.EMBEDDINGS, arrays)

    def write_reference(self, arrays: Mapping[str, Any]) -> None:
        """What the classifier in classifier.safetensors holds new images against."""
        self._write_arrays(names.REFERENCE, arrays)

    def read_reference(self) -> dict[str, Any]:
        return reading.read_arrays(self.path / names.REFERENCE, self.remedy)

    def read_embeddings(self) -> dict[str, Any]:
        return older.arrays(reading.read_arrays(self.path / names.EMBEDDINGS, self.remedy))

    def write_comparison(self, results: ComparisonResults) -> None:
        self._write_json(names.COMPARE, results.as_json())

    def read_comparison(self) -> ComparisonResults:
        content, where, remedy = self._json(names.COMPARE)
        if older.is_older(content):
            content = older.comparison(content)
        return ComparisonResults.read(content, where, remedy)

    def write_trials(self, tuning: Tuning) -> None:
        self._write_json(names.TRIALS, tuning.as_json())

    def read_trials(self) -> Tuning:
        return Tuning.read(*self._json(names.TRIALS))

    def _json(self, name: str | Path) -> tuple[dict[str, Any], str, str]:
        """The content of a file, and what an error about it says."""
        path = self.path / name
        return reading.read_json(path, self.remedy), str(path), self.remedy

    def _write_arrays(self, name: str, arrays: Mapping[str, Any]) -> None:
        if not self.writes:
            return
        import numpy as np

        buffer = io.BytesIO()
        np.savez_compressed(buffer, **dict(arrays))
        self._write(name, buffer.getvalue())

    def _write_json(self, name: str | Path, content: Mapping[str, Any]) -> None:
        text = json.dumps(content, indent=1, ensure_ascii=False)
        self._write(name, (text + "\n").encode())

    def _write(self, name: str | Path, content: bytes) -> None:
        if self.writes:
            write_bytes(self.path / name, content)
