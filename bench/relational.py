"""The relational step against the plain form: PIL transforms a view in a DataLoader, joined pairs
through the head.

    python bench/relational.py OUT [--views 4,16] [--batch-size 64] [--steps 60] [--repeats 3]
    [--workers 0]

Both train Conv4 with Adam on the same made-up 32 px images: views, encoder, head, plain loss,
backward, optimizer. The plain form is written as the authors of arXiv:2006.05849 did: for each
image K times RandomResizedCrop, flip, ColorJitter and gray by torchvision on PIL images, in a
DataLoader; all pairs concatenated in a Python loop, negatives by torch.roll, and the whole head on
the joined rows. Ours: the views of the `simclr` policy on the batch, the factorised head. Each
measurement is a process of its own, the two take turns, and the median is quoted. Writes
OUT/relational.json and prints the table.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

SIZE = 32  # px
MEAN, STD = (0.491, 0.482, 0.447), (0.247, 0.243, 0.262)
FORMS = ("plain", "nearfar")
WARM_UP_STEPS = 3


def images(count: int) -> Any:
    """uint8 (count, 32, 32, 3): smooth noise, so that crops and colors have something to
    change.
    """
    import torch
    from torch.nn import functional as F

    source = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, 8, 8, generator=source)
    fine = F.interpolate(coarse, size=SIZE, mode="bicubic").clamp(0, 1)
    return (255 * fine).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def plain_steps(views: int, batch_size: int, steps: int, workers: int) -> Iterator[None]:
    """One step each time it is asked."""
    import torch
    from PIL import Image
    from torch import nn
    from torch.utils.data import DataLoader, Dataset
    from torchvision import transforms

    from nearfar.nn.conv4 import conv4

    transform = transforms.Compose(
        [
            transforms.RandomResizedCrop(SIZE, scale=(0.08, 1.0), ratio=(0.75, 1.3333)),
            transforms.RandomHorizontalFlip(),
            transforms.RandomApply([transforms.ColorJitter(0.8, 0.8, 0.8, 0.2)], p=0.8),
            transforms.RandomGrayscale(p=0.2),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )

    class Pictures(Dataset[list[Any]]):
        def __init__(self) -> None:
            self.pixels = images(batch_size * (steps + WARM_UP_STEPS)).numpy()

        def __len__(self) -> int:
            return len(self.pixels)

        def __getitem__(self, index: int) -> list[Any]:
            picture = Image.fromarray(self.pixels[index])
            return [transform(picture) for _ in range(views)]

    net = conv4()
    head = nn.Sequential(
        nn.Linear(128, 256), nn.BatchNorm1d(256), nn.LeakyReLU(), nn.Linear(256, 1)
    )
    optimizer = torch.optim.Adam([*net.parameters(), *head.parameters()], lr=1e-3)
    loss_of = nn.BCEWithLogitsLoss()
    for batch in DataLoader(Pictures(), batch_size=batch_size, shuffle=True, num_workers=workers):
        optimizer.zero_grad()
        features = net(torch.cat(batch)).split(batch_size)
        pairs, targets, shift = [], [], 1
        for i in range(views):
            for j in range(i + 1, views):
                pairs.append(torch.cat([features[i], features[j]], 1))
                pairs.append(
                    torch.cat([features[i], torch.roll(features[j], shifts=shift, dims=0)], 1)
                )
                targets += [torch.ones(batch_size), torch.zeros(batch_size)]
                shift = shift + 1 if shift + 1 < batch_size else 1
        loss = loss_of(head(torch.cat(pairs)).squeeze(1), torch.cat(targets))
        loss.backward()
        optimizer.step()
        float(loss.detach())
        yield


def our_steps(views: int, batch_size: int, steps: int, _workers: int) -> Iterator[None]:
    """The same by nearfar's parts, as its loop calls them."""
    import torch
    from torch.nn import functional as F

    from nearfar.core.hardware import has_native_bf16
    from nearfar.core.types import Batch, DataFacts, StoredImages
    from nearfar.methods.relational import Relational, RelationalConfig
    from nearfar.nn.conv4 import conv4
    from nearfar.nn.encoders import Encoder
    from nearfar.views.making import ViewPlan, make_views
    from nearfar.views.policies import named_policy

    count = batch_size * (steps + WARM_UP_STEPS)
    pixels = images(count)
    half = (
        F.avg_pool2d(pixels.permute(0, 3, 1, 2).float(), 2)
        .round()
        .to(torch.uint8)
        .permute(0, 2, 3, 1)
        .contiguous()
    )
    size_px = torch.full((count, 2), SIZE)
    plan = ViewPlan(named_policy("simclr"), views, SIZE, MEAN, STD)
    encoder = Encoder(
        conv4(), example=torch.zeros(1, 3, SIZE, SIZE), architecture="conv4", library="nearfar"
    )
    if has_native_bf16(torch.device("cpu")):
        encoder.precision = "bf16"
    facts = DataFacts("noise", SIZE, (), (), 0, n_unlabeled=count)
    method = Relational(encoder, RelationalConfig(loss="bce"), facts).train()
    optimizer = torch.optim.Adam(method.parameters(), lr=1e-3)
    for index in torch.randperm(count).split(batch_size):
        optimizer.zero_grad()
        draw = torch.zeros_like(index)
        stored = StoredImages(pixels[index], half[index], size_px[index])
        shown = make_views(stored, plan, seed=0, epoch=0, index=index, draw=draw)
        result = method(Batch(shown, torch.full_like(index, -1), index, draw, 0, 0, 0.0))
        result.loss.backward()
        optimizer.step()
        float(result.loss.detach())
        yield


