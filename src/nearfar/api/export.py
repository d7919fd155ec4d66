"""`nearfar export`: a run's encoder, alone and with the classifier, for other programs; what is
written is run as they would run it, and compared.
"""

import itertools
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import timm
import torch
from torch import Tensor

from nearfar.api.embed import refuse_existing
from nearfar.api.embedding_files import told
from nearfar.api.int8 import eight_bit_path, measured_on, quantized
from nearfar.api.model import Model, load
from nearfar.core.errors import RunError, UserError
from nearfar.core.progress import Progress
from nearfar.core.writing import whole
from nearfar.data.sources import open_source
from nearfar.experiment.encoding import first_views
from nearfar.nn import exporting
from nearfar.nn.exporting import Exported, OnnxEncoder, ProgramEncoder
from nearfar.report.loading import loading_lines, opens_in_timm, timm_line
from nearfar.run_folder import names
from nearfar.run_folder.folder import RunFolder

Form = Literal["onnx", "torch", "timm"]
BATCHES = (1, 7, 32)  # by which what was written is tried
LARGEST = 1e-4  # difference of a number, as a part of the largest, or of 1


@dataclass(frozen=True)
class _Way:
    """How a form is written and run."""

    name: str  # of the file in the run's folder
    write: Callable[..., None]
    run: Callable[[Path], OnnxEncoder | ProgramEncoder]


_WAYS = {
    "onnx": _Way(names.ENCODER_ONNX, exporting.write_onnx, OnnxEncoder),
    "torch": _Way(names.ENCODER_PROGRAM, exporting.write_program, ProgramEncoder),
}


def export(
    run: Path,
    to: Form,
    *,
    out: Path | None = None,
    int8: bool = False,
    force: bool = False,
    quiet: bool = False,
) -> dict[str, Any]:
    """Writes the encoder to `out` (by default into the run's folder), and beside it the encoder
    with the classifier, where the run has one; both take normalized images, any number at a time.

    Returns `out`, `classifier` (the second file), `max_difference` from nearfar's own numbers over
    batches of 1, 7 and 32, and `images`, what they were of. For timm nothing is written: the folder
    of the run is opened by timm, and `line` is how. With `int8` a file of 8 bits too: `int8`.
    UserError: a file that is there without `force`, packages that are missing, or a difference of
    more than 1e-4, for which nothing is written.
    """
    progress = Progress(quiet=quiet)
    _refuse(to, out, int8=int8)
    if to == "timm":
        return _to_timm(Path(run))
    model, folder, way = load(run), RunFolder(Path(run)), _WAYS[to]
    place = out or folder.path / way.name
    parts: list[tuple[Path, Exported]] = [(place, Exported(model.encoder.net))]
    if model.has_classifier:
        encoder, classifier = model.classifying
        with_classifier = place.with_stem(f"{place.stem}_classifier")
        parts.append((with_classifier, Exported(encoder.net, classifier.layers())))
    for path in (*(path for path, _ in parts), *([eight_bit_path(place)] if int8 else [])):
        refuse_existing(path, force=force)
    samples = measured_on(folder, model, progress) if int8 else None
    rows, images = example_rows(folder, model)
    notes = about(folder, model)
    progress.say(f"exporting to {to} (some seconds) ...")
    largest = _written(way, parts, rows, notes)
    found: dict[str, Any] = {
        "out": str(place),
        "classifier": str(parts[1][0]) if len(parts) > 1 else None,
        "max_difference": largest,
        "images": images,
    }
    if samples is not None:
        found["int8"] = quantized(place, samples, notes, progress)
    return found


