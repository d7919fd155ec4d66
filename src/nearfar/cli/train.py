"""`nearfar train`."""

from typing import Annotated, Any

import typer

from nearfar.cli import options as opt
from nearfar.run_folder.names import REPORT

DEFAULT_METHOD = "supcon"


def train(
    data: opt.Data,
    method: Annotated[
        str | None,
        typer.Option(help="see nearfar methods; or your own, MODULE:CLASS (default supcon)"),
    ] = None,
    recipe: opt.Recipe = None,
    encoder: opt.EncoderName = None,
    pretrained: opt.Pretrained = False,
    size: opt.Size = None,
    epochs: opt.Epochs = None,
    batch_size: opt.BatchSize = None,
    seed: Annotated[int | None, typer.Option(help="of every random stream (default 0)")] = None,
    classifier: opt.Classifier = None,
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
    """Train an encoder by one method, freeze it, probe it, write a run folder with a report.

    Views are chosen by --set views.policy=NAME: nearfar methods lists the names, nearfar check DATA
    --views NAME draws one.
    """
    from nearfar.core.progress import Progress

    progress = Progress(quiet=quiet)
    progress.say(opt.STARTING)
    from nearfar.experiment.request import make_request
    from nearfar.experiment.train import train_run

    chosen = opt.flags(
        size=size, epochs=epochs, batch_size=batch_size, pretrained=pretrained, strict=strict
    )
    request = make_request(
        data,
        encoder=encoder,
        recipe=recipe,
        defaults={"method.name": DEFAULT_METHOD},
        flags={"method.name": method, "train.seed": seed, "classifier.kind": classifier, **chosen},
        settings=settings or (),
        smoke=smoke,
        out=out,
        resume=resume,
        force=force,
    )
    probes = opt.named_probes(request.sections)
    with opt.own_code(request.sections["method"]["name"], *probes):
        run = train_run(request, progress)
    if as_json:
        opt.print_json({**run.results, "run": str(run.path)})
    else:
        if run.results["measurements"] or run.results["untrained"]:
            print(_table(run.results))
        for line in run.results["diagnosis"]:
            print(line)
        print(f"report: {run.path / REPORT}")


def _table(results: dict[str, Any]) -> str:
    from nearfar.report.formats import figure, quantity

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
    headings = ["test, %" if percent else "test", "last epoch", "selected epoch"]
    headings.append("untrained encoder")
    return opt.table(headings, [[titles[name], *cells] for name, cells in rows.items()])
