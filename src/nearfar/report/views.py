"""The training views as pictures: one sheet for all runs that share them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nearfar.report.formats import spoken_list
from nearfar.report.groups import Group, data_key, settings
from nearfar.report.pictures import Picture
from nearfar.report.read import Run
from nearfar.run_folder.names import RUN_TOML


@dataclass(frozen=True)
class ViewSheet:
    """`caption` says what is seen; `picture` is a data URI of that width, px."""

    label: str
    caption: str
    picture: str
    width: int


def view_sheets(groups: Sequence[Group]) -> list[ViewSheet]:
    """A sheet for each policy, strength and size, of the run that shows most views. Old runs have
    none.
    """
    sharing: dict[str, list[tuple[Group, Run, Picture]]] = {}
    for group in groups:
        with_sheet = [(run, run.views) for run in group.runs if run.views is not None]
        for run, picture in with_sheet[:1]:
            sharing.setdefault(repr(_key(run)), []).append((group, run, picture))
    return [_sheet(members) for members in sharing.values()]


def _key(run: Run) -> tuple[Any, ...]:
    """What two runs share whose views are of the same kind; how many there are does not matter."""
    config = settings(run.config)
    views = {key: value for key, value in config.get("views", {}).items() if key != "count"}
    if not views:  # without run.toml nothing is known to be shared
        return (run.path,)
    return (data_key(run), views, config.get("data", {}).get("size"), run.results.encoder.size)


def _sheet(members: Sequence[tuple[Group, Run, Picture]]) -> ViewSheet:
    most = max(members, key=lambda member: member[1].results.views.count or 0)
    _, run, picture = most
    shown = {group.label: member.results.views.shown for group, member, _ in members}
    return ViewSheet(
        spoken_list(list(shown)), _caption(run, shown), picture.data_uri(), picture.image.width
    )


def _caption(run: Run, shown: Mapping[str, str | None]) -> str:
    policy = run.results.views.policy
    named = (
        f"A policy of one’s own, which stands in {RUN_TOML}"
        if policy == "custom"
        else f"Policy {policy or '?'}"
    )
    size = f", {run.results.encoder.size} px" if run.results.encoder.size else ""
    if len(set(shown.values())) == 1:
        each = [text for text in list(shown.values())[:1] if text]
    else:
        each = [f"{text} for {label}" for label, text in shown.items() if text]
    often = f"; views of each image a step: {', '.join(each)}" if each else ""
    return (
        f"{named}{size}{often}. Framed: the image as it is evaluated. Beside it: views as the"
        f" encoder is shown them in training with seed {run.results.seed}, their normalization"
        " undone."
    )
