"""An encoder alone on decoded tensors: torch and onnxruntime in float32, bf16 and 8 bits.

    NEARFAR_DATA=FOLDER python bench/int8.py OUT [--encoders tf_efficientnet_lite0@128,...]
    [--batch 32] [--threads 1] [--repeats 9]

FOLDER holds flowers5.tar and the ImageNet weights of tf_efficientnet_lite0; the other encoders have
new weights, which are as fast. "torch" is the module as it is, "nearfar" what extraction and embed
run (BatchNorm within the convolutions, in the faster memory format); onnxruntime runs what
`nearfar export --to onnx --int8` writes (`pip install 'nearfar[export]'`). It has no bf16 kernels
for CPUs; quantization by torch is not measured. All take turns, after two calls each that are not
counted; the median is quoted. On one thread the clock is the processor's time. Of lite0 also the
accuracy of nearest neighbors over all images of flowers5, each left out in turn. Writes
OUT/int8.json and prints the table.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import timm
import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot

import nearfar
from nearfar.api.int8 import RANGES, ROWS_A_CALL, measured_on
from nearfar.core.hardware import describe
from nearfar.core.progress import Progress
from nearfar.data.samples import ImageSamples
from nearfar.evaluate.features import spread
from nearfar.evaluate.knn import TEMPERATURE, neighbors_for
from nearfar.nn.building import build_encoder
from nearfar.nn.encoders import Encoder
from nearfar.nn.exporting import Exported, OnnxEncoder, write_int8, write_onnx
from nearfar.nn.frozen import FrozenEncoder
from nearfar.run_folder.folder import RunFolder

LITE0 = "tf_efficientnet_lite0"
ENCODERS = f"{LITE0}@128,{LITE0}@224,resnet18@128,vit_tiny_patch16_224@128"
MEAN, STD = [127 / 255] * 3, [128 / 255] * 3
SIDES = ("torch float32", "nearfar float32", "nearfar bf16", "onnxruntime float32")
EIGHT_BITS = "onnxruntime int8"
Side = Callable[[Tensor], Any]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--encoders", default=ENCODERS)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=9)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    asked.out.mkdir(parents=True, exist_ok=True)
    found = []
    for encoder in asked.encoders.split(","):
        name, side = encoder.split("@")
        found.append(measured(asked, name, int(side)))
        print(json.dumps(found[-1]), flush=True)
    about = {**describe(torch.device("cpu")), "torch": torch.__version__, "timm": timm.__version__}
    about |= {"onnxruntime": onnxruntime.__version__, "python": platform.python_version()}
    about |= {"batch": asked.batch, "threads": asked.threads, "repeats": asked.repeats}
    record = json.dumps({"about": about, "encoders": found}, indent=1)
    (asked.out / "int8.json").write_text(record + "\n", encoding="utf-8")
    print(table(found))


def measured(asked: argparse.Namespace, name: str, side: int) -> dict[str, Any]:
    """Milliseconds an image of each side, and with given weights the accuracies."""
    samples = None
    if name == LITE0:
        encoder, samples = flowers(asked.out, side)
        rows = spread(samples.split("train"), RANGES)
        batches = [samples.evaluation_input(part) for part in torch.split(rows, ROWS_A_CALL)]
    else:
        encoder = build_encoder(name, example=torch.zeros(1, 3, side, side)).eval()
        generator = torch.Generator().manual_seed(0)
        batches = [torch.randn(ROWS_A_CALL, 3, side, side, generator=generator)]
    sides = of(encoder, asked.out / f"{name}_{side}.onnx", batches)
    batch = batches[0][: asked.batch]
    row: dict[str, Any] = {"encoder": f"{name}@{side}", "ms": timed(sides, batch, asked.repeats)}
    if samples is not None:
        wanted = (SIDES[0], EIGHT_BITS)
        row["knn"] = {key: left_out_in_turn(sides[key], samples) for key in wanted}
    return row


def flowers(out: Path, side: int) -> tuple[Encoder, ImageSamples]:
    """The given weights and all images of flowers5, as a run of `--method frozen` has them."""
    data, folder = Path(os.environ["NEARFAR_DATA"]), out / f"frozen_{side}"
    encoder = {"name": LITE0, "mean": MEAN, "std": STD}
    encoder["weights"] = str(data / "tf_efficientnet_lite0_imagenet.safetensors")
    settings = {f"encoder.{key}": value for key, value in encoder.items()}
    settings |= {"data.size": side, "evaluate.probes": ["knn"]}
    nearfar.train(data / "flowers5.tar", method="frozen", out=folder, force=True, **settings)
    model = nearfar.load(folder)
    return model.encoder, measured_on(RunFolder(folder), model, Progress(quiet=True))


def of(encoder: Encoder, path: Path, batches: list[Tensor]) -> dict[str, Side]:
    module, eight_bits = Exported(encoder.net), path.with_stem(f"{path.stem}_int8")
    write_onnx(module, batches[0][:2], path, {})
    write_int8(path, eight_bits, batches, {})
    many = 10_000  # images: what is done once is worth it
    return {
        "torch float32": module.arrays,
        "nearfar float32": FrozenEncoder(encoder, count=many),
        "nearfar bf16": FrozenEncoder(encoder, count=many, precision="bf16"),
        "onnxruntime float32": OnnxEncoder(path).arrays,
        EIGHT_BITS: OnnxEncoder(eight_bits).arrays,
    }


def timed(sides: dict[str, Side], batch: Tensor, repeats: int) -> dict[str, float]:
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(repeats + 2):
        for name, run in sides.items():
            started = clock()
            run(batch)
            if turn > 1:
                taken[name].append(1e3 * (clock() - started) / len(batch))
    return {name: statistics.median(each) for name, each in taken.items()}


def left_out_in_turn(run: Side, samples: ImageSamples) -> float:
    """Top-1 of weighted nearest neighbors as the kNN probe votes, each image among all others."""
    rows = torch.cat([samples.split(name) for name in ("train", "val", "test")])
    parts = [samples.evaluation_input(part) for part in torch.split(rows, ROWS_A_CALL)]
    found = [run(part) for part in parts]
    x = np.concatenate([one[0] if isinstance(one, tuple) else one for one in found])
    y = samples.labels[rows]
    z = normalize(torch.from_numpy(x), dim=1)
    similarity = (z @ z.T).fill_diagonal_(-torch.inf)
    nearest, where = similarity.topk(neighbors_for(len(rows)), dim=1)
    votes = one_hot(y, len(samples.class_names)).float()[where]
    weights = ((nearest - 1) / TEMPERATURE).exp()
    predicted = (weights[:, :, None] * votes).sum(dim=1).argmax(dim=1)
    return float((predicted == y).float().mean())


def table(found: list[dict[str, Any]]) -> str:
    names = list(found[0]["ms"])
    lines = [f"| encoder@px | {', ms | '.join(names)}, ms | 8 bits, times torch float32 | kNN |"]
    lines.append("|---" * (len(names) + 3) + "|")
    for row in found:
        times = " | ".join(f"{row['ms'][name]:.2f}" for name in names)
        ratio = row["ms"]["torch float32"] / row["ms"][EIGHT_BITS]
        knn = " -> ".join(f"{100 * each:.1f}" for each in row.get("knn", {}).values())
        lines.append(f"| {row['encoder']} | {times} | {ratio:.2f} | {knn} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
