"""`nearfar train`: one method, one seed, one run folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

from nearfar.config.models import RunConfig
from nearfar.core.errors import RunError
from nearfar.core.progress import Progress
from nearfar.data.sources import open_source
from nearfar.data.store import load as load_data
from nearfar.experiment import folder as files
from nearfar.experiment.encoding import make_encoder
from nearfar.experiment.model import Model, load
from nearfar.experiment.page import write_page
from nearfar.experiment.plan import plan_lines
from nearfar.experiment.request import Request, make_fabric
from nearfar.experiment.run import Job, execute
from nearfar.experiment.settings import check_config, pool_size, refuse_unread, resolve


@dataclass(frozen=True)
class Run:
    """A complete run: its folder, and the content of results.json."""

    path: Path
    results: dict[str, Any]

    def load(self) -> Model:
        return load(self.path)


def train_run(request: Request, progress: Progress) -> Run:
    """Checks everything, says the plan, trains, probes, writes the report. UserError before
    anything is written.
    """
    config = check_config(request.sections, request.where)
    listing = open_source(request.data)
    fabric = make_fabric()
    module = request.module
    config = resolve(
        config, listing, fabric.device, type(module).__name__ if module is not None else None
    )
    out = _folder(request, listing.name, config.method_name)
    files.check_free(out, resume=request.resume, force=request.force, comparison=False)
    if request.resume and (done := finished(out, config)) is not None:
        progress.say(f"{out} is complete already; nothing to train")
        if not (out / files.REPORT).exists():
            write_page(out)
        return Run(out, done)
    encoder = make_encoder(config, module)
    assert config.data.size is not None
    pool = pool_size(config.method_name, listing.facts(config.data.size))
    progress.say(f"nearfar {config.method_name} on {listing.name}")
    where = f"run folder {out}"
    given = "lr" in request.sections.get("optimizer", {})
    for line in plan_lines(config, listing, encoder, pool, fabric.device, where, lr_given=given):
        progress.say(f"  {line}")
    data = load_data(
        listing, view_size=config.data.size, strict=config.data.strict, progress=progress
    )
    refuse_unread(config, data)
    if request.force:
        files.clear(out)
    results = execute(_job(config, data, out, request, fabric), progress)
    write_page(out)
    return Run(out, results)


def _job(config: RunConfig, data: Any, out: Path, request: Request, fabric: Fabric) -> Job:
    return Job(
        config,
        data,
        out,
        request.command,
        fabric,
        request.module,
        alone=True,
        resume=request.resume,
    )


def _folder(request: Request, data: str, method: str) -> Path:
    if request.out is not None:
        return request.out
    return files.latest_folder(data, method) if request.resume else files.free_folder(data, method)


def finished(out: Path, config: RunConfig) -> dict[str, Any] | None:
    """The results of a run that is complete already, with all its files.

    RunError: the folder holds another configuration.
    """
    if not (out / files.RUN_TOML).exists():
        return None
    stored, asked = files.read_toml(out / files.RUN_TOML), config.sections()
    differing = [
        f"{section}.{key} ({stored.get(section, {}).get(key)} there,"
        f" {asked.get(section, {}).get(key)} now)"
        for section in sorted({*stored, *asked})
        for key in sorted({*stored.get(section, {}), *asked.get(section, {})})
        if stored.get(section, {}).get(key) != asked.get(section, {}).get(key)
    ]
    if differing:
        raise RunError(
            f"--resume: {out} was begun with other settings: {', '.join(differing)}; "
            "give the same ones, or replace it with --force"
        )
    if not (out / files.RESULTS).exists():
        return None
    results = files.read_json(out / files.RESULTS)
    needed = [files.ENCODER, files.ENCODER_JSON]
    stage = config.classifier
    if stage.kind or results.get("confusion") is not None:  # it is a classifier's
        needed.append(files.CLASSIFIER)
    if stage.kind and stage.encoder == "finetuned":
        needed.append(files.ENCODER_FINETUNED)
    return (
        results
        if results.get("complete") and all((out / name).exists() for name in needed)
        else None
    )
