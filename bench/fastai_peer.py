"""fastai's `vision_learner(...).fine_tune(epochs)` from the weights and images of photographs.py.

Its defaults: a frozen epoch, then the whole network with rates that differ by depth; its head on
average and maximum pooling; `aug_transforms`; batch 64. The weights and their normalization are
given, as its own download would.
"""

import os
import time
from pathlib import Path
from typing import Any

import photographs


def run(data: Path, size: int, epochs: int, seed: int) -> dict[str, Any]:
    import numpy as np
    from fastai.vision import all as fastai
    from safetensors.torch import load_file

    from nearfar.data.sources import open_source

    listing = open_source(data)
    images = dict(photographs.images(data))
    rows = {
        split: [i for i, its in enumerate(listing.splits) if its == split]
        for split in ("train", "val", "test")
    }
    fastai.set_seed(seed, reproducible=True)
    block = fastai.DataBlock(
        blocks=(fastai.ImageBlock, fastai.CategoryBlock(vocab=list(listing.class_names))),
        get_x=lambda row: fastai.PILImage.create(np.asarray(images[listing.paths[row]])),
        get_y=lambda row: listing.class_names[int(listing.labels[row])],
        splitter=fastai.FuncSplitter(lambda row: listing.splits[row] == "val"),
        item_tfms=fastai.Resize(size),
        batch_tfms=[
            *fastai.aug_transforms(),
            fastai.Normalize.from_stats([photographs.MEAN] * 3, [photographs.STD] * 3),
        ],
    )
    loaders = block.dataloaders(
        rows["train"] + rows["val"], bs=64, num_workers=0, device=fastai.default_device(use=False)
    )
    learner = fastai.vision_learner(
        loaders, photographs.ENCODER, pretrained=False, normalize=False, metrics=fastai.accuracy
    )
    weights = load_file(Path(os.environ["NEARFAR_DATA"]) / photographs.WEIGHTS)
    body = {name: value for name, value in weights.items() if not name.startswith("classifier.")}
    missing = learner.model[0].model.load_state_dict(body, strict=False)
    assert not missing.missing_keys, missing.missing_keys
    started = time.perf_counter()
    with learner.no_bar(), learner.no_logging():
        learner.fine_tune(epochs)
        seconds = time.perf_counter() - started
        found, _ = learner.get_preds(dl=loaders.test_dl(rows["test"]))
    truth = np.array([int(listing.labels[row]) for row in rows["test"]])
    right = float((found.argmax(dim=1).numpy() == truth).mean())
    return {"head.top1": right, "train_seconds": seconds}