def measure(form: str, views: int, batch_size: int, steps: int, workers: int) -> float:
    """Seconds of so many steps, after a few to warm up. Run in a process of its own."""
    run: dict[str, Callable[..., Iterator[None]]] = {"plain": plain_steps, "nearfar": our_steps}
    from nearfar.core.memory import kept_memory

    going = run[form](views, batch_size, steps, workers)
    with kept_memory() if form == "nearfar" else nullcontext():  # as a run of nearfar does
        for _ in range(WARM_UP_STEPS):
            next(going)
        started = time.perf_counter()
        done = sum(1 for _ in going)
        assert done == steps, (done, steps)
        return time.perf_counter() - started


def machine() -> dict[str, Any]:
    import torch

    a = torch.randn(1024, 1024)
    fastest = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        a @ a
        fastest = min(fastest, time.perf_counter() - started)
    return {
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gemm_gflops": round(2 * 1024**3 / fastest / 1e9),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--views", default="4,16")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--workers", type=int, default=0, help="of the plain form's DataLoader (0: its default)"
    )
    parser.add_argument("--one", nargs=2, metavar=("FORM", "VIEWS"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        form, views = asked.one
        print(json.dumps(measure(form, int(views), asked.batch_size, asked.steps, asked.workers)))
        return
    rows = []
    for views in map(int, asked.views.split(",")):
        seconds: dict[str, list[float]] = {form: [] for form in FORMS}
        for _ in range(asked.repeats):
            for form in FORMS:
                command = [sys.executable, __file__, str(asked.out), "--one", form, str(views)]
                for name in ("batch_size", "steps", "workers"):
                    command += [f"--{name.replace('_', '-')}", str(getattr(asked, name))]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                seconds[form].append(json.loads(done.stdout))
        step_ms = {
            form: 1e3 * statistics.median(found) / asked.steps for form, found in seconds.items()
        }
        rows.append(
            {
                "views": views,
                "step_ms": step_ms,
                "ratio": step_ms["plain"] / step_ms["nearfar"],
                **seconds,
            }
        )
        print(
            f"K = {views}, B = {asked.batch_size}: plain {step_ms['plain']:.0f} ms a step, nearfar "
            f"{step_ms['nearfar']:.0f} ms, {rows[-1]['ratio']:.1f} times as fast",
            flush=True,
        )
    asked.out.mkdir(parents=True, exist_ok=True)
    settings = {
        name: getattr(asked, name) for name in ("batch_size", "steps", "repeats", "workers")
    }
    content = {"machine": machine(), **settings, "rows": rows}
    (asked.out / "relational.json").write_text(
        json.dumps(content, indent=1) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
