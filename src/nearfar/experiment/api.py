"""`nearfar.train` and `nearfar.compare`: the commands as functions."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from nearfar.core.progress import Progress
from nearfar.experiment.compare import Comparison, compare_runs
from nearfar.experiment.request import Data, Request, make_request
from nearfar.experiment.train import Run, train_run
from nearfar.methods import name_of
from nearfar.methods.base import Method


def train(
    data: Data,
    *,
    method: str | type[Method] = "supcon",
    encoder: str | nn.Module | None = None,
    epochs: int | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    resume: bool = False,
    force: bool = False,
    quiet: bool = False,
    **settings: Any,
) -> Run:
    """Trains an encoder, freezes and probes it, and writes a run folder: `run.results`, `run.path`,
    `run.load()`.

    `data`: a name ("digits"), a folder, an archive, or a torch `Dataset` of (image, label).
    `encoder`: "conv4", a timm name, or an `nn.Module` from (R, 3, size, size) to (R, E), which is
    copied. `method`: a name that `nearfar methods` lists, or your own: a subclass of
    `nearfar.Method` at the top of a module, or "module:Class". Other settings go by their place in
    the configuration: `**{"method.temperature": 0.1}`. Raises NearfarError (`UserError` for what
    the caller can mend), KeyboardInterrupt with a usable run left behind.
    """
    method = _name(method)
    flags = {"method.name": method, "train.epochs": epochs, "train.seed": seed, **settings}
    call = f"nearfar.train({_shown(data)}, method={method!r}, seed={seed}, ...)"
    request = _request(data, encoder, flags, out, resume=resume, force=force, call=call)
    return train_run(request, Progress(quiet=quiet))


def compare(
    data: Data,
    *,
    methods: str | Sequence[str | type[Method]],
    seeds: int = 3,
    encoder: str | nn.Module | None = None,
    epochs: int | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    force: bool = False,
    quiet: bool = False,
    **settings: Any,
) -> Comparison:
    """Trains each of `methods` with the seeds 0 ... seeds-1 at equal epochs; "a,b" or ["a", "b"];
    "all" that fit.

    `comparison.results` is the content of compare.json; for the rest see `train`.
    """
    names = methods if isinstance(methods, str) else [_name(method) for method in methods]
    flags = {"train.epochs": epochs, **settings}
    call = f"nearfar.compare({_shown(data)}, methods={names!r}, seeds={seeds}, ...)"
    request = _request(data, encoder, flags, out, resume=resume, force=force, call=call)
    return compare_runs(request, names, seeds, Progress(quiet=quiet))


def _name(method: str | type[Method]) -> str:
    return method if isinstance(method, str) else name_of(method)


def _request(
    data: Data,
    encoder: str | nn.Module | None,
    flags: dict[str, Any],
    out: str | Path | None,
    *,
    resume: bool,
    force: bool,
    call: str,
) -> Request:
    return make_request(
        data, encoder=encoder, flags=flags, out=out, resume=resume, force=force, command=call
    )


def _shown(data: Data) -> str:
    return repr(str(data)) if isinstance(data, str | Path) else type(data).__name__
