"""`nearfar compare` and `nearfar demo`."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nearfar.cli import options as opt
from nearfar.core.errors import TrainingStoppedError
from nearfar.run_folder.names import COMPARE, REPORT

if TYPE_CHECKING:
    from nearfar.api.compare import Comparison

Methods = Annotated[
    str | None,
    typer.Option(
        help=(
            "names that nearfar methods lists, frozen (given weights as they are), or MODULE:CLASS"
            " of your own, separated by commas; or all (default: cross_entropy,supcon,simclr)"
        )
    ),
]
Recipes = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|FILE,...",
        help=(
            "whole recipes side by side instead of methods: names that nearfar recipes lists, or"
            " TOML files, separated by commas; flags and --set override each of them"
        ),
    ),
]
Tune = Annotated[
    bool,
    typer.Option(
        "--tune",
        help=(
            "first give each method the same number of short trials, judged on validation images:"
            " learning rate, strength of the views, temperature; then run each with what was best"
        ),
    ),
]
Seeds = Annotated[int, typer.Option(help="number of runs per method, with seeds 0, 1, 2, ...")]

DEMO_METHODS = "cross_entropy,supcon,simclr"


def compare(
    data: opt.Data,
    methods: Methods = None,
    recipes: Recipes = None,
    seeds: Seeds = 3,
    tune: Tune = False,
    recipe: opt.Recipe = None,
    encoder: opt.EncoderName = None,
    pretrained: opt.Pretrained = False,
    size: opt.Size = None,
    epochs: opt.Epochs = None,
    minutes: opt.Minutes = None,
    batch_size: opt.BatchSize = None,
    classifier: opt.Classifier = None,
    group_by: opt.GroupBy = None,
    labels_per_class: opt.LabelsPerClass = None,
    label_fraction: opt.LabelFraction = None,
    label_noise: opt.LabelNoise = None,
    settings: opt.Settings = None,
    out: opt.Out = None,
    resume: opt.Resume = False,
    force: opt.Force = False,
    smoke: opt.Smoke = False,
    strict: opt.Strict = False,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Train several methods on the same data, for equally many epochs and with several seeds each;
    or several recipes, each as long as it says.

    The result is one table and one report, which says of each difference whether it may be chance.
    """
    began = opt.say_starting(quiet=quiet, pretrained=pretrained)
    from nearfar.api import compare as api

    chosen = opt.labels_asked(labels_per_class, label_fraction, label_noise) | opt.asked(
        settings,
        size=size,
        batch_size=batch_size,
        pretrained=pretrained,
        classifier=classifier,
        group_by=group_by,
        strict=strict,
    )
    if methods is None and not recipes:
        methods = DEMO_METHODS
    with opt.own_code(chosen, recipes or recipe, methods):
        done = api.compare(
            data,
            methods=methods or (),
            recipes=recipes or (),
            seeds=seeds,
            encoder=encoder,
            epochs=epochs,
            minutes=minutes,
            recipe=recipe,
            out=out,
            resume=resume,
            force=force,
            smoke=smoke,
            quiet=quiet,
            tune=tune,
            command=opt.command_line(),
            began=began,
            **chosen,
        )
    with opt.finished(done.path, quiet=quiet):
        _show(done, as_json=as_json)


