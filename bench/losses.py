"""The softmax-contrastive losses against their peers: time and memory of forward and backward over
N.

    pip install '.[bench]'
    python bench/losses.py OUT [--device cpu|cuda] [--sizes 512,1024,...] [--repeats 5]

Each measurement is a process of its own, so that memory is its own; the processes of one size run
one after another, all candidates in turn, `--repeats` times over, and the median is quoted (of each
process the fastest of a few steps, fewer where a step is long). Memory is the peak of resident
memory above what the process held before its first step (on a GPU: of allocated memory), inputs and
their gradients not counted in what it held before. A candidate that would need more than
`--limit-gb` is left out. Writes OUT/losses.json and OUT/losses.png and prints the table.
"""

import argparse
import json
import math
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

WIDTH, CLASSES, TEMPERATURE = 128, 100, 0.1
SIZES = (512, 1024, 2048, 4096, 8192, 16384, 32768, 65536)
ON_A_GPU = (262144, 1048576)
BYTES = {  # what a step needs, generously
    "PML SupCon": lambda n: 56 * n**2,
    "PML NT-Xent": lambda n: 17 * n**3,  # it compares every positive pair with every negative pair
    "lightly NT-Xent": lambda n: 32 * n**2,
    "dense SupCon": lambda n: 32 * n**2,
}


def candidates() -> dict[str, Callable[[Any, Any], Any]]:
    """Losses of z (2, N/2, D) and labels (N/2,)."""
    return {
        "nearfar SupCon": _nearfar_sup_con,
        "nearfar NT-Xent": _nearfar_nt_xent,
        "dense SupCon": _dense_sup_con,
        "PML SupCon": _pml_sup_con,
        "PML NT-Xent": _pml_nt_xent,
        "lightly NT-Xent": _lightly_nt_xent,
    }


def _nearfar_sup_con(z: Any, labels: Any) -> Any:
    from nearfar.losses import sup_con

    return sup_con(z, labels, temperature=TEMPERATURE)


def _nearfar_nt_xent(z: Any, _labels: Any) -> Any:
    from nearfar.losses import info_nce

    return info_nce(z, temperature=TEMPERATURE)


def _dense_sup_con(z: Any, labels: Any) -> Any:
    """The equation as one would write it in torch: masks and all."""
    import torch
    from torch.nn import functional as F

    rows, y = F.normalize(z.flatten(0, 1), dim=1), labels.repeat(2)
    itself = torch.eye(len(y), dtype=torch.bool, device=z.device)
    positive = (y[:, None] == y) & ~itself
    logits = (rows @ rows.T / TEMPERATURE).masked_fill(itself, -torch.inf)
    logs = logits - logits.logsumexp(dim=1, keepdim=True)
    return -(torch.where(positive, logs, 0.0).sum(1) / positive.sum(1)).mean()


def _pml_sup_con(z: Any, labels: Any) -> Any:
    from pytorch_metric_learning.losses import SupConLoss

    return SupConLoss(temperature=TEMPERATURE)(z.flatten(0, 1), labels.repeat(2))


def _pml_nt_xent(z: Any, labels: Any) -> Any:
    import torch
    from pytorch_metric_learning.losses import NTXentLoss

    numbers = torch.arange(len(labels), device=labels.device)
    return NTXentLoss(temperature=TEMPERATURE)(z.flatten(0, 1), numbers.repeat(2))


def _lightly_nt_xent(z: Any, _labels: Any) -> Any:
    from lightly.loss import NTXentLoss

    return NTXentLoss(temperature=TEMPERATURE)(z[0], z[1])