def _refuse(to: str, out: Path | None, *, int8: bool) -> None:
    """UserError for what can be known before any work."""
    if int8 and to != "onnx":
        raise UserError(f"--int8: wants --to onnx beside it, got {to}")
    if to == "timm":
        if out is not None:
            raise UserError("--out: --to timm writes nothing, the run's folder is what timm opens")
        return
    suffix = Path(_WAYS[to].name).suffix
    if out is not None and out.suffix != suffix:
        raise UserError(f"--out: want a file ending in {suffix} for --to {to}, got {out}")
    if to == "onnx" and (missing := exporting.missing_for_onnx()):
        raise UserError(
            f"--to onnx: wants {', '.join(missing)}: pip install 'nearfar[export]', or choose --to"
            " torch"
        )


def _written(
    way: _Way, parts: list[tuple[Path, Exported]], rows: Tensor, notes: dict[str, Any]
) -> float:
    """The largest difference from the modules' own numbers, of what is written. RunError: it is too
    large; none of the files stands there then. UserError: one cannot be written.
    """
    differences = []
    with ExitStack() as stack:
        for path, module in parts:
            stack.enter_context(told(path))
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = stack.enter_context(whole(path))
            way.write(module, rows[:2], partial, notes)
            ran = way.run(partial)
            differences += [_difference(module, ran, rows[:size]) for size in BATCHES]
            largest = float(np.max(differences))  # not a number, where one of them is none
            if not largest <= LARGEST:
                raise RunError(
                    f"{path}: was not written, because its numbers differ by {largest:.1e} from"
                    f" nearfar's, more than {LARGEST:g}"
                )
    return largest


def _difference(module: Exported, ran: OnnxEncoder | ProgramEncoder, rows: Tensor) -> float:
    each = [
        np.abs(wanted - found).max() / max(1.0, float(np.abs(wanted).max()))
        for wanted, found in zip(module.arrays(rows), ran.arrays(rows), strict=True)
    ]
    return float(np.max(each))


def example_rows(folder: RunFolder, model: Model) -> tuple[Tensor, str]:
    """(32, 3, S, S), normalized, and of what: the first images of the run's data that can be read;
    made ones, where there are none.
    """
    most, center = max(BATCHES), model.view.center
    source = folder.read_config().get("data", {}).get("source", "")
    try:
        pixels = first_views(open_source(source), center, most)
    except UserError:
        pixels = []  # the data are elsewhere by now
    images = "the run's images" if pixels else "made images"
    if not pixels:
        shape = (most, center.size, center.size, 3)
        pixels = list(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))
    chosen = list(itertools.islice(itertools.cycle(pixels), most))
    return model.view.normalized(torch.from_numpy(np.stack(chosen))).contiguous().clone(), images


def about(folder: RunFolder, model: Model) -> dict[str, Any]:
    """What stands in the file beside the network."""
    center = model.view.center
    preprocessing = {
        "channels": "RGB",
        "crop": center.crop,  # of the centered square, as a fraction of its side
        "size": center.size,
        "interpolation": center.interpolation,
        "scale": 1 / 255,
        "mean": list(model.view.mean),
        "std": list(model.view.std),
    }
    return {
        "preprocessing": preprocessing,
        "class_names": list(model.class_names),
        "architecture": folder.read_encoder_file().architecture,
    }


def _to_timm(run: Path) -> dict[str, Any]:
    """`line`, or `lines` where timm lacks the network, and how far timm's numbers are from ours."""
    folder = RunFolder(run)
    file, weights = folder.read_encoder_file(), folder.path / folder.encoder_weights
    found: dict[str, Any] = {"out": str(weights.parent), "max_difference": None}
    if not opens_in_timm(file) or folder.encoder_weights != names.ENCODER:
        return {**found, "lines": loading_lines(file.as_json(), weights)}
    model = load(run)
    rows, images = example_rows(folder, model)
    net = timm.create_model(f"local-dir:{weights.parent}", pretrained=True).eval()
    with torch.inference_mode():
        difference = float((net(rows) - model.encoder(rows)).abs().max())
    line = timm_line(weights.parent)
    return {**found, "max_difference": difference, "line": line, "images": images}
