"""What older versions wrote, as it is written now: applied as a run folder is read, and nowhere
else.

A user's own file or `--set` with an old key is an error that names the new one.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from nearfar.config.renamed import KEYS, VALUES
from nearfar.run_folder import names
from nearfar.run_folder.comparison import COSTS

# where the encoder stood before it had a folder of its own
FILES: Mapping[Path, Path] = MappingProxyType(
    {names.ENCODER: Path("encoder.safetensors"), names.ENCODER_CONFIG: Path("encoder.json")}
)

_POLICIES = (("views", "policy"), ("classifier", "policy"))
_ARRAYS = {"neighbours": "neighbors"}  # of embeddings.npz

# What 0.1.0 measured, in the order of its tables: title of a name, or of what its name begins with.
_TITLES = {
    "linear_probe": "linear probe",
    "knn": "kNN",
    "few_label_probe": "10 labels a class",
    "head": "own head",
    "classifier": "classifier stage",
}
_SHOWN = (
    "linear_probe.top1",
    "knn.top1",
    "few_label_probe.top1@10",
    "head.top1",
    "classifier.top1",
)
_JUDGED_BY = {"name": "linear_probe.top1", "split": "test", "selection": "last"}


def standing(folder: Path, name: Path) -> Path:
    """Under which name a file of the encoder stands in a run folder: the older one where there is
    no other.
    """
    older = FILES[name]
    return older if (folder / older).exists() and not (folder / name).exists() else name


def is_older(content: Mapping[str, Any]) -> bool:
    """Whether a results.json or compare.json is 0.1.0's."""
    return str(content.get("nearfar", "")).startswith("0.1.")


def config(sections: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The sections of a run.toml under the keys and values of today."""
    found = {
        section: {KEYS.get((section, key), key): value for key, value in values.items()}
        for section, values in sections.items()
        if isinstance(values, Mapping)
    }
    balanced = found.get("data", {}).get("sampling")
    if isinstance(balanced, bool):
        found["data"]["sampling"] = "balanced" if balanced else "uniform"
    norm = found.get("method", {}).get("projector_batch_norm")
    if isinstance(norm, bool):  # dino's "batch_norm"
        found["method"]["projector_batch_norm"] = "hidden" if norm else "none"
    if "encoder" in found:
        found["encoder"].setdefault("frozen_batch_norm", False)
    for section, key in _POLICIES:
        if isinstance(table := found.get(section, {}).get(key), Mapping):
            found[section][key] = _renamed(table)
    return found


def _renamed(value: Any) -> Any:
    """A policy's table, with its old values replaced at any depth."""
    if isinstance(value, Mapping):
        return {key: _renamed(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_renamed(inner) for inner in value]
    return VALUES.get(value, value) if isinstance(value, str) else value


def results(content: Mapping[str, Any]) -> dict[str, Any]:
    """A results.json with title, unit and better of each measurement, and what is shown."""
    told = _told(content, ("measurements", "untrained"))
    if isinstance(confusion := content.get("confusion"), Mapping):
        by = str(confusion.get("by", "linear_probe"))
        told["confusion"] = {**confusion, "by": _TITLES.get(by, by)}
        told.setdefault("predicted_by", _predicted_by(by, confusion.get("counts"), content))
    return told


def _predicted_by(by: str, counts: Any, content: Mapping[str, Any]) -> dict[str, Any]:
    """0.1.0 predicted by what its confusion matrix was made by."""
    stage = content.get("classifier")
    finetuned = isinstance(stage, Mapping) and stage.get("encoder") == "finetuned"
    found = {
        "name": "stage" if by == "classifier" else by,
        "title": _TITLES.get(by, by),
        "encoder": "finetuned" if by == "classifier" and finetuned else "frozen",
    }
    try:
        right = sum(row[at] for at, row in enumerate(counts))
        return {**found, "test": right / sum(map(sum, counts))}
    except (TypeError, IndexError, ZeroDivisionError):  # damaged: the schema says so
        return found


def comparison(content: Mapping[str, Any]) -> dict[str, Any]:
    """A compare.json likewise."""
    return _told(content, ("table",))


def _told(content: Mapping[str, Any], lists: Sequence[str]) -> dict[str, Any]:
    """What is damaged is passed on as it is: to be refused by its schema."""
    numbers = {
        key: [described(number) if isinstance(number, Mapping) else number for number in found]
        for key in lists
        if isinstance(found := content.get(key), list)
    }
    names = [
        number.get("name")
        for found in numbers.values()
        for number in found
        if isinstance(number, Mapping)
    ]
    added = {"shown": [name for name in _SHOWN if name in names], "judged_by": _JUDGED_BY}
    return {**added, **content, **numbers}


def described(number: Mapping[str, Any]) -> dict[str, Any]:
    """A measurement or a table's entry of 0.1.0, with title, unit and which way is better; what it
    says itself stays, since `nearfar probe` adds to older results.
    """
    name = str(number.get("name", ""))
    if name in COSTS:
        title, unit = COSTS[name]
        return {"title": title, "unit": unit, "better": "lower", **number}
    return {"title": title_of(name), "unit": "fraction", "better": "higher", **number}


def title_of(name: str) -> str:
    """What 0.1.0's measurement is called."""
    what, _, how = name.partition(".")
    if what not in _TITLES:
        return name
    if how.startswith("top1@") and not how.endswith("@10"):
        return f"{how.removeprefix('top1@')} labels a class"
    ending = {"balanced_accuracy": ", balanced", "per_class": " by class"}.get(how, "")
    return _TITLES[what] + ending


def arrays(found: Mapping[str, Any]) -> dict[str, Any]:
    """Those of embeddings.npz by their names of today."""
    return {_ARRAYS.get(name, name): array for name, array in found.items()}
