"""Networks as other programs run them: ONNX files, and torch's own exported programs.

onnx, onnxscript and onnxruntime are imported where they are used: they are an extra.
"""

import importlib.util
import json
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

INPUT, OUTPUTS = "images", ("embedding", "probabilities")
ONNX_NEEDS = ("onnx", "onnxscript", "onnxruntime")
Arrays = tuple[NDArray[np.float32], ...]


def missing_for_onnx() -> list[str]:
    """What is not installed of what ONNX files are written, quantized and run by."""
    return [name for name in ONNX_NEEDS if importlib.util.find_spec(name) is None]


@final
class Exported(nn.Module):
    """Normalized images (R, 3, S, S) to representations (R, E), and with a classifier's layers also
    to probabilities (R, C).
    """

    def __init__(self, net: nn.Module, layers: nn.Module | None = None) -> None:
        super().__init__()
        self.net = net
        self.layers = layers
        self.outputs = OUTPUTS[:1] if layers is None else OUTPUTS

    def forward(self, images: Float[Tensor, "row 3 side side"]) -> tuple[Tensor, ...]:
        x = self.net(images)
        return (x,) if self.layers is None else (x, self.layers(x).softmax(dim=1))

    @torch.inference_mode()
    def arrays(self, images: Float[Tensor, "row 3 side side"]) -> Arrays:
        return tuple(out.numpy() for out in self(images))


def write_onnx(
    module: Exported, rows: Float[Tensor, "row 3 side side"], path: Path, notes: Mapping[str, Any]
) -> None:
    """By torch's exporter, for any number of rows; `notes` stand in the file's metadata as JSON."""
    with _in_silence():
        program = torch.onnx.export(
            module,
            (rows,),
            dynamo=True,
            input_names=[INPUT],
            output_names=list(module.outputs),
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
        if program is None:
            raise RuntimeError("torch.onnx.export gave no program")
        program.model.metadata_props.update({key: json.dumps(v) for key, v in notes.items()})
        program.save(path, external_data=False)


@final
class OnnxEncoder:
    """An ONNX file as onnxruntime runs it on the CPU."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors
        options.intra_op_num_threads = torch.get_num_threads()
        self._session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )

    def arrays(self, images: Float[Tensor, "row 3 side side"]) -> Arrays:
        found: list[NDArray[np.float32]] = self._session.run(
            None, {INPUT: images.contiguous().numpy()}
        )
        return tuple(found)


def write_int8(
    path: Path,
    target: Path,
    batches: Sequence[Float[Tensor, "row 3 side side"]],
    notes: Mapping[str, Any],
) -> None:
    """The ONNX file at `path` with weights and activations of 8 bits, whose ranges are those that
    these rows make.

    Activations are unsigned and weights signed, a range a channel: what CPUs with VNNI multiply.
    """
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory(dir=target.parent) as place, _in_silence():
        prepared = Path(place, "prepared.onnx")
        quant_pre_process(path, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            target,
            _Calibration(batches),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
    model = onnx.load(target)
    onnx.helper.set_model_props(model, {key: json.dumps(value) for key, value in notes.items()})
    onnx.save(model, target)


class _Calibration:
    """What onnxruntime's quantization asks for rows, until there is None."""

    def __init__(self, batches: Sequence[Tensor]) -> None:
        self._left = iter(batches)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        rows = next(self._left, None)
        return None if rows is None else {INPUT: rows.contiguous().numpy()}


def write_program(
    module: Exported, rows: Float[Tensor, "row 3 side side"], path: Path, notes: Mapping[str, Any]
) -> None:
    """By torch.export, for any number of rows; `notes` stand in the file as NAME.json."""
    with _in_silence():
        batch = torch.export.Dim("batch")
        program = torch.export.export(module, (rows,), dynamic_shapes=({0: batch},))
        files = {f"{key}.json": json.dumps(value) for key, value in notes.items()}
        torch.export.save(program, path, extra_files=files)


@final
class ProgramEncoder:
    """A file of `write_program` as torch runs it, without this package."""

    def __init__(self, path: Path) -> None:
        with _in_silence():
            self._net = torch.export.load(path).module()

    @torch.inference_mode()
    def arrays(self, images: Float[Tensor, "row 3 side side"]) -> Arrays:
        return tuple(out.numpy() for out in self._net(images))


@contextmanager
def _in_silence() -> Iterator[None]:
    """Exporters tell what they do at length."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
