"""View making against its peers: views a second over size, policy and cores, and as a share of a
memory copy.

    pip install '.[bench]' python bench/views.py OUT [--device cpu|cuda] [--sizes 32,96,224]
    [--policies supcon,simclr,rand_augment]
                              [--cores 1,2] [--repeats 5] [--seconds 1]

Everybody starts from the same images, decoded and in memory, and ends at float32, normalized,
channels first. Each measurement is a process of its own, bound to as many cores as it may use; all
candidates take turns, `--repeats` times over, and the median is quoted. A process warms up first
(compilation is not measured), then makes views for `--seconds` and at least FEWEST of them. The
settings, each the fastest for the peer that its documentation allows:

- nearfar: `make_views`, two views of a batch at a time, as many threads as cores.
- kornia: `AugmentationSequential` without transformation matrices (`skip`), crops by slicing,
  batches small enough for
  the cache (KORNIA_BATCH; on a GPU nearfar's), as many threads as cores. It draws RandAugment's
  operations for the batch, not for each sample.
- torchvision v2, per sample, from PIL images (a tensor from the blur on) or from uint8 tensors
  (float from the colors
  on; RandAugment works in uint8); albumentations, per sample, from arrays, OpenCV on one thread;
  lightly's `SimCLRTransform`, per sample, from PIL images. As many processes as cores, one thread
  each. They keep what they make: no DataLoader, no collation, no transfer between processes counts
  against them.

The share of the copy is the time to copy the bytes of the views once, by NumPy on as many threads
(on a GPU by torch), over the time to make them. On a GPU nearfar and kornia are measured. Writes
OUT/views.json and OUT/views.png and prints the table.
"""

import argparse
import datetime
import json
import multiprocessing
import os
import queue
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from losses import hardware

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)
SOURCE_PX = {32: 32, 96: 96, 224: 256}
BATCH = {32: 256, 96: 128, 224: 64}  # images, of two views each
GPU_BATCH = {32: 4096, 96: 1024, 224: 256}
KORNIA_BATCH = {32: 128, 96: 32, 224: 16}  # views; larger ones are slower on a CPU
FEWEST = 64  # views a process
COUNT = 2
PACKAGES = (
    "torch",
    "torchvision",
    "kornia",
    "albumentations",
    "opencv-python-headless",
    "lightly",
    "pillow",
    "numpy",
)


@dataclass(frozen=True)
class Policy:
    """A policy in the numbers that the peers take. Flip and crop's aspect are everybody's own: .5,
    and 3/4 to 4/3.
    """

    area: tuple[float, float]
    # brightness, contrast, saturation, hue; probability .8
    jitter: tuple[float, float, float, float] | None = None
    gray: float = 0.0
    blur: bool = False  # probability .5, sigma .1 to 2 px
    rand_augment: bool = False  # two operations of magnitude 9


POLICIES = {
    "supcon": Policy((0.2, 1.0), (0.4, 0.4, 0.4, 0.1), 0.2),
    "simclr": Policy((0.08, 1.0), (0.8, 0.8, 0.8, 0.2), 0.2, blur=True),
    "rand_augment": Policy((0.08, 1.0), rand_augment=True),
}
OURS = "nearfar"
BATCHED = (OURS, "kornia")
PER_SAMPLE = ("torchvision, PIL", "torchvision, tensor", "lightly", "albumentations")
NO_RAND_AUGMENT = ("lightly", "albumentations")
Maker = Callable[[], Any]  # makes one view (C, H, W), or views (..., C, H, W)


def candidates(policy: str, device: str) -> list[str]:
    names = BATCHED if device == "cuda" else (*BATCHED, *PER_SAMPLE)
    return [
        name for name in names if not (POLICIES[policy].rand_augment and name in NO_RAND_AUGMENT)
    ]


