"""Run folders written by hand, as other rooms write them: numpy only, realistic enough to look
at.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

METHODS = {
    "supcon": (0.992, 5.54, 2.9),
    "cross_entropy": (0.989, 2.303, 0.05),
    "simclr": (0.966, 5.54, 4.3),
}


def digits_images() -> tuple[np.ndarray, np.ndarray]:
    """360 test digits as (n, 32, 32, 3) uint8, and their labels."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.rint(digits.images[-360:] * 255 / 16).astype(np.uint8)
    return np.repeat(images.repeat(4, 1).repeat(4, 2)[..., None], 3, -1), digits.target[
        -360:
    ].astype(np.int64)


def made_up_images(n: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Colored noise, for tests that look at no picture."""
    random = np.random.default_rng(seed)
    labels = (np.arange(n) % max(1, classes)).astype(np.int64)
    return random.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8), labels


def write_run(
    path: Path,
    *,
    method: str = "supcon",
    seed: int = 0,
    classes: tuple[str, ...] = tuple("0123456789"),
    images: tuple[np.ndarray, np.ndarray] | None = None,
    accuracy: float = 0.95,
    chance: float = 5.54,
    final_loss: float = 2.9,
    epochs: int = 30,
    command: str | None = None,
    change: dict[str, Any] | None = None,
) -> Path:
    """A complete run folder; `change` replaces top-level keys of results.json."""
    path.mkdir(parents=True)
    images = images or made_up_images(40, len(classes))
    random = np.random.default_rng(seed + sum(map(ord, method)))
    labels = images[1]
    rows = _rows(images, len(classes), accuracy, random)
    np.savez(path / "embeddings.npz", **rows)
    results = _results(method, seed, classes, labels, rows["predictions"], epochs, random)
    results["command"] = command or f"nearfar train digits --method {method} --seed {seed}"
    (path / "results.json").write_text(json.dumps(results | (change or {})))
    with (path / "metrics.jsonl").open("w") as file:
        for epoch in range(1, epochs + 1):
            t = epoch / epochs
            loss = final_loss + (chance - final_loss) * np.exp(-4 * t) + random.normal(0, 0.02)
            line = {
                "epoch": epoch,
                "step": epoch * 9,
                "loss": loss,
                "chance": chance,
                "lr": 0.5,
                "seconds": 0.2,
            }
            if epoch % 3 == 0:
                line["knn.top1.val"] = accuracy - 0.5 * np.exp(-5 * t) + random.normal(0, 0.004)
            file.write(json.dumps(line) + "\n")
    (path / "encoder").mkdir()
    config = {"architecture": "conv4 (nearfar)", "nearfar": CONV4 | {"class_names": classes}}
    (path / "encoder" / "config.json").write_text(json.dumps(config))
    (path / "encoder" / "model.safetensors").write_bytes(b"")
    (path / "run.toml").write_text(
        f'[method]\nname = "{method}"\ntemperature = 0.1\n\n[train]\nepochs = {epochs}\nseed ='
        f" {seed}\n"
    )
    (path / "environment.json").write_text(json.dumps(ENVIRONMENT))
    return path


CONV4 = {
    "architecture": "conv4",
    "library": "nearfar",
    "width": 64,
    "input_size": 8,
    "create": {},
    "stem": [],
    "mean": [0.305, 0.305, 0.305],
    "std": [0.376, 0.376, 0.376],
    "eval_crop": 1.0,
    "class_names": [],
}
ENVIRONMENT = {
    "nearfar": "0.1.0",
    "python": "3.12.3",
    "torch": "2.11.0",
    "torchvision": "0.26.0",
    "timm": "1.0.22",
    "platform": "Linux-6.8",
    "cpu": "a CPU with two cores",
    "cpu_capability": "AVX2",
    "threads": 2,
    "device": "cpu",
    "git": None,
    "time_utc": "2026-01-01T00:00:00Z",
}


def _rows(
    images: tuple[np.ndarray, np.ndarray],
    n_classes: int,
    accuracy: float,
    random: np.random.Generator,
) -> dict[str, np.ndarray]:
    thumbnails, labels = images
    n = len(labels)
    wrong = random.random(n) > accuracy
    predictions = np.where(
        wrong, (labels + random.integers(1, max(2, n_classes), n)) % max(1, n_classes), labels
    )
    angle = 2 * np.pi * labels / max(1, n_classes)
    xy = np.stack([np.cos(angle), np.sin(angle)], 1) * 40 + random.normal(0, 4.5, (n, 2))
    xy[wrong] *= 0.55
    far = ((xy[:, None] - xy[None]) ** 2).sum(-1)
    np.fill_diagonal(far, np.inf)
    neighbors = np.full((n, 10), -1, np.int64)  # -1, as nearfar writes it: there are no more
    neighbors[:, : min(10, n - 1)] = np.argsort(far, 1)[:, : min(10, n - 1)]
    neighbors[0, 7:] = -1
    return {
        "embeddings": random.normal(size=(n, 4)).astype(np.float32),
        "labels": labels,
        "predictions": predictions.astype(np.int64),
        "confidence": (
            np.where(wrong, random.uniform(0.4, 0.97, n), random.uniform(0.8, 1, n)).astype(
                np.float32
            )
        ),
        "split": np.array(["test"] * n),
        "paths": np.array([f"digits/{i:04d}" for i in range(n)]),
        "xy": xy.astype(np.float32),
        "neighbors": neighbors,
        "thumbnails": thumbnails,
    }


def _results(
    method: str,
    seed: int,
    classes: tuple[str, ...],
    labels: np.ndarray,
    predictions: np.ndarray,
    epochs: int,
    random: np.random.Generator,
) -> dict[str, Any]:
    n = len(labels)
    counts = np.zeros((len(classes), len(classes)), int)
    np.add.at(counts, (labels, predictions), 1)
    top1 = float((labels == predictions).mean())

    def measured(name: str, value: float, selection: str | None) -> dict[str, Any]:
        margin = 1.96 * (value * (1 - value) / n) ** 0.5
        return {
            "name": name,
            "split": "test",
            "selection": selection,
            "value": value,
            "n": n,
            "interval": [value - margin, min(1.0, value + margin)],
            "protocol": f"protocol of {name}",
        }

    values = {
        "linear_probe.top1": top1,
        "knn.top1": top1 - 0.01,
        "few_label_probe.top1@10": top1 - 0.04,
    }
    if method == "cross_entropy":
        values["head.top1"] = top1
    return {
        "nearfar": "0.1.0",
        "method": method,
        "seed": seed,
        "complete": True,
        "data": {
            "name": "digits",
            "source": "digits",
            "classes": list(classes),
            "n_train": 1078,
            "n_unlabeled": 0,
            "n_val": 359,
            "n_test": n,
            "side": 8,
            "skipped": [],
        },
        "encoder": {
            "name": "conv4",
            "width": 64,
            "size": 8,
            "stem": [],
            "mean": [0.3] * 3,
            "std": [0.4] * 3,
            "parameters": 24648,
        },
        "views": {"policy": "digits", "count": 2},
        "train": {"epochs": epochs, "batch_size": 128, "optimizer": "sgd", "lr": 0.5},
        "measurements": (
            [
                measured(k, v - d, s)
                for k, v in values.items()
                for s, d in (("last", 0.0), ("validation", 0.003))
            ]
            + [
                {
                    "name": "linear_probe.per_class",
                    "split": "test",
                    "selection": "last",
                    "n": n,
                    "interval": None,
                    "value": [0.9, None],
                    "protocol": "",
                }
            ]
        ),
        "untrained": [measured("linear_probe.top1", 0.781, None), measured("knn.top1", 0.74, None)],
        "confusion": {"split": "test", "counts": counts.tolist()},
        "cost": {
            "train_seconds": 6.1 + float(random.random()),
            "total_seconds": 8.0,
            "peak_memory_bytes": None,
            "views_seen": epochs * 1024 * 2,
            "steps": epochs * 8,
        },
        "diagnosis": ["The loss is far below chance and the representation uses its dimensions."],
    }


def write_comparison(
    path: Path,
    *,
    seeds: int = 3,
    images: tuple[np.ndarray, np.ndarray] | None = None,
    larger: bool | None = False,
    **run: Any,
) -> Path:
    """A comparison of three methods, its table gathered from its runs."""
    images = images or made_up_images(40, len(run.get("classes", "0123456789")))
    folders = []
    sd = 1.0 if seeds > 1 else None
    for method, (accuracy, chance, loss) in METHODS.items():
        for seed in range(seeds):
            folder = path / method / f"seed{seed}"
            write_run(
                folder,
                method=method,
                seed=seed,
                images=images,
                accuracy=accuracy,
                chance=chance,
                final_loss=loss,
                **run,
            )
            folders.append(folder.relative_to(path).as_posix())
    table = []
    for method, (accuracy, _, _) in METHODS.items():
        for name, offset in (
            ("linear_probe.top1", 0.0),
            ("knn.top1", 0.008),
            ("few_label_probe.top1@10", 0.06),
        ):
            for selection in ("last", "validation"):
                table.append(
                    {
                        "method": method,
                        "name": name,
                        "split": "test",
                        "selection": selection,
                        "mean": accuracy - offset,
                        "sd": sd and 0.003,
                        "seeds": seeds,
                    }
                )
        table.append(
            {
                "method": method,
                "name": "cost.train_seconds",
                "split": None,
                "selection": None,
                "mean": 6.4,
                "sd": 0.2,
                "seeds": seeds,
            }
        )
        table.append(
            {
                "method": method,
                "name": "cost.peak_memory_bytes",
                "split": None,
                "selection": None,
                "mean": None,
                "sd": None,
                "seeds": seeds,
            }
        )
    for name, value in (("linear_probe.top1", 0.781), ("knn.top1", 0.74)):
        table.append(
            {
                "method": "untrained",
                "name": name,
                "split": "test",
                "selection": None,
                "mean": value,
                "sd": sd and 0.012,
                "seeds": seeds,
            }
        )
    compare = {
        "nearfar": "0.1.0",
        "table": table,
        "comparisons": [
            {
                "name": "linear_probe.top1",
                "a": a,
                "b": b,
                "difference": METHODS[a][0] - METHODS[b][0],
                "interval": [-0.002, 0.008],
                "larger_than_noise": noise,
                "text": "",
            }
            for a, b, noise in (
                ("supcon", "cross_entropy", larger),
                ("supcon", "simclr", True),
                ("simclr", "cross_entropy", True),
            )
        ],
        "left_out": [
            {"method": "jigsaw", "reason": "needs images of at least 24 px, these have 8"}
        ],
        "runs": folders,
        "report": "report.html",
        "command": "nearfar demo",
        "seeds": seeds,
    }
    (path / "compare.json").write_text(json.dumps(compare))
    return path
