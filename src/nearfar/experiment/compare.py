"""`nearfar compare`: several methods at equal budget, several seeds, one table, one report."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

from nearfar import __version__
from nearfar.config.loading import Sections, merge
from nearfar.config.models import RunConfig
from nearfar.config.problems import nearest
from nearfar.core.errors import ConfigError, DataError, TrainingStoppedError, UserError
from nearfar.core.progress import Progress
from nearfar.data.listing import Listing
from nearfar.data.sources import open_source
from nearfar.data.store import ImageData
from nearfar.data.store import load as load_data
from nearfar.evaluate.measure import Measurement
from nearfar.experiment import folder as files
from nearfar.experiment.encoding import make_encoder, same_start
from nearfar.experiment.page import write_comparison
from nearfar.experiment.plan import plan_lines
from nearfar.experiment.request import Request, make_fabric
from nearfar.experiment.run import Job, execute
from nearfar.experiment.settings import check_config, pool_size, refuse_unread, resolve
from nearfar.experiment.table import build_table, compare_pairs
from nearfar.experiment.train import finished
from nearfar.methods import METHODS, is_own, method_class
from nearfar.report.formats import images_of_each

ALL = "all"


@dataclass(frozen=True)
class Comparison:
    """A complete comparison: its folder, and the content of compare.json."""

    path: Path
    results: dict[str, Any]


def compare_runs(
    request: Request, methods: str | Sequence[str], seeds: int, progress: Progress
) -> Comparison:
    """Trains every method with the seeds 0 ... seeds-1 in one process; an interrupt loses no
    complete run.

    `methods`: names, or one text with commas between them.
    """
    if isinstance(methods, str):
        methods = [name.strip() for name in methods.split(",") if name.strip()]
    configs = _checked(request, methods, seeds)
    listing = open_source(request.data)
    fabric = make_fabric()
    module_name = type(request.module).__name__ if request.module is not None else None
    configs, left_out = _fitting(configs, listing, fabric, module_name, refuse=ALL not in methods)
    out = request.out or _default_folder(listing, resume=request.resume)
    files.check_free(out, resume=request.resume, force=request.force, comparison=True)
    _say_plan(configs, left_out, listing, seeds, fabric, out, request, progress)
    first = next(iter(configs.values()))
    assert first.data.size is not None
    data = load_data(
        listing, view_size=first.data.size, strict=first.data.strict, progress=progress
    )
    configs = _still_fitting(configs, data, left_out, progress, refuse=ALL not in methods)
    if request.force:
        files.clear(out)
    jobs = [
        _job(config, method, seed, data, out, request, fabric)
        for seed in range(seeds)
        for method, config in configs.items()
    ]
    results = _execute(jobs, out, progress)
    summary = _summary(results, jobs, list(configs), left_out, seeds, out, request)
    write_comparison(out, summary)
    return Comparison(out, summary)


def _checked(request: Request, methods: Sequence[str], seeds: int) -> dict[str, RunConfig]:
    """A checked configuration of each method; `method.KEY` settings reach the methods that have
    that key.
    """
    asked = dict.fromkeys([*METHODS, *methods] if ALL in methods else methods)
    names = [name for name in asked if name in METHODS or is_own(name)]
    shared = {k: v for k, v in request.sections.get("method", {}).items() if k != "name"}
    problems = _misasked(request, methods, seeds)
    fields, faulty = {}, None
    for name in names:
        try:
            fields[name] = set(method_class(name).Config.model_fields)
        except UserError as error:
            problems.append(str(error))
            faulty = error
    known = sorted(set().union(*fields.values()))
    if faulty is None:
        problems += [
            f"method.{key}: unknown key{nearest(key, known)}" for key in shared if key not in known
        ]
    rest: Sections = {k: v for k, v in request.sections.items() if k != "method"}
    configs = {}
    for name in fields:
        own = [("method", key, value) for key, value in shared.items() if key in fields[name]]
        try:
            configs[name] = check_config(
                merge(rest, [("method", "name", name), *own]), request.where
            )
        except ConfigError as error:
            problems += [problem for problem in error.problems if problem not in problems]
    if problems:
        raise ConfigError(problems, request.where) from faulty
    return configs


def _misasked(request: Request, methods: Sequence[str], seeds: int) -> list[str]:
    """What is wrong with the methods and seeds, and settings that a comparison would pass over."""
    unknown = [name for name in methods if name not in (*METHODS, ALL) and not is_own(name)]
    own = "; want a name that `nearfar methods` lists, or MODULE:CLASS of yours"
    problems = [
        f'--methods: no method "{name}"{nearest(name, list(METHODS)) or own}' for name in unknown
    ]
    if not methods:
        problems.append(f"--methods: want at least one of {', '.join(METHODS)}, or {ALL}; got none")
    if seeds < 1:
        problems.append(f"--seeds: want at least 1, got {seeds}")
    if "seed" in request.sections.get("train", {}):
        problems.append(
            "train.seed: a comparison trains the seeds 0 ... n-1; leave it out, and give n by"
            " --seeds"
        )
    if "name" in request.sections.get("method", {}):
        problems.append("method.name: a comparison's methods are given by --methods; leave it out")
    return problems


def _fitting(
    configs: dict[str, RunConfig],
    listing: Listing,
    fabric: Fabric,
    module: str | None,
    *,
    refuse: bool,
) -> tuple[dict[str, RunConfig], list[dict[str, str]]]:
    """Resolved configurations, a default batch the same in all, and the methods that do not fit
    with their reason.
    """
    fitting, left_out = {}, []
    for name, config in configs.items():
        try:
            fitting[name] = resolve(config, listing, fabric.device, module)
        except DataError as error:
            if refuse:
                raise
            left_out.append({"method": name, "reason": _reason(name, error)})
    if not fitting:
        raise DataError(f"no method fits {listing.source}: {_left(left_out[0])}")
    smallest = min(_images(fitting, listing).values())
    shared = {
        name: resolve(configs[name], listing, fabric.device, module, pool=smallest)
        for name in fitting
    }
    return shared, left_out


def _still_fitting(
    configs: dict[str, RunConfig],
    data: ImageData,
    left_out: list[dict[str, str]],
    progress: Progress,
    *,
    refuse: bool,
) -> dict[str, RunConfig]:
    """The methods that fit what could be decoded; the others join `left_out`, where that is not
    refused.
    """
    fitting = {}
    for name, config in configs.items():
        try:
            refuse_unread(config, data)
        except DataError as error:
            if refuse or method_class(name).why_not(data.facts(config.data.size or 1)) is None:
                raise
            left_out.append({"method": name, "reason": _reason(name, error)})
            progress.say(f"  left out   {_left(left_out[-1])}")
        else:
            fitting[name] = config
    if not fitting:
        raise DataError(f"no method fits {data.source}: {_left(left_out[-1])}")
    return fitting


def _reason(name: str, error: DataError) -> str:
    """Why a method is left out, without its name, which stands beside it."""
    return str(error).removeprefix(f"{name} ")


def _left(out: dict[str, str]) -> str:
    return f"{out['method']}: {out['reason']}"


def _images(configs: dict[str, RunConfig], listing: Listing) -> dict[str, int]:
    """How many images each method trains on."""
    return {
        name: pool_size(name, listing.facts(config.data.size or 1))
        for name, config in configs.items()
    }


def _default_folder(listing: Listing, *, resume: bool) -> Path:
    return (files.latest_folder if resume else files.free_folder)(listing.name, "compare")


def _say_plan(
    configs: dict[str, RunConfig],
    left_out: list[dict[str, str]],
    listing: Listing,
    seeds: int,
    fabric: Fabric,
    out: Path,
    request: Request,
    progress: Progress,
) -> None:
    method, config = max(configs.items(), key=lambda item: item[1].views.count or 0)
    assert config.data.size is not None
    encoder = make_encoder(config, request.module)
    pool = pool_size(method, listing.facts(config.data.size))
    trained = images_of_each(_images(configs, listing))
    who = f"{', '.join(configs)} x {seeds} seed(s){f', {trained}' if trained else ''}"
    where = f"runs       {who}; the lines above are {method}'s; folder {out}"
    given, runs = "lr" in request.sections.get("optimizer", {}), len(configs) * seeds
    progress.say(f"nearfar compare on {listing.name}")
    for line in plan_lines(
        config, listing, encoder, pool, fabric.device, where, lr_given=given, runs=runs
    ):
        progress.say(f"  {line}")
    for left in left_out:
        progress.say(f"  left out   {_left(left)}")


def _job(
    config: RunConfig,
    method: str,
    seed: int,
    data: ImageData,
    out: Path,
    request: Request,
    fabric: Fabric,
) -> Job:
    seeded = config.model_copy(update={"train": config.train.model_copy(update={"seed": seed})})
    folder = out / files.part_of(method) / f"seed{seed}"
    return Job(
        seeded,
        data,
        folder,
        request.command,
        fabric,
        request.module,
        alone=False,
        resume=request.resume,
    )


def _execute(jobs: list[Job], out: Path, progress: Progress) -> list[dict[str, Any]]:
    floors: dict[str, list[Measurement]] = {}
    results = []
    for number, job in enumerate(jobs, start=1):
        done = finished(job.out, job.config) if job.resume else None
        if done is not None:
            results.append(done)
            continue
        progress.say(
            f"run {number} of {len(jobs)}: {job.config.method_name}, seed {job.config.train.seed}"
        )
        start = same_start(job.config)
        try:
            result = execute(job, progress, floors.get(start))
        except (KeyboardInterrupt, TrainingStoppedError) as stop:
            complete = f"{len(results)} of {len(jobs)} runs are complete in {out}"
            how = f"{complete}; continue with the same command and --out {out} --resume"
            if isinstance(stop, TrainingStoppedError):
                raise TrainingStoppedError(f"{stop}; {how}") from stop
            progress.say(how)
            raise
        floors[start] = [Measurement(**m) for m in result["untrained"]]
        results.append(result)
    return results


def _summary(
    results: list[dict[str, Any]],
    jobs: list[Job],
    methods: list[str],
    left_out: list[dict[str, str]],
    seeds: int,
    out: Path,
    request: Request,
) -> dict[str, Any]:
    return {
        "nearfar": __version__,
        "command": request.command,
        "data": results[0]["data"],
        "methods": methods,
        "seeds": seeds,
        "images": {result["method"]: result["train"]["images"] for result in results},
        "table": build_table(results),
        "comparisons": compare_pairs(results, methods),
        "left_out": left_out,
        "runs": [str(job.out.relative_to(out)) for job in jobs],
        "report": str(out / files.REPORT),
    }