def demo(
    methods: Methods = None,
    seeds: Seeds = 3,
    recipe: opt.Recipe = None,
    encoder: opt.EncoderName = None,
    pretrained: opt.Pretrained = False,
    size: opt.Size = None,
    epochs: opt.Epochs = None,
    batch_size: opt.BatchSize = None,
    settings: opt.Settings = None,
    out: opt.Out = None,
    resume: opt.Resume = False,
    force: opt.Force = False,
    smoke: opt.Smoke = False,
    strict: opt.Strict = False,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Compare three methods on the built-in digits, in about a minute and a half on two cores."""
    opt.say_starting(quiet=quiet, pretrained=pretrained)
    from nearfar.api import compare as api

    chosen = opt.asked(
        settings, size=size, batch_size=batch_size, pretrained=pretrained, strict=strict
    )
    methods = methods or DEMO_METHODS
    with opt.own_code(chosen, recipe, methods):
        done = api.demo(
            methods=methods,
            seeds=seeds,
            encoder=encoder,
            recipe=recipe,
            out=out,
            resume=resume,
            force=force,
            smoke=smoke,
            quiet=quiet,
            command=opt.command_line(),
            **{**chosen, **({"train.epochs": epochs} if epochs is not None else {})},
        )
    with opt.finished(done.path, quiet=quiet):
        _show(done, as_json=as_json)


def _show(done: "Comparison", *, as_json: bool) -> None:
    if as_json:
        opt.print_json(done.results)
    else:
        from nearfar.api.report import ending

        print(_text(done.results, done.path))
        print(ending(done.path))
    if failed := done.results["failed"]:
        who = ", ".join(f"{run['method']} seed {run['seed']}" for run in failed)
        raise TrainingStoppedError(
            f"{len(failed)} of {len(failed) + len(done.results['runs'])} runs failed ({who}; why"
            f" stands above), the others are complete; try those again with the same command and"
            f" --out {done.path} --resume"
        )


def _text(results: dict[str, Any], out: Path) -> str:
    from nearfar.report.formats import images_of_each

    found = {(row["method"], row["name"], row["selection"]): row for row in results["table"]}
    headings, rows = _table(results, found)
    facts = results["data"]
    measured = any(row["split"] for row in results["table"])
    lines = [
        opt.table(headings, rows),
        (
            f"{facts['name']}: {facts['n_test']:,} test images; mean ± sd over {results['seeds']}"
            " seed(s); probes on the frozen encoder, chosen on validation"
        ),
        *([trained] if (trained := images_of_each(results["images"])) else []),
        *([] if measured else ["nothing was measured; the report says why"]),
        *_predicting(results),
        *_differences(results, found),
        *_tuned(results),
        *(f"left out: {left['method']}: {left['reason']}" for left in results["left_out"]),
        *(
            f"without data.sampling: {left['method']}: {left['reason']}"
            for left in results["unbalanced"]
        ),
        *(
            f"failed: {run['method']}, seed {run['seed']}: {run['reason']}"
            for run in results["failed"]
        ),
        f"report: {out / REPORT}",
    ]
    return "\n".join(lines)


def _predicting(results: dict[str, Any]) -> list[str]:
    texts = [one["text"] for one in results["predicting"]]
    return [f"nearfar predict uses what is best on validation: {'; '.join(texts)}"] if texts else []


def _tuned(results: dict[str, Any]) -> list[str]:
    """What was chosen for each method, and what it cost."""
    from nearfar.report.tuning import outcome
    from nearfar.run_folder.comparison import Tuning

    found = [Tuning.model_validate(tuning) for tuning in results["tuning"]]
    return [f"tuned on validation: {tuning.method}: {outcome(tuning)}" for tuning in found]


Found = dict[tuple[str, str, str | None], dict[str, Any]]


def _table(results: dict[str, Any], found: Found) -> tuple[list[str], list[list[str]]]:
    """Headings and rows: what was measured of every method, in the order of `shown`; then the
    selected epoch, on what methods are judged by.
    """
    from nearfar.report.formats import headed

    methods, judged = results["methods"], results["judged_by"]["name"]
    like = {row["name"]: row for row in results["table"]}
    shown = [
        name
        for name in results["shown"]
        if all((method, name, "last") in found for method in methods)
    ]
    percent = all(like[name]["unit"] == "fraction" for name in shown)
    titles = {
        name: like[name]["title"] if percent else headed(like[name]["title"], like[name]["unit"])
        for name in shown
    }
    rows = []
    failed = Counter(run["method"] for run in results["failed"])
    for method in dict.fromkeys(["untrained", *methods, *failed]):
        selection = None if method == "untrained" else "last"
        cells = [_cell(found.get((method, name, selection))) for name in shown]
        seconds = found.get((method, "cost.train_seconds", None))
        label = results["floor"] if method == "untrained" else method
        rows.append([f"{label} ({n} failed)" if (n := failed[method]) else label, *cells])
        if judged in shown:
            rows[-1].append(_cell(found.get((method, judged, "validation"))))
        rows[-1].append(f"{seconds['mean']:.1f}" if seconds else "-")
    selected = [f"{titles[judged]}, selected epoch"] if judged in shown else []
    return ["test, %" if percent else "test", *titles.values(), *selected, "seconds"], rows


def _differences(results: dict[str, Any], found: Found) -> list[str]:
    """What is said of each pair of methods; of many methods only what is said of the best, the rest
    in the report.
    """
    from nearfar.report.differences import MOST_SENTENCES

    pairs = [pair for pair in results["comparisons"] if pair["b"] != "untrained"]
    if len(results["comparisons"]) <= MOST_SENTENCES:
        return [pair["text"] for pair in pairs]
    judged = (results["judged_by"]["name"], results["judged_by"]["selection"])
    entries = [found.get((method, *judged)) for method in results["methods"]]
    known = [row for row in entries if row is not None and row["mean"] is not None]
    lower = known[0]["better"] == "lower"
    best = min(known, key=lambda row: row["mean"] if lower else -row["mean"])["method"]
    rest = (
        f"{len(pairs)} pairs in all, of which those of {best} are shown; the others: the report,"
        f" {COMPARE}"
    )
    return [*(pair["text"] for pair in pairs if best in (pair["a"], pair["b"])), rest]


def _cell(row: dict[str, Any] | None) -> str:
    from nearfar.report.formats import figure

    if row is None or row["mean"] is None:
        return "-"
    return figure(row["mean"], row["unit"], row["sd"])
