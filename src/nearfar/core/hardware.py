"""What the machine under a run can do, and the precision that follows by rule, never by
stopwatch.
"""

import os
import platform
from pathlib import Path
from typing import Any, Literal

import torch

MOST_NARROW = 0.03  # of an encoder's multiply-adds, where bf16 still gains on a CPU


def has_native_bf16(device: torch.device) -> bool:
    """On a CPU AVX-512-BF16 or AMX as torch reports them; elsewhere bf16 is 8 to 12 times slower
    than float32.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, name, lambda: False)()) for name in checks)


def choose_precision(
    asked: str, device: torch.device, *, narrow_share: float
) -> Literal["float32", "bf16"]:
    """`auto` is bf16 where the hardware has it and the encoder gains by it, else float32.

    On a CPU convolutions whose groups are narrow lose by it: `narrow_share` is what they have of
    the encoder's multiply-adds. docs/performance.md has the measurements. `measure`, until both are
    measured, is `auto`.
    """
    if asked in ("float32", "bf16"):
        return "bf16" if asked == "bf16" else "float32"
    gains = device.type != "cpu" or narrow_share <= MOST_NARROW
    return "bf16" if gains and has_native_bf16(device) else "float32"


def describe(device: torch.device) -> dict[str, Any]:
    """Facts for environment.json: CPU and accelerator by name, capability, threads."""
    on_gpu = device.type == "cuda"
    return {
        "platform": platform.platform(),
        "cpu": _cpu_name(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "native_bf16": has_native_bf16(device),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if on_gpu else device.type,
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
