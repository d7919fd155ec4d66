"""What 0.1.0 wrote, as it is written now: applied as a run folder is read, and nowhere else.

A user's own file or `--set` with an old key is an error that names the new one.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from nearfar.config.renamed import KEYS, VALUES
from nearfar.run_folder.comparison import COSTS

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
    measured: dict[str, Any] = {
        key: [described(m) for m in content.get(key, ()) if isinstance(m, Mapping)]
        for key in ("measurements", "untrained")
        if key in content
    }
    names = [m["name"] for ms in measured.values() for m in ms if "name" in m]
    if isinstance(confusion := content.get("confusion"), Mapping):
        by = str(confusion.get("by", "linear_probe"))
        measured["confusion"] = {**confusion, "by": _TITLES.get(by, by)}
    return {"shown": shown(names), "judged_by": _JUDGED_BY, **content, **measured}


def comparison(content: Mapping[str, Any]) -> dict[str, Any]:
    """A compare.json likewise."""
    table = [described(entry) for entry in content.get("table", ()) if isinstance(entry, Mapping)]
    names = [entry["name"] for entry in table if "name" in entry]
    return {"shown": shown(names), "judged_by": _JUDGED_BY, **content, "table": table}


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


def shown(names: Sequence[str]) -> list[str]:
    """Those of the names that 0.1.0's summaries showed."""
    return [name for name in _SHOWN if name in names]


def arrays(found: Mapping[str, Any]) -> dict[str, Any]:
    """Those of embeddings.npz by their names of today."""
    return {_ARRAYS.get(name, name): array for name, array in found.items()}
