"""bf16 against float32 in training steps of common encoders, and what `train.precision = "auto"`
chooses by its rule.

    python bench/precision.py OUT [--encoders resnet18@64,resnet50@128,...] [--batch 16]
    [--threads 1] [--repeats 5]

A step is forward and backward of a batch of noise through nearfar's encoder in training mode, in
the memory format that it chooses itself. float32 and bf16 take turns, after one step of each that
is not counted; the median of `--repeats` is quoted. On one thread the clock is the processor's time
of this process, so other work on the machine moves the seconds and hardly the ratios; on more it is
the wall's. Writes OUT/precision.json and OUT/precision.md and prints the table: a ratio above 1
says that bf16 is that many times as fast.
"""

import argparse
import json
import platform
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from nearfar.core.hardware import choose_precision, describe, has_native_bf16
from nearfar.nn.arithmetic import arithmetic_by_name
from nearfar.nn.building import build_encoder

ENCODERS = (
    "conv4@32,resnet18@64,resnet50@128,densenet121@128,vit_tiny_patch16_224@128,"
    "swin_tiny_patch4_window7_224@224,regnety_004@128,resnext50_32x4d@128,"
    "efficientnetv2_rw_s@128,mobilevit_s@128,convnext_tiny@128,mobilenetv4_conv_medium@128,"
    "convnext_atto@128,tf_efficientnet_lite0@128,efficientnet_b0@128,mobilenetv3_small_100@128"
)
CPU = torch.device("cpu")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--encoders", default=ENCODERS)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    asked.out.mkdir(parents=True, exist_ok=True)
    found = []
    for encoder in asked.encoders.split(","):
        name, side = encoder.split("@")
        found.append(measure(name, int(side), asked.batch, asked.repeats))
        print(row(found[-1]), flush=True)
    about = {**describe(CPU), "torch": torch.__version__, "python": platform.python_version()}
    about |= {"native_bf16": has_native_bf16(CPU), "batch": asked.batch, "repeats": asked.repeats}
    record = json.dumps({"about": about, "encoders": found}, indent=1)
    (asked.out / "precision.json").write_text(record + "\n", encoding="utf-8")
    (asked.out / "precision.md").write_text(table(found), encoding="utf-8")
    print(table(found))


def measure(name: str, side: int, batch: int, repeats: int) -> dict[str, Any]:
    arithmetic = arithmetic_by_name(name, side, "auto")
    encoder = build_encoder(name, example=torch.zeros(1, 3, side, side)).train()
    rows = torch.randn(batch, 3, side, side, generator=torch.Generator().manual_seed(0))
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    seconds: dict[str, list[float]] = {"float32": [], "bf16": []}
    for trial in range(repeats + 1):
        for precision, taken in seconds.items():
            encoder.precision = precision
            started = clock()
            encoder(rows).square().mean().backward()
            encoder.zero_grad()
            if trial:
                taken.append(clock() - started)
    middle = {precision: statistics.median(taken) for precision, taken in seconds.items()}
    return {
        "encoder": f"{name}@{side}",
        "million_multiply_adds": arithmetic.multiply_adds / 1e6,
        "narrow_share": arithmetic.narrow_share,
        "seconds": middle,
        "ratio": middle["float32"] / middle["bf16"],
        "auto": choose_precision("auto", CPU, narrow_share=arithmetic.narrow_share),
    }


def row(found: dict[str, Any]) -> str:
    seconds = found["seconds"]
    won = found["ratio"] if found["auto"] == "bf16" else 1.0
    return (
        f"| {found['encoder']} |"
        f" {100 * found['narrow_share']:.1f} | {1e3 * seconds['float32']:.0f} |"
        f" {1e3 * seconds['bf16']:.0f} | {found['ratio']:.2f} | {found['auto']} | {won:.2f} |"
    )


def table(found: list[dict[str, Any]]) -> str:
    heads = [
        "encoder@px",
        "of its multiply-adds in narrow groups, %",
        "float32, ms",
        "bf16, ms",
        "bf16 is x times as fast",
        "`auto`",
        "`auto` against float32",
    ]
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    ordered = sorted(found, key=lambda one: (one["narrow_share"], -one["ratio"]))
    return "\n".join([*lines, *(row(one) for one in ordered)]) + "\n"


if __name__ == "__main__":
    main()
