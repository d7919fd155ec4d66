"""`nearfar train`."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from nearfar.cli import options as opt
from nearfar.run_folder.names import REPORT

if TYPE_CHECKING:
    from nearfar.api.train import Run


def train(
    data: opt.Data,
    method: Annotated[
        str | None,
        typer.Option(
            help=(
                "a name that nearfar methods lists, frozen (given weights as they are), or"
                " MODULE:CLASS of your own (default: supcon)"
            )
        ),
    ] = None,
    recipe: opt.Recipe = None,
    encoder: opt.EncoderName = None,
    pretrained: opt.Pretrained = False,
    size: opt.Size = None,
    epochs: opt.Epochs = None,
    minutes: opt.Minutes = None,
    batch_size: opt.BatchSize = None,
    seed: Annotated[
        int | None, typer.Option(help="number that all randomness comes from (default: 0)")
    ] = None,
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
    """Train an encoder with one method, measure its representations, and write a report.

    Everything is written to one folder: settings, weights, measurements and report.html. How views
    are made is chosen by --set views.policy=NAME; "nearfar methods" lists the names, and "nearfar
    check DATA --views NAME" draws examples.
    """
    began = opt.say_starting(quiet=quiet, pretrained=pretrained)
    from nearfar.api import train as api

    chosen = opt.labels_asked(labels_per_class, label_fraction, label_noise) | opt.asked(
        settings,
        size=size,
        batch_size=batch_size,
        pretrained=pretrained,
        classifier=classifier,
        group_by=group_by,
        strict=strict,
    )
    with opt.own_code(chosen, recipe, method):
        run = api.train(
            data,
            method=method,
            encoder=encoder,
            epochs=epochs,
            minutes=minutes,
            seed=seed,
            recipe=recipe,
            out=out,
            resume=resume,
            force=force,
            smoke=smoke,
            quiet=quiet,
            command=opt.command_line(),
            began=began,
            **chosen,
        )
    with opt.finished(run.path, quiet=quiet):
        _show(run, as_json=as_json)


def _show(run: "Run", *, as_json: bool) -> None:
    opt.say_left_out(run.results["data"]["skipped"])
    if as_json:
        opt.print_json({**run.results, "run": str(run.path)})
        return
    from nearfar.api.report import ending
    from nearfar.report.predicting import chosen_line
    from nearfar.run_folder.records import PredictedBy

    if run.results["measurements"] or run.results["untrained"]:
        print(_table(run.results))
    if (by := run.results["predicted_by"]) is not None:
        print(chosen_line(PredictedBy(**by)))
    for line in run.results["diagnosis"]:
        print(line)
    print(f"report: {run.path / REPORT}")
    print(ending(run.path))


def _table(results: dict[str, Any]) -> str:
    from nearfar.report.formats import figure, quantity
    from nearfar.report.predicting import MARK
    from nearfar.run_folder.records import EncoderSummary

    columns = ["last", "validation", "untrained"]
    measured = [
        m
        for m in [*results["measurements"], *results["untrained"]]
        if not isinstance(m["value"], list) and "data" not in m
    ]
    percent = all(m["unit"] == "fraction" for m in measured)
    titles: dict[str, str] = {}
    rows: dict[str, list[str]] = {}
    for m in measured:
        titles[m["name"]] = m["title"]
        row = rows.setdefault(m["name"], ["-", "-", "-"])
        ends = [figure(end, m["unit"]) for end in m["interval"] or ()]
        text = (figure if percent else quantity)(m["value"], m["unit"])
        at = columns.index(m["selection"] or "untrained")
        row[at] = f"{text} ({'-'.join(ends)})" if ends else text
    used = (results["predicted_by"] or {}).get("title")
    for m in measured:
        if m["title"] == used and m["selection"] == "last":
            titles[m["name"]] = f"{used} {MARK}"
    headings = ["test, %" if percent else "test", "last epoch", "selected epoch"]
    headings.append(EncoderSummary(**results["encoder"]).start.title)
    rows_shown = [[titles[name], *cells] for name, cells in rows.items()]
    if results["train"]["epochs"] == 0:  # there is one encoder
        headings, rows_shown = [headings[0], headings[-1]], [row[:2] for row in rows_shown]
    return opt.table(headings, rows_shown)
