"""Which methods a comparison is made of: checked, and fitting the data."""

from collections.abc import Mapping, Sequence

import torch

from nearfar.api.request import Request
from nearfar.config.loading import Sections, merge
from nearfar.config.models import RunConfig
from nearfar.config.problems import nearest
from nearfar.core.errors import ConfigError, DataError, UserError
from nearfar.core.own import is_own
from nearfar.core.progress import Progress
from nearfar.data.images import ImageData
from nearfar.data.labels import listed_facts
from nearfar.data.listing import Listing
from nearfar.experiment.configuration import check_config
from nearfar.experiment.labeling import facts_of, label_draw
from nearfar.experiment.refusals import why_not_by_class
from nearfar.experiment.resolve import refuse_unread
from nearfar.experiment.setup import Setup, sampling_of
from nearfar.methods import FROZEN, METHODS, method_class
from nearfar.run_folder.comparison import LeftOut

ALL = "all"
_REMEDIES = {
    "size": "give --size for all",
    "crop": "give --set data.eval_crop for all",
    "resampling": "it is that of their given weights, so they cannot be compared in one command",
    "strictness": "give --strict for all",
}
SEEDS = "train.seed: a comparison trains the seeds 0 ... n-1; leave it out, and give n by --seeds"


def checked(request: Request, methods: Sequence[str], seeds: int) -> dict[str, RunConfig]:
    """A checked configuration of each method, or of each recipe. ConfigError with all that is
    wrong.
    """
    if request.recipes:
        return _checked_recipes(request, methods, seeds)
    return _checked_methods(request, methods, seeds)


def _checked_recipes(request: Request, methods: Sequence[str], seeds: int) -> dict[str, RunConfig]:
    """What was asked for goes over each of them."""
    problems = _misasked(request, seeds)
    if methods or request.recipe is not None:
        other = "--methods" if methods else "--recipe"
        problems.append(f"--recipes: want either --recipes or {other}, got both")
    configs = {}
    for name, recipe in request.recipes.items():
        if "seed" in recipe.sections.get("train", {}):
            problems.append(recipe.located(SEEDS))
        try:
            with request.locating(name):
                configs[name] = check_config(request.sections_of(name))
        except ConfigError as error:
            problems += [problem for problem in error.problems if problem not in problems]
    if problems:
        raise ConfigError(problems)
    return configs


def _checked_methods(request: Request, methods: Sequence[str], seeds: int) -> dict[str, RunConfig]:
    """A checked configuration of each method; `method.KEY` settings reach the methods that have
    that key. With all methods there is frozen too, where weights are given. ConfigError with all
    that is wrong.
    """
    given = request.sections.get("encoder", {})
    frozen = [FROZEN] if given.get("pretrained") or given.get("weights") else []
    asked = dict.fromkeys([*METHODS, *frozen, *methods] if ALL in methods else methods)
    names = [name for name in asked if name in (*METHODS, FROZEN) or is_own(name)]
    shared = {k: v for k, v in request.sections.get("method", {}).items() if k != "name"}
    problems = _unknown(methods) + _misasked(request, seeds)
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
            configs[name] = check_config(merge(rest, [("method", "name", name), *own]))
        except ConfigError as error:
            problems += [problem for problem in error.problems if problem not in problems]
    if problems:
        raise ConfigError(problems) from faulty
    return configs


def _unknown(methods: Sequence[str]) -> list[str]:
    """What is wrong with the names of methods."""
    unknown = [name for name in methods if name not in (*METHODS, FROZEN, ALL) and not is_own(name)]
    own = "; want a name that `nearfar methods` lists, or MODULE:CLASS of yours"
    problems = [
        f'--methods: no method "{name}"{nearest(name, [*METHODS, FROZEN]) or own}'
        for name in unknown
    ]
    if not methods:
        problems.append(f"--methods: want at least one of {', '.join(METHODS)}, or {ALL}; got none")
    return problems


def _misasked(request: Request, seeds: int) -> list[str]:
    """What is wrong with the seeds, and settings that a comparison would pass over."""
    problems = []
    if seeds < 1:
        problems.append(f"--seeds: want at least 1, got {seeds}")
    if "seed" in request.sections.get("train", {}):
        problems.append(SEEDS)
    if "name" in request.sections.get("method", {}):
        problems.append(
            "method.name: a comparison's methods are given by --methods; leave it out, or compare"
            " whole recipes by --recipes A,B"
        )
    return problems


