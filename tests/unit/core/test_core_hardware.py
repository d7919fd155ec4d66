"""Precision by rule: what torch reports of the machine decides, and nothing else."""

import itertools

import pytest
import torch

from nearfar.core import hardware
from nearfar.core.hardware import choose_precision, describe, has_native_bf16
from nearfar.nn.arithmetic import arithmetic_by_name

CPU = torch.device("cpu")
CUDA = torch.device("cuda")


def auto(device: torch.device, narrow_share: float = 0) -> str:
    return choose_precision("auto", device, narrow_share=narrow_share)


def pretend(
    monkeypatch: pytest.MonkeyPatch, *, avx512_bf16: bool = False, amx: bool = False
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)


@pytest.mark.parametrize(("avx512_bf16", "amx"), [*itertools.product((False, True), repeat=2)])
def test_a_cpu_computes_in_bf16_only_with_avx512_bf16_or_amx(
    monkeypatch: pytest.MonkeyPatch, avx512_bf16: bool, amx: bool
) -> None:
    pretend(monkeypatch, avx512_bf16=avx512_bf16, amx=amx)
    native = avx512_bf16 or amx
    assert has_native_bf16(CPU) is native
    assert auto(CPU) == ("bf16" if native else "float32")


def test_a_torch_that_reports_neither_capability_means_float32(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported", raising=False)
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported", raising=False)
    assert auto(CPU) == "float32"


@pytest.mark.parametrize("native", [False, True])
def test_a_gpu_computes_in_bf16_only_where_it_is_not_emulated(
    monkeypatch: pytest.MonkeyPatch, native: bool
) -> None:
    def supported(including_emulation: bool = True) -> bool:
        return native or including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert auto(CUDA) == ("bf16" if native else "float32")


@pytest.mark.parametrize(
    ("encoder", "faster"),
    [
        ("conv4", "bf16"),
        ("resnet18", "bf16"),
        ("resnet50", "bf16"),
        ("vit_tiny_patch16_224", "bf16"),
        ("resnext50_32x4d", "bf16"),
        ("convnext_tiny", "bf16"),
        ("regnety_004", "bf16"),
        ("convnext_atto", "float32"),
        ("tf_efficientnet_lite0", "float32"),
        ("efficientnet_b0", "float32"),
        ("mobilenetv3_small_100", "float32"),
    ],
)
def test_on_a_cpu_the_encoder_s_narrow_groups_decide(
    monkeypatch: pytest.MonkeyPatch, encoder: str, faster: str
) -> None:
    """What was faster when steps were measured: docs/performance.md."""
    pretend(monkeypatch, avx512_bf16=True)
    share = arithmetic_by_name(encoder, 128, "auto").narrow_share
    assert auto(CPU, share) == faster
    pretend(monkeypatch)
    assert auto(CPU, share) == "float32"


def test_on_a_gpu_narrow_groups_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    assert auto(CUDA, 1.0) == "bf16"


def test_another_device_computes_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, avx512_bf16=True, amx=True)
    assert auto(torch.device("meta")) == "float32"


@pytest.mark.parametrize("native", [False, True])
def test_what_the_user_asks_for_stands_whatever_the_machine(
    monkeypatch: pytest.MonkeyPatch, native: bool
) -> None:
    pretend(monkeypatch, avx512_bf16=native)
    assert choose_precision("float32", CPU, narrow_share=0) == "float32"
    assert choose_precision("bf16", CPU, narrow_share=1) == "bf16"


def test_the_description_has_the_facts_of_environment_json() -> None:
    facts = describe(CPU)
    assert facts["device"] == "cpu"
    assert facts["threads"] == torch.get_num_threads()
    assert facts["cpu_capability"] == torch.backends.cpu.get_cpu_capability()
    assert set(facts) == {
        "platform",
        "cpu",
        "cpu_capability",
        "native_bf16",
        "cores",
        "threads",
        "device",
    }


def test_the_cpus_name_is_found_without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> str:
        raise FileNotFoundError("/proc/cpuinfo")

    monkeypatch.setattr(hardware.Path, "read_text", missing)
    assert describe(CPU)["cpu"]