def kernel_px(size: int) -> int:
    """A tenth of the view's side, odd, at least 3."""
    return max(3, size // 10 | 1)


def pictures(n: int, side: int) -> Any:
    """Smooth colors under noise, uint8 (n, 3, side, side)."""
    import torch
    from torch.nn import functional as F

    source = torch.Generator().manual_seed(side)
    coarse = torch.rand(n, 3, 5, 5, generator=source)
    fine = torch.rand(n, 3, side, side, generator=source)
    smooth = F.interpolate(coarse, size=(side, side), mode="bicubic", align_corners=False)
    return (255 * (0.85 * smooth + 0.15 * fine).clamp(0, 1)).to(torch.uint8)


def _nearfar(policy: str, size: int, device: str) -> Maker:
    import torch
    from torch.nn import functional as F

    from nearfar.core.types import StoredImages
    from nearfar.views.making import ViewPlan, make_views
    from nearfar.views.policies import named_policy

    n = (GPU_BATCH if device == "cuda" else BATCH)[size]
    images = pictures(n, SOURCE_PX[size])
    half = F.avg_pool2d(images.float(), 2).round().to(torch.uint8)
    true_px = torch.full((n, 2), SOURCE_PX[size])
    stored = StoredImages(_channels_last(images), _channels_last(half), true_px).to(device)
    plan = ViewPlan(named_policy(policy), COUNT, size, MEAN, STD)
    index, draw = torch.arange(n, device=device), torch.zeros(n, dtype=torch.int64, device=device)
    epoch = iter(range(10**9))

    def make() -> Any:
        (views,) = make_views(stored, plan, seed=0, epoch=next(epoch), index=index, draw=draw)
        return views

    return make


def _channels_last(images: Any) -> Any:
    return images.permute(0, 2, 3, 1).contiguous()


def _kornia(policy: str, size: int, device: str) -> Maker:
    import torch
    from kornia import augmentation as K
    from kornia.augmentation.auto import RandAugment

    setting = POLICIES[policy]
    steps = [K.RandomResizedCrop((size, size), scale=setting.area), K.RandomHorizontalFlip(p=0.5)]
    if setting.jitter is not None:
        steps.append(K.ColorJitter(*setting.jitter, p=0.8))
    if setting.gray:
        steps.append(K.RandomGrayscale(p=setting.gray))
    if setting.blur:
        steps.append(K.RandomGaussianBlur((kernel_px(size),) * 2, (0.1, 2.0), p=0.5))
    if setting.rand_augment:
        steps.append(RandAugment(n=2, m=9))
    steps.append(K.Normalize(mean=torch.tensor(MEAN), std=torch.tensor(STD)))
    transform = K.AugmentationSequential(*steps, transformation_matrix_mode="skip").to(device)
    n = COUNT * GPU_BATCH[size] if device == "cuda" else KORNIA_BATCH[size]
    images = pictures(n, SOURCE_PX[size]).to(device)
    return lambda: transform(images.float() / 255)


def _torchvision(policy: str, size: int, start: str) -> Maker:
    import torch
    from torchvision.transforms import v2

    setting = POLICIES[policy]
    to_float = v2.ToDtype(torch.float32, scale=True)
    steps = [v2.RandomResizedCrop(size, scale=setting.area), v2.RandomHorizontalFlip()]
    if start == "tensor" and not setting.rand_augment:
        steps.append(to_float)
    if setting.jitter is not None:
        steps.append(v2.RandomApply([v2.ColorJitter(*setting.jitter)], p=0.8))
    if setting.gray:
        steps.append(v2.RandomGrayscale(p=setting.gray))
    if setting.rand_augment:
        steps.append(v2.RandAugment(num_ops=2, magnitude=9))
    if start == "PIL":
        steps.append(v2.ToImage())
    if setting.blur:
        steps.append(v2.RandomApply([v2.GaussianBlur(kernel_px(size), sigma=(0.1, 2.0))], p=0.5))
    if to_float not in steps:
        steps.append(to_float)
    return _one_after_another(v2.Compose([*steps, v2.Normalize(MEAN, STD)]), size, start)


def _lightly(policy: str, size: int) -> Maker:
    from lightly.transforms import SimCLRTransform

    setting = POLICIES[policy]
    assert setting.jitter is not None
    brightness, contrast, saturation, hue = setting.jitter
    both = SimCLRTransform(
        input_size=size,
        cj_bright=brightness,
        cj_contrast=contrast,
        cj_sat=saturation,
        cj_hue=hue,
        min_scale=setting.area[0],
        random_gray_scale=setting.gray,
        gaussian_blur=0.5 if setting.blur else 0.0,
        normalize={"mean": list(MEAN), "std": list(STD)},
    )
    return _one_after_another(both, size, "PIL")


def _albumentations(policy: str, size: int) -> Maker:
    import albumentations as A
    import cv2
    from albumentations.pytorch import ToTensorV2

    cv2.setNumThreads(0)
    setting = POLICIES[policy]
    steps = [A.RandomResizedCrop(size=(size, size), scale=setting.area), A.HorizontalFlip(p=0.5)]
    if setting.jitter is not None:
        steps.append(A.ColorJitter(*setting.jitter, p=0.8))
    if setting.gray:
        steps.append(A.ToGray(p=setting.gray))
    if setting.blur:
        steps.append(
            A.GaussianBlur(blur_limit=(kernel_px(size),) * 2, sigma_limit=(0.1, 2.0), p=0.5)
        )
    transform = A.Compose([*steps, A.Normalize(mean=MEAN, std=STD), ToTensorV2()])
    return _one_after_another(lambda image: transform(image=image)["image"], size, "array")


def _one_after_another(transform: Callable[[Any], Any], size: int, start: str) -> Maker:
    """Views of one image after another, from PIL images, uint8 tensors or arrays."""
    from itertools import cycle

    from PIL import Image

    tensors = pictures(BATCH[size], SOURCE_PX[size])
    arrays = list(_channels_last(tensors).numpy())
    sources = {
        "tensor": list(tensors),
        "array": arrays,
        "PIL": [Image.fromarray(array) for array in arrays],
    }
    images = cycle(sources[start])
    return lambda: transform(next(images))


def maker(name: str, policy: str, size: int, device: str) -> Maker:
    if name == OURS:
        return _nearfar(policy, size, device)
    if name == "kornia":
        return _kornia(policy, size, device)
    if name == "lightly":
        return _lightly(policy, size)
    if name == "albumentations":
        return _albumentations(policy, size)
    return _torchvision(policy, size, start=name.split(", ")[1])


def views_in(made: Any, size: int) -> int:
    """How many; lightly hands over a list of two."""
    import torch

    views = torch.stack(made) if isinstance(made, list) else made
    assert views.dtype == torch.float32, views.dtype
    assert views.shape[-3:] == (3, size, size), views.shape
    return views.numel() // (3 * size * size)


def rate(make: Maker, each: int, seconds: float, device: str) -> float:
    """Views a second. On a GPU several calls run before the clock is read, as in training."""
    import torch

    calls = 8 if device == "cuda" else 1
    made, started = 0, time.perf_counter()
    while (spent := time.perf_counter() - started) < seconds or made < FEWEST:
        for _ in range(calls):
            make()
        made += calls * each
        if device == "cuda":
            torch.cuda.synchronize()
    return made / spent


def copies_per_second(views: Any, cores: int, device: str) -> float:
    """How often the views' bytes are copied in a second, to memory that is there already: the best
    of many.
    """
    import numpy as np
    import torch

    if device == "cuda":
        target, calls = torch.empty_like(views), 20
        for _ in range(3):  # the last is quoted
            torch.cuda.synchronize()
            started = time.perf_counter()
            for _ in range(calls):
                target.copy_(views)
            torch.cuda.synchronize()
            rate_of_copies = calls / (time.perf_counter() - started)
        return rate_of_copies
    parts = np.array_split(views.contiguous().view(-1).numpy(), cores)
    targets = [np.zeros_like(part) for part in parts]
    spent: list[float] = []
    with ThreadPoolExecutor(cores) as pool:
        while len(spent) < 5 or (sum(spent) < 0.3 and len(spent) < 1000):
            started = time.perf_counter()
            list(pool.map(np.copyto, targets, parts))
            spent.append(time.perf_counter() - started)
    return 1 / min(spent)


def measure(
    name: str, policy: str, size: int, cores: int, device: str, seconds: float
) -> dict[str, float]:
    """One process's figures."""
    if hasattr(os, "sched_setaffinity") and device == "cpu":
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    import torch

    torch.set_num_threads(cores if name in BATCHED else 1)
    if name in PER_SAMPLE:
        return {"views_per_second": _several(name, policy, size, cores, seconds)}
    with torch.inference_mode():
        make = maker(name, policy, size, device)
        views = make()
        each = views_in(views, size)
        rate(make, each, min(0.2, seconds), device)
        found = {"views_per_second": rate(make, each, seconds, device)}
        if name == OURS:
            found["copy_share"] = found["views_per_second"] / (
                each * copies_per_second(views, cores, device)
            )
    return found


def _several(name: str, policy: str, size: int, processes: int, seconds: float) -> float:
    """The rates of as many processes at once, added up."""
    context = multiprocessing.get_context("fork")  # quick; torch has started no thread yet
    ready, answers = context.Barrier(processes), context.Queue()
    task = (name, policy, size, seconds, ready, answers)
    workers = [
        context.Process(target=_worker, args=(*task, seed), daemon=True)
        for seed in range(processes)
    ]
    for worker in workers:
        worker.start()
    rates = []
    while len(rates) < processes:
        try:
            rates.append(answers.get(timeout=1))
        except queue.Empty as error:
            if any(worker.exitcode for worker in workers):
                raise RuntimeError(f"{name}: a worker failed") from error
    for worker in workers:
        worker.join()
    return sum(rates)


def _worker(
    name: str, policy: str, size: int, seconds: float, ready: Any, answers: Any, seed: int
) -> None:
    import numpy as np
    import torch

    torch.manual_seed(seed)
    np.random.seed(seed)  # lightly draws from it
    with torch.inference_mode():
        make = maker(name, policy, size, "cpu")
        each = views_in(make(), size)
        rate(make, each, min(0.2, seconds), "cpu")
        ready.wait(timeout=120)
        answers.put(rate(make, each, seconds, "cpu"))


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    cells = [
        (policy, size, cores)
        for policy in arguments.policies
        for size in arguments.sizes
        for cores in (arguments.cores if arguments.device == "cpu" else [1])
    ]
    rows: dict[tuple[str, str, int, int], list[dict[str, float]]] = {}
    for repeat in range(arguments.repeats):
        for policy, size, cores in cells:
            for name in candidates(policy, arguments.device):
                one = [
                    name,
                    policy,
                    str(size),
                    str(cores),
                    arguments.device,
                    str(arguments.seconds),
                ]
                threads = str(cores if name in BATCHED else 1)
                environment = os.environ | {
                    "OMP_NUM_THREADS": threads,
                    "NUMBA_NUM_THREADS": threads,
                }
                command = [sys.executable, "-W", "ignore", __file__, "--one", *one]
                done = subprocess.run(
                    command, env=environment, capture_output=True, text=True, check=False
                )
                if done.returncode:
                    print(*one, (done.stderr.strip().splitlines() or ["died"])[-1], file=sys.stderr)
                    continue
                rows.setdefault((policy, size, cores, name), []).append(
                    json.loads(done.stdout.splitlines()[-1])
                )
        print(f"round {repeat + 1} of {arguments.repeats}", file=sys.stderr)
    import torch

    torch.set_num_threads(max(arguments.cores))
    table = [
        {
            **dict(zip(("policy", "size", "cores", "name"), key, strict=True)),
            **{k: statistics.median(r[k] for r in found) for k in found[0]},
            "runs": [r["views_per_second"] for r in found],
        }
        for key, found in rows.items()
    ]
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "hardware": hardware(arguments.device, "float32"),
        "versions": {package: version(package) for package in PACKAGES},
        "batch": GPU_BATCH
        if arguments.device == "cuda"
        else {OURS: BATCH, "kornia (views)": KORNIA_BATCH},
        "seconds": arguments.seconds,
        "table": table,
    }


