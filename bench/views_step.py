"""SimCLR end to end: images a second of nearfar's step and of lightly's, and what share of the step
is view making.

    pip install '.[bench]' NEARFAR_DATA=FOLDER python bench/views_step.py OUT [--encoders
    conv4,resnet18] [--policy simclr] [--repeats 5]
                                                       [--batch 256] [--seconds 5]

Both sides train the same encoder (channels last; ResNet-18 with the small-image stem), a projector
of the same shape, NT-Xent, and SGD with momentum, two views an image, on the same pixels of
CIFAR-10 (FOLDER/cifar10.tar.xz, decoded once), on all the cores (leave OMP_NUM_THREADS unset).

- nearfar: `Batches`, `SimCLR.step`, backward, its optimizer, freed memory kept, in float32, and in
  bf16 where the CPU
  has it. `--policy` names the views; for equal work it has to be without blur.
- lightly: the loop of its SimCLR example: `SimCLRTransform(input_size=32, gaussian_blur=0.0)` from
  PIL images in a
  DataLoader, the views one after another through encoder and `SimCLRProjectionHead`, `NTXentLoss`,
  SGD; with two workers, and with none. Float32 as in the example, and with two workers the encoder
  in bf16 too.

Each measurement is a process of its own; all candidates take turns, `--repeats` times over, and the
median is quoted. A process makes WARM_UP steps first (workers have started and their queue is full,
kernels are compiled), then steps for `--seconds`, and at least FEWEST. Writes OUT/views_step.json
and prints the table.
"""

import argparse
import datetime
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import Any

from losses import hardware

ENCODERS = ("conv4", "resnet18")
CANDIDATES = (
    "nearfar",
    "nearfar, bf16",
    "lightly, 2 workers",
    "lightly, 2 workers, bf16",
    "lightly, no workers",
)
SIZE, TEMPERATURE, LR = 32, 0.2, 0.06
WARM_UP = {"conv4": 8, "resnet18": 2}  # steps
FEWEST = {"conv4": 20, "resnet18": 3}


def _data() -> Any:
    from nearfar.data.center import CenterSquare
    from nearfar.data.sources import open_source
    from nearfar.data.store import load

    return load(
        open_source(Path(os.environ["NEARFAR_DATA"]) / "cifar10.tar.xz"), CenterSquare(SIZE)
    )


def _encoder(name: str, *, bf16: bool) -> Any:
    import torch

    from nearfar.nn.building import build_encoder

    torch.manual_seed(0)
    encoder = build_encoder(name, example=torch.zeros(1, 3, SIZE, SIZE)).train()
    encoder.precision = "bf16" if bf16 else "float32"
    return encoder


def nearfar_steps(name: str, batch: int, policy: str, *, bf16: bool) -> Iterator[float]:
    """Endless steps; each yields the seconds that its views took, gathering included."""
    import torch

    from nearfar.data.center import CenterSquare
    from nearfar.data.samples import EvaluationView, ImageSamples
    from nearfar.experiment.encoding import channel_statistics
    from nearfar.methods.simclr import SimCLR, SimCLRConfig
    from nearfar.training.batches import Batches
    from nearfar.training.optimizers import build_optimizer
    from nearfar.views.making import ViewPlan
    from nearfar.views.policies import named_policy

    data = _data()
    mean, std = channel_statistics(data)
    pool = data.split("train")
    method = SimCLR(
        _encoder(name, bf16=bf16), SimCLRConfig(temperature=TEMPERATURE), data.facts(SIZE)
    ).train()
    last = method.encoder.memory_format == torch.channels_last
    optimizer = build_optimizer("sgd", method.parameters(), lr=LR, weight_decay=1e-4, momentum=0.9)
    view = EvaluationView(CenterSquare(SIZE), mean, std)
    plan = ViewPlan(named_policy(policy), 2, SIZE, mean, std, channels_last=last)
    batches = Batches(
        samples=ImageSamples(data, view, torch.device("cpu"), plan),
        pool=pool,
        batch_size=batch,
        steps_per_epoch=len(pool) // batch,
        epochs=1000,
        seed=0,
        balanced=False,
        with_labels=False,
        device=torch.device("cpu"),
    )
    made = itertools.chain.from_iterable(batches.epoch(epoch) for epoch in itertools.count())
    while True:
        started = time.perf_counter()
        one = next(made)
        spent = time.perf_counter() - started
        result = method(one)
        result.loss.backward()
        method.after_backward(one.progress)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        method.after_step(result.remember, one.progress)
        yield spent


class _Pictures:
    """Decoded pixels as PIL images, two views of each, like torchvision's CIFAR10 with lightly's
    transform.
    """

    def __init__(self, images: Any, transform: Any) -> None:
        self.images, self.transform = images, transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> Any:
        from PIL import Image

        return self.transform(Image.fromarray(self.images[row]))


