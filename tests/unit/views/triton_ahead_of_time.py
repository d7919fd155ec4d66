"""Compiles the view kernel for GPUs that need not be there; says how many, and checks what it
samples how often.
"""

import itertools

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from nearfar.views.kernels import triton as kernels

SOURCES = ("fine", "coarse")
INTEGERS = ("fine_side", "coarse_side", "level_of_fine", "deepest")
POINTERS = ("warp", "color", "out")


def compiled(capability: int, source: str, *, colored: bool, **fixed):
    constants = {**kernels._fixed(fixed["SIZE"]), **fixed}
    warps = constants.pop("num_warps")
    if not colored:
        constants["color"] = None
    types = {
        **dict.fromkeys(SOURCES, source),
        **dict.fromkeys(INTEGERS, "i32"),
        **dict.fromkeys(POINTERS, "*fp32"),
    }
    kernel = kernels._warp_color_kernel
    names = [parameter.name for parameter in kernel.params]
    signature = {
        name: "constexpr" if name in constants else types.get(name, "fp32") for name in names
    }
    source = ASTSource(
        fn=kernel,
        signature=signature,
        constexprs={(names.index(name),): value for name, value in constants.items()},
    )
    return triton.compile(
        source, target=GPUTarget("cuda", capability, 32), options={"num_warps": warps}
    )


if __name__ == "__main__":
    done = 0
    for capability, size, colored, edge, channels_last in itertools.product(
        (80, 90), (8, 32, 64, 224), (True, False), (True, False), (True, False)
    ):
        built = compiled(
            capability, "*u8", colored=colored, EDGE=edge, CHANNELS_LAST=channels_last, SIZE=size
        )
        matrices = 6 + 13 * colored
        # four taps of three channels
        samplings = (built.asm["ttir"].count("tt.load") - matrices) / 12
        assert samplings == (2 if colored and size == 224 else 1), (size, colored, samplings)
        done += 1
    for edge in (True, False):
        compiled(90, "*fp32", colored=True, EDGE=edge, CHANNELS_LAST=False, SIZE=32)
        done += 1
    print(done, "kernels")