def measure(name: str, n: int, device: str, dtype: str) -> dict[str, float]:
    """One process's figures: the loss, the fastest step in milliseconds, memory in MiB."""
    import torch

    source = torch.Generator().manual_seed(n)
    z = (
        torch.randn(2, n // 2, WIDTH, generator=source)
        .to(device, getattr(torch, dtype))
        .requires_grad_()
    )
    labels = torch.randint(0, CLASSES, (n // 2,), generator=source).to(device)
    loss = candidates()[name]
    small = z.detach()[:, :64].clone().requires_grad_()
    loss(small, labels[:64].remainder(8)).backward()  # imports, threads, kernels
    z.grad = torch.zeros_like(z)
    before = _memory(torch, device, reset=True)
    seconds = []
    while len(seconds) < 3 or (sum(seconds) < 1 and len(seconds) < 200):
        z.grad = None
        started = time.perf_counter()
        value = loss(z, labels)
        value.backward()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
        if len(seconds) == 1:
            after = _memory(torch, device)
        if sum(seconds) > 10:
            break
    return {
        "loss": float(value.detach()),
        "ms": 1e3 * min(seconds),
        "mib": max(after - before, 0.0),
    }


def _memory(torch: Any, device: str, *, reset: bool = False) -> float:
    if device == "cuda":
        if reset:
            torch.cuda.reset_peak_memory_stats()
            return torch.cuda.memory_allocated() / 2**20
        return torch.cuda.max_memory_allocated() / 2**20
    if reset and platform.system() == "Linux":
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts again
    for line in (
        Path("/proc/self/status").read_text().splitlines() if platform.system() == "Linux" else ()
    ):
        if line.startswith("VmRSS:" if reset else "VmHWM:"):
            return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def hardware(device: str, dtype: str) -> dict[str, Any]:
    import torch

    from nearfar.core.hardware import describe

    side = 2048 if device == "cpu" else 8192
    a = torch.randn(side, side, device=device, dtype=getattr(torch, dtype))
    best = math.inf
    for _ in range(7):
        started = time.perf_counter()
        a @ a
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - started)
    return {
        **describe(torch.device(device)),
        "gemm_gflops": 2 * side**3 / best / 1e9,
        "torch": torch.__version__,
    }


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    rows: dict[tuple[str, int], list[dict[str, float]]] = {}
    for n in arguments.sizes:
        names = [
            c for c in candidates() if c not in BYTES or BYTES[c](n) <= arguments.limit_gb * 2**30
        ]
        repeats = (
            arguments.repeats
            if n < 32768 or arguments.device == "cuda"
            else min(3, arguments.repeats)
        )
        for _ in range(repeats):
            for name in names:
                command = [
                    sys.executable,
                    __file__,
                    "--one",
                    name,
                    str(n),
                    arguments.device,
                    arguments.dtype,
                ]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode:
                    print(name, n, done.stderr.strip().splitlines()[-1], file=sys.stderr)
                    continue
                rows.setdefault((name, n), []).append(json.loads(done.stdout.splitlines()[-1]))
    table = [
        {
            "name": name,
            "n": n,
            "runs": len(found),
            **{k: statistics.median(r[k] for r in found) for k in found[0]},
        }
        for (name, n), found in rows.items()
    ]
    return {
        "hardware": hardware(arguments.device, arguments.dtype),
        "dtype": arguments.dtype,
        "table": table,
    }


def show(result: dict[str, Any]) -> None:
    rate = result["hardware"]["gemm_gflops"]
    print(json.dumps(result["hardware"]))
    for row in result["table"]:
        bound = 10 * row["n"] ** 2 * WIDTH / rate / 1e6
        print(
            f"{row['n']:>8} {row['name']:<16} {row['ms']:>10.2f} ms {row['mib']:>9.1f} MiB  loss"
            f" {row['loss']:.5f}  {row['ms'] / bound:6.2f} x the bound of 10 N² D operations"
        )
    found = {(row["name"], row["n"]): row for row in result["table"]}
    for peer in BYTES:
        ours = peer.split()[1]
        for n in sorted({n for _, n in found}):
            if (peer, n) in found:
                a, b = found[f"nearfar {ours}", n], found[peer, n]
                print(
                    f"{n:>8} {peer} / nearfar {ours}: time {b['ms'] / a['ms']:.2f}, loss"
                    f" {b['loss'] / a['loss']:.6f}"
                )


def draw(result: dict[str, Any], path: Path) -> None:
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(11, 4.2))
    for key, title, axis in zip(
        ("ms", "mib"), ("ms, forward and backward", "MiB above the start"), axes, strict=True
    ):
        for name in dict.fromkeys(row["name"] for row in result["table"]):
            of = sorted(
                (row["n"], max(row[key], 0.1)) for row in result["table"] if row["name"] == name
            )
            style = "-" if name.startswith("nearfar") else "--"
            axis.plot(*zip(*of, strict=True), style, marker="o", label=name)
        axis.set(xscale="log", yscale="log", xlabel="N rows", title=title)
        axis.set_xticks(
            ns := sorted({row["n"] for row in result["table"]}), [f"{n:,}" for n in ns], rotation=45
        )
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        _, _, name, n, device, dtype = sys.argv
        print(json.dumps(measure(name, int(n), device, dtype)))
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument(
        "--sizes", type=lambda text: [int(n) for n in text.split(",")], default=None
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--limit-gb", type=float, default=12.0)
    arguments = parser.parse_args()
    arguments.sizes = arguments.sizes or [*SIZES, *(ON_A_GPU if arguments.device == "cuda" else ())]
    arguments.out.mkdir(parents=True, exist_ok=True)
    result = run(arguments)
    (arguments.out / "losses.json").write_text(json.dumps(result, indent=1))
    show(result)
    draw(result, arguments.out / "losses.png")


if __name__ == "__main__":
    main()