def lightly_steps(name: str, batch: int, workers: int, *, bf16: bool) -> Iterator[float]:
    """Endless steps; each yields the seconds that it waited for its views."""
    import numpy as np
    import torch
    from lightly.loss import NTXentLoss
    from lightly.models.modules import SimCLRProjectionHead
    from lightly.transforms import SimCLRTransform

    data = _data()
    images = np.asarray(data.images[data.split("train").numpy()])
    loader = torch.utils.data.DataLoader(
        _Pictures(images, SimCLRTransform(input_size=SIZE, gaussian_blur=0.0)),
        batch_size=batch,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    encoder = _encoder(name, bf16=bf16)
    head = SimCLRProjectionHead(encoder.width, encoder.width, 128)
    criterion = NTXentLoss(temperature=TEMPERATURE)
    parameters = [*encoder.parameters(), *head.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=LR, momentum=0.9, weight_decay=1e-4, nesterov=True)
    made = itertools.chain.from_iterable(loader for _ in itertools.count())
    while True:
        started = time.perf_counter()
        first, second = next(made)
        spent = time.perf_counter() - started
        loss = criterion(head(encoder(first)), head(encoder(second)))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        yield spent


def measure(
    candidate: str, encoder: str, batch: int, policy: str, seconds: float
) -> dict[str, float]:
    """One process's figures; the share is of time spent on views, or waiting for them."""
    side, *settings = candidate.split(", ")
    bf16 = "bf16" in settings
    if side == "nearfar":
        steps = nearfar_steps(encoder, batch, policy, bf16=bf16)
    else:
        steps = lightly_steps(encoder, batch, 2 if "2 workers" in settings else 0, bf16=bf16)
    from nearfar.core.memory import kept_memory

    views: list[float] = []
    with kept_memory() if side == "nearfar" else nullcontext():  # as a run of nearfar does
        for _ in range(WARM_UP[encoder]):
            next(steps)
        started = time.perf_counter()
        while (spent := time.perf_counter() - started) < seconds or len(views) < FEWEST[encoder]:
            views.append(next(steps))
    return {
        "images_per_second": batch * len(views) / spent,
        "step_ms": 1e3 * spent / len(views),
        "views_share": sum(views) / spent,
    }


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    facts = hardware("cpu", "float32")
    names = [name for name in CANDIDATES if "bf16" not in name or facts["native_bf16"]]
    if len(names) < len(CANDIDATES):
        print("LEFT OUT: bf16, which this CPU has not natively", file=sys.stderr)
    rows: dict[tuple[str, str], list[dict[str, float]]] = {}
    for repeat in range(arguments.repeats):
        for encoder, name in itertools.product(arguments.encoders, names):
            one = [name, encoder, str(arguments.batch), arguments.policy, str(arguments.seconds)]
            command = [sys.executable, "-W", "ignore", __file__, "--one", *one]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                print(*one, (done.stderr.strip().splitlines() or ["died"])[-1], file=sys.stderr)
                continue
            rows.setdefault((encoder, name), []).append(json.loads(done.stdout.splitlines()[-1]))
        print(f"round {repeat + 1} of {arguments.repeats}", file=sys.stderr)
    table = [
        {
            "encoder": encoder,
            "name": name,
            **{k: statistics.median(r[k] for r in found) for k in found[0]},
            "runs": [r["images_per_second"] for r in found],
        }
        for (encoder, name), found in rows.items()
    ]
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "hardware": facts,
        "versions": {
            package: version(package)
            for package in ("torch", "torchvision", "lightly", "pillow", "timm")
        },
        "batch": arguments.batch,
        "seconds": arguments.seconds,
        "settings": settings(arguments.policy),
        "table": table,
    }


def settings(policy: str) -> dict[str, str]:
    from nearfar.views.policies import named_policy

    return {
        "both": (
            f"SimCLR, two views at {SIZE} px, NT-Xent at temperature {TEMPERATURE}, projector"
            f" Linear - BatchNorm - ReLU - Linear from the encoder's width to 128, SGD (rate {LR},"
            " Nesterov momentum .9, weight decay 1e-4)"
        ),
        "nearfar": (
            f"policy {policy}: {named_policy(policy).model_dump_json(exclude_defaults=True)}"
        ),
        "lightly": (
            "SimCLRTransform(input_size=32, gaussian_blur=0.0): crop .08 to 1, flip .5, jitter"
            " .8/.8/.8/.2 with probability .8, gray .2; DataLoader(shuffle, drop_last, persistent"
            " workers)"
        ),
        "bf16": "autocast of the encoder",
    }


def show(result: dict[str, Any]) -> None:
    """A Markdown table; the ratios are to lightly with two workers in float32."""
    print(
        json.dumps(
            {key: value for key, value in result.items() if key not in ("table", "settings")}
        )
    )
    for side, text in result["settings"].items():
        print(f"{side}: {text}")
    print("\n| encoder | | images/s | ms a step | share of the views | x lightly, 2 workers |")
    print("|---" * 6 + "|")
    speed = {(row["encoder"], row["name"]): row["images_per_second"] for row in result["table"]}
    for row in result["table"]:
        peer = speed.get((row["encoder"], "lightly, 2 workers"))
        ratio = f"{row['images_per_second'] / peer:.2f}" if peer else ""
        print(
            f"| {row['encoder']} | {row['name']} | {row['images_per_second']:,.0f} |"
            f" {row['step_ms']:,.1f} | {100 * row['views_share']:.1f} % | {ratio} |"
        )


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        _, _, candidate, encoder, batch, policy, seconds = sys.argv
        print(json.dumps(measure(candidate, encoder, int(batch), policy, float(seconds))))
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--encoders", type=lambda text: text.split(","), default=list(ENCODERS))
    parser.add_argument("--policy", default="simclr")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=5.0)
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.encoders if name not in ENCODERS]:
        parser.error(f"want some of {', '.join(ENCODERS)}, got {', '.join(unknown)}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    _data()  # decoded once, before anything is measured
    result = run(arguments)
    (arguments.out / "views_step.json").write_text(json.dumps(result, indent=1))
    show(result)


if __name__ == "__main__":
    main()
