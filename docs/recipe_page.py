"""docs/recipes.md, from the headers of the recipes."""

from collections.abc import Mapping

from method_page import markdown_table

from nearfar.config.recipes import list_recipes

HEAD = """# Recipes

Published experiments as one command each: settings with their source, the result that was published, and on which hardware
in which time, where that is known. This page is generated from the recipes, as `nearfar recipes` is (`--search cassava`
finds some, `--json` gives all that a recipe says of itself).

```
nearfar train cifar10 --recipe supcon-cifar10
nearfar train cifar10 --recipe supcon-cifar10 --epochs 100 --set optimizer.lr=0.3     # what is typed goes over the recipe
nearfar train FOLDER --recipe supcon-cassava --smoke                                  # does all of it work here? seconds
nearfar compare cifar10 --recipes supcon-cifar10,ce-cifar10                           # side by side, three seeds each
nearfar train DATA --recipe my.toml                                                   # a file of your own
```

Of DATA a recipe says nothing but the size of the views: its command shows what it is for (FOLDER is a folder that you have:
ImageNet's with `train/` and `val/`, Kaggle's with `train.csv` and `train_images/`). A recipe of your own is a TOML file with
the sections of [config.md](config.md); a run's `run.toml` is one. An error in it is reported with file and line. A typed
`encoder.weights=FILE` stands instead of a recipe's published weights (`--pretrained` instead of its file), and
`--set classifier.kind=none` leaves its classifier stage out.

`--smoke` takes two steps an epoch, one epoch of training and one of the classifier stage, batches of at most 8, views of at
most 64 px, as few prototypes as a batch has images, and new weights where a recipe would download some (`--pretrained` tries
these too). Its numbers mean nothing.

What differs from the published run in every recipe: a part of the training images is held out for validation (a fifth, at
most 5,000), where none is given; of a classifier stage the epoch that is best on it is kept, and the rate is stepped by the
number of steps, not of epochs. Test images choose nothing. What differs beside stands in the last column. "against" names the
twin by cross-entropy that a recipe is meant to beat. "settings: ours" means that none, or not these, were published.

"""


def page() -> str:
    """The whole page."""
    rows = [_row(recipe) for recipe in list_recipes()]
    headings = ["recipe", "command", "expected", "published on", "source, and what differs"]
    return HEAD + markdown_table(headings, rows)


def _row(recipe: Mapping[str, str]) -> list[str]:
    notes = [recipe["source"]]
    notes += [f"{key}: {recipe[key]}" for key in ("settings", "differs") if key in recipe]
    against = f"; against `{recipe['against']}`" if "against" in recipe else ""
    return [
        f"`{recipe['name']}`",
        f"`{recipe['command']}`",
        recipe["expected"] + against,
        recipe["hardware"],
        ". ".join(notes),
    ]