def show(result: dict[str, Any]) -> None:
    """A Markdown table: views a second, and in brackets how many times faster nearfar is."""
    print(json.dumps({key: value for key, value in result.items() if key != "table"}), end="\n\n")
    names = list(dict.fromkeys(row["name"] for row in result["table"]))
    print("| policy | px | cores |", " | ".join([*names, "share of the copy"]), "|")
    print("|---" * (len(names) + 4) + "|")
    cells: dict[tuple[str, int, int], dict[str, dict[str, Any]]] = {}
    for row in result["table"]:
        cells.setdefault((row["policy"], row["size"], row["cores"]), {})[row["name"]] = row
    for (policy, size, cores), found in cells.items():
        ours = found.get(OURS, {})
        texts = []
        for name in names:
            views = found.get(name, {}).get("views_per_second")
            text = "" if views is None else f"{views:,.0f}"
            if views is not None and ours and name != OURS:
                text += f" ({ours['views_per_second'] / views:.1f}x)"
            texts.append(text)
        share = f"{ours['copy_share']:.3f}" if ours else ""
        print(f"| {policy} | {size} | {cores} |", " | ".join([*texts, share]), "|")


def draw(result: dict[str, Any], path: Path) -> None:
    from matplotlib import pyplot as plt

    table = result["table"]
    policies, sizes, cores, names = (
        list(dict.fromkeys(row[key] for row in table))
        for key in ("policy", "size", "cores", "name")
    )
    shape = (len(policies), len(sizes))
    figure, axes = plt.subplots(
        *shape, figsize=(4.6 * shape[1], 2.9 * shape[0] + 0.6), squeeze=False, sharex="col"
    )
    found = {
        (row["policy"], row["size"], row["cores"], row["name"]): row["views_per_second"]
        for row in table
    }
    high = 0.8 / len(cores)
    for (i, policy), (j, size) in ((a, b) for a in enumerate(policies) for b in enumerate(sizes)):
        axis = axes[i][j]
        for c, n in enumerate(cores):
            for at, name in enumerate(names):
                if (views := found.get((policy, size, n, name))) is None:
                    continue
                color = "#1b6ca8" if name == OURS else "#8a8f98"
                y = at + (c - (len(cores) - 1) / 2) * high
                axis.barh(
                    y,
                    views,
                    height=0.92 * high,
                    color=color,
                    alpha=1 if c == len(cores) - 1 else 0.5,
                )
                axis.text(views * 1.08, y, f"{views:,.0f}", va="center", fontsize=7)
        axis.set(
            xscale="log",
            title=f"{policy}, {size} px" + (f" from {SOURCE_PX[size]}" if size == 224 else ""),
        )
        axis.set_yticks(range(len(names)), names if j == 0 else [""] * len(names), fontsize=8)
        axis.invert_yaxis()
        axis.grid(alpha=0.3, axis="x", which="major")
        axis.spines[["top", "right"]].set_visible(False)
    for j, size in enumerate(sizes):
        values = [views for (_, of, _, _), views in found.items() if of == size]
        axes[-1][j].set_xlim(min(values) / 2, max(values) * 5)
        axes[-1][j].set_xlabel("views a second")
    device = result["hardware"]["device"]
    on = f"CPU, cores: {', '.join(map(str, cores))}" if device == "cpu" else device
    pale = f" (pale: {cores[0]})" if len(cores) > 1 else ""
    figure.suptitle(f"Views a second on {on}{pale}", fontsize=11)
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def known(policies: list[str]) -> list[str]:
    """Those that nearfar has; the others are left out, and said so."""
    from nearfar.views.policies import POLICIES as OURS_BY_NAME

    for policy in policies:
        if policy not in OURS_BY_NAME:
            print(
                f"LEFT OUT: {policy} is not among nearfar's policies ({', '.join(OURS_BY_NAME)})",
                file=sys.stderr,
            )
    return [policy for policy in policies if policy in OURS_BY_NAME]


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        _, _, name, policy, size, cores, device, seconds = sys.argv
        print(json.dumps(measure(name, policy, int(size), int(cores), device, float(seconds))))
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument(
        "--sizes", type=lambda text: [int(n) for n in text.split(",")], default=list(SOURCE_PX)
    )
    parser.add_argument("--policies", type=lambda text: text.split(","), default=list(POLICIES))
    parser.add_argument(
        "--cores", type=lambda text: [int(n) for n in text.split(",")], default=[1, 2]
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    arguments = parser.parse_args()
    for wanted, there in ((arguments.sizes, SOURCE_PX), (arguments.policies, POLICIES)):
        if unknown := [name for name in wanted if name not in there]:
            parser.error(
                f"want some of {', '.join(map(str, there))}, got {', '.join(map(str, unknown))}"
            )
    arguments.policies = known(arguments.policies)
    if not arguments.policies:
        sys.exit("nothing is left to measure")
    arguments.out.mkdir(parents=True, exist_ok=True)
    result = run(arguments)
    (arguments.out / "views.json").write_text(json.dumps(result, indent=1))
    show(result)
    draw(result, arguments.out / "views.png")


if __name__ == "__main__":
    main()
