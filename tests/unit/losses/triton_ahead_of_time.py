"""Compiles the CUDA kernels for GPUs that need not be there, and says how many fit a small GPU's
shared memory.
"""

import itertools

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from nearfar.losses.tiled import triton as kernels
from nearfar.losses.tiled.pairs import Pairs

SHARED_BYTES = 99 * 1024  # of a consumer GPU
POINTERS = ("own", "anchor_classes", "candidate_classes")
COUNTS = ("n_rows", "n_columns", "width")


def compiled(kernel, pairs: Pairs, capability: int, more: dict[str, bool]) -> int:
    """Bytes of shared memory that the kernel needs there."""
    fixed = kernels._fixed(pairs, pairs.anchors)
    stages = fixed.pop("num_stages")
    constants = {**fixed, "SAFE": False, **more}
    rows = "*bf16" if pairs.half else "*fp32"
    types = {
        "a_rows": rows,
        "b": rows,
        **dict.fromkeys(POINTERS, "*i64"),
        **dict.fromkeys(COUNTS, "i32"),
    }
    names = [parameter.name for parameter in kernel.params]
    signature = {
        name: "constexpr" if name in constants else types.get(name, "*fp32") for name in names
    }
    source = ASTSource(
        fn=kernel,
        signature=signature,
        constexprs={(names.index(name),): value for name, value in constants.items()},
    )
    target = GPUTarget("cuda", capability, 32)
    return triton.compile(source, target=target, options={"num_stages": stages}).metadata.shared


if __name__ == "__main__":
    done = 0
    for capability, half, width, symmetric in itertools.product(
        (80, 90), (False, True), (128, 256), (True, False)
    ):
        rows = torch.zeros(2, width)
        classes = torch.zeros(2, dtype=torch.int64)
        own = None if symmetric else classes
        pairs = Pairs(
            rows, None if symmetric else rows, own, classes, classes, "others", "mean", half
        )
        for kernel, more in (
            (kernels._log_sum_exp_kernel, {}),
            (kernels._weighted_sum_kernel, {"BY_ROW": True, "BY_COLUMN": symmetric}),
        ):
            shared = compiled(kernel, pairs, capability, more)
            assert shared <= SHARED_BYTES, (capability, half, width, symmetric, shared)
            done += 1
    print(done, "kernels")