def by_class_where_possible(
    configs: Mapping[str, RunConfig], listing: Listing
) -> tuple[dict[str, RunConfig], list[LeftOut]]:
    """Without data.sampling where a method cannot have it, and why; unchanged where none can."""
    reasons = {}
    for name, config in configs.items():
        if not sampling_of(config).by_class:
            continue
        facts = listed_facts(listing, label_draw(config), listing.side)
        if (reason := why_not_by_class(method_class(config.method_name), facts)) is not None:
            reasons[name] = reason
    trained = {name for name, config in configs.items() if config.method.trains}
    if trained <= reasons.keys():
        return dict(configs), []
    found = dict(configs)
    for name in reasons:
        data = configs[name].data.model_copy(update={"sampling": "uniform", "per_class": None})
        found[name] = configs[name].model_copy(update={"data": data})
    return found, [LeftOut(method=name, reason=reason) for name, reason in reasons.items()]


def fitting(
    configs: Mapping[str, RunConfig],
    listing: Listing,
    device: torch.device,
    request: Request,
    *,
    refuse: bool,
) -> tuple[dict[str, Setup], list[LeftOut]]:
    """Decided runs, and the methods that do not fit with their reason. DataError: none fits, or one
    does not and that is refused. UserError: recipes that show different images.
    """
    setups, left_out = {}, []
    for name, config in configs.items():
        recipe = name if request.recipes else None
        try:
            with request.locating(name):
                setups[name] = request.setup(config, listing, device, recipe)
        except DataError as error:
            if refuse:
                raise
            left_out.append(LeftOut(method=name, reason=_reason(name, error)))
    if not setups:
        raise DataError(f"no method fits {listing.source}: {left_line(left_out[0])}")
    _refuse_other_images(setups)
    return setups, left_out


def _refuse_other_images(setups: Mapping[str, Setup]) -> None:
    """UserError: recipes that show different images, where one comparison shows all the same."""
    shown = {
        name: {
            "size": f"{setup.size} px",
            "crop": f"{setup.center.crop:g} of the square",
            "resampling": setup.center.interpolation,
            "strictness": "--strict" if setup.config.data.strict else "not --strict",
        }
        for name, setup in setups.items()
    }
    for what, remedy in _REMEDIES.items():
        told = [f"{name} {each[what]}" for name, each in shown.items()]
        if len({each[what] for each in shown.values()}) > 1:
            raise UserError(
                "data: a comparison shows all encoders the same images, and their"
                f" {what} differs ({', '.join(told)}); {remedy}"
            )


def still_fitting(
    setups: Mapping[str, Setup],
    images: ImageData,
    left_out: list[LeftOut],
    progress: Progress,
    *,
    refuse: bool,
) -> dict[str, Setup]:
    """The runs on what could be decoded; those that fit no longer join `left_out`, where that is
    not refused.
    """
    found = {}
    for name, setup in setups.items():
        facts = facts_of(setup, images)
        try:
            refuse_unread(setup, facts)
        except DataError as error:
            if refuse or setup.method.why_not(facts) is None:
                raise
            left_out.append(LeftOut(method=name, reason=_reason(name, error)))
            progress.say(f"  left out   {left_line(left_out[-1])}")
        else:
            found[name] = setup.with_facts(facts)
    if not found:
        raise DataError(f"no method fits {images.source}: {left_line(left_out[-1])}")
    return found


def shared_settings(request: Request, setups: Mapping[str, Setup]) -> list[str]:
    """A warning, where several methods are trained with one setting of the optimizer."""
    shared = sorted(path for path in request.given if path.startswith("optimizer."))
    if not shared or sum(setup.trains for setup in setups.values()) < 2:
        return []
    return [
        f"{', '.join(shared)}: one value for all methods, which want different ones; leave it out"
        " (--tune finds each method a rate of its own)"
    ]


def left_line(left: LeftOut) -> str:
    return f"{left.method}: {left.reason}"


def _reason(name: str, error: DataError) -> str:
    """Why a method is left out, without its name, which stands beside it."""
    return str(error).removeprefix(f"{name} ")
