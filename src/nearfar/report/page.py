"""Everything on one page that needs nothing: no network, no server, no other file.

The page's own policy (Content-Security-Policy) allows its one script, by hash, and pictures that it
carries; so even a name that slipped through escaping could neither run nor call out.
"""

import base64
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from nearfar.core.errors import RunError
from nearfar.core.writing import whole
from nearfar.report import formats, words
from nearfar.report.charts import learning_curves
from nearfar.report.class_sizes import class_sizes
from nearfar.report.confusion import confusion_matrices
from nearfar.report.differences import differences
from nearfar.report.groups import Findings, Group, findings
from nearfar.report.loading import loading_lines
from nearfar.report.maps import map_families
from nearfar.report.meanings import of_curves
from nearfar.report.mistakes import worst_mistakes
from nearfar.report.palette import SHAPES
from nearfar.report.read import Run, Source, read_source
from nearfar.report.sheet import COLUMNS, TILE, Sheet
from nearfar.report.table import results_table
from nearfar.report.tuning import tuning_table
from nearfar.report.using import using
from nearfar.report.verdicts import next_steps
from nearfar.report.views import view_sheets
from nearfar.run_folder.records import DataSummary


def ending(paths: Sequence[Path]) -> list[str]:
    """What a terminal ends with: the first sentence of the page about these runs, which run to use,
    and the lines that use it. RunError as in `write_report`.
    """
    found = findings(read_source([Path(path) for path in paths], numbers_only=True))
    said, use = [words.headline(found).sentence], using(found)
    if use is not None:
        said += [f"to use: {use.why}", f"  {use.predict}", f"  {use.load}  # in Python"]
    return said


def write_report(paths: Sequence[Path], out: Path) -> Path:
    """One self-contained page about a run, several runs, or a comparison's folder; returns `out`.

    A file that is merely absent is named on the page; a broken one, and an `out` that cannot be
    written, is a RunError.
    """
    source = read_source([Path(path) for path in paths])
    html = render(source, base=Path(out).resolve().parent)
    _write(Path(out), html)
    return Path(out)


def render(source: Source, *, base: Path) -> str:
    """The page as text; links are relative to the folder `base`."""
    found = findings(source)
    sheet = Sheet()
    families, payload = map_families(found.groups, sheet)
    mistakes, curves = worst_mistakes(found.groups, sheet), learning_curves(found.groups)
    script = _asset("page.js")
    environment = Environment(
        loader=PackageLoader("nearfar.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = formats.percent
    return environment.get_template("report.html.j2").render(
        title=_title(found),
        headline=words.headline(found),
        facts=_facts(found),
        encoders=[
            (group.label, _link(run, base))
            for group in found.groups
            for run in group.runs[:1]
            if run.encoder
        ],
        table=results_table(found),
        use=using(found),
        differences=differences(found),
        tuning=tuning_table(found.tuning),
        left_out=found.left_out,
        failed=found.failed,
        skipped=_skipped(found),
        unfinished=source.unfinished,
        missing=[line for group in found.groups for line in words.missing(group)],
        diagnosis=words.diagnosis(found),
        next_steps=next_steps(found),
        sizes=class_sizes(found),
        curves=curves,
        curve_meanings=of_curves(drawn for curve in curves for drawn in curve.drawn),
        views=view_sheets(found.groups),
        families=families,
        matrices=confusion_matrices(found.groups),
        mistakes=mistakes,
        classified_by=words.classified_by(found),
        commands=_commands(found),
        environments=_environments(found.groups),
        configs=[(group.label, group.first.config) for group in found.groups if group.first.config],
        loading=[
            (group.label, loading_lines(encoder.model_dump(), link[0]), link)
            for group in found.groups
            if (encoder := group.first.encoder) is not None
            for link in [_link(group.first, base)]
        ],
        shapes=SHAPES,
        sheet={"uri": sheet.data_uri(), "columns": COLUMNS, "tile": TILE},
        payload=json_for_script(payload | {"sheet": {"columns": COLUMNS}}),
        style=Markup(_asset("style.css")),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
    )


def json_for_script(value: Any) -> Markup:
    """JSON that cannot end the script element it stands in, nor open a comment in it."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)


def _asset(name: str) -> str:
    return (files("nearfar.report") / "templates" / name).read_text(encoding="utf-8")


def _title(found: Findings) -> str:
    data = found.groups[0].first.results.data.name if found.same_data else "several data sets"
    return f"{data}: {formats.spoken_list([group.label for group in found.groups])}"


def _facts(found: Findings) -> list[tuple[str, str]]:
    """What was compared, at a glance."""
    first = found.groups[0].first.results
    data, encoder = first.data, first.encoder
    facts = []
    if found.same_data:
        parts = [
            ("train", data.n_train),
            ("unlabeled", data.n_unlabeled),
            ("validation", data.n_val),
            ("test", data.n_test),
        ]
        images = ", ".join(f"{n:,} {name}" for name, n in parts if n)
        seen = f" ({data.n_test_seen:,} of test seen in training)" if data.n_test_seen else ""
        classes = (
            formats.plural(len(data.classes), "class", "classes") if data.classes else "no labels"
        )
        facts.append(("Data", f"{data.name}: {classes}; {images} images{seen}"))
    if (
        len(labels := {_labels(run.results.data) for group in found.groups for run in group.runs})
        == 1
    ):
        facts += [("Labels", line) for line in labels if line]
    of = {group.label: group.first.results.method for group in found.groups}
    if any(group.first.results.recipe for group in found.groups):
        facts.append(("Method", formats.spoken_list([f"{m} ({label})" for label, m in of.items()])))
    names = {run.results.encoder.name for group in found.groups for run in group.runs}
    if len(names) == 1:
        parameters = (
            f", {formats.count(encoder.parameters)} parameters" if encoder.parameters else ""
        )
        size = f", {encoder.size} px" if encoder.size else ""
        facts.append(
            (
                "Encoder",
                f"{encoder.name}{size}{parameters}, {encoder.width or '?'} numbers an image",
            )
        )
    if len(starts := {_start(run) for group in found.groups for run in group.runs}) == 1:
        facts.append(("Start", starts.pop()))
    return facts + [("Training", line) for line in _trainings(found)]


def _trainings(found: Findings) -> list[str]:
    """How long the trained ones took, and their batches where the lengths are alike."""
    trained = [group for group in found.groups if group.trained]
    if not trained:
        return ["none"]
    epochs = {run.results.train.epochs for group in trained for run in group.runs}
    if len(epochs) == 1 and (each := next(iter(epochs))) is not None:
        known = {group.label: group.first.results.train.batch_size for group in found.groups}
        batches = {label: batch for label, batch in known.items() if batch is not None}
        said = f", {formats.batches_of_each(batches)}" if batches else ""
        return [f"{formats.plural(each, 'epoch')}{said}"]
    if None in epochs:
        return []
    lengths = {group.label: group.first.results.train.epochs or 0 for group in trained}
    return [formats.epochs_of_each(lengths)]


def _labels(data: DataSummary) -> str:
    """Which labels of the training images were withheld or made wrong; "" for none."""
    parts = []
    if data.n_withheld:
        share = f"{100 * (data.label_fraction or 0):g} % of each class"
        some = f"{data.labels_per_class} a class" if data.labels_per_class is not None else share
        parts.append(f"{some} for training, the labels of {data.n_withheld:,} images withheld")
    if data.label_noise:
        parts.append(f"{100 * data.label_noise:g} % of the training labels made wrong")
    return f"{', '.join(parts)}; drawn anew by each seed" if parts else ""


def _start(run: Run) -> str:
    """What the encoder was before training."""
    weights = run.results.encoder.weights
    if weights is None:
        return "random numbers, no given weights"
    return "the weights that timm publishes" if weights == "hub" else f"weights from {weights}"


def _link(run: Run, base: Path) -> tuple[str, str]:
    """(text, href) of the run's encoder file, relative to the page where that can be."""
    file = run.weights.resolve()
    try:
        text = Path(os.path.relpath(file, base)).as_posix()
    except ValueError:  # another drive
        return str(file), file.as_uri()
    return text, "./" + quote(text)


def _skipped(found: Findings) -> list[str]:
    lines: dict[str, None] = {}
    for group in found.groups:
        for run in group.runs:
            for item in run.results.data.skipped:
                lines[_skip_text(item)] = None
    return list(lines)


def _skip_text(item: Any) -> str:
    values = (
        item.values()
        if isinstance(item, Mapping)
        else item
        if isinstance(item, list | tuple)
        else [item]
    )
    return ": ".join(str(value) for value in values)


def _commands(found: Findings) -> list[str]:
    if found.command:
        return [found.command]
    return list(
        dict.fromkeys(
            run.results.command
            for group in found.groups
            for run in group.runs
            if run.results.command
        )
    )


def _environments(groups: Sequence[Group]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Each different environment once, with the runs it served; the time of a run is no
    difference.
    """
    seen: dict[str, tuple[list[str], list[tuple[str, str]]]] = {}
    for group in groups:
        for run in group.runs:
            if run.environment is None:
                continue
            pairs = [
                (k, formats.MISSING if v is None else str(v))
                for k, v in run.environment.model_dump().items()
            ]
            key = repr([pair for pair in pairs if pair[0] != "time_utc"])
            seen.setdefault(key, ([], pairs))[0].append(f"{group.label}, seed {run.results.seed}")
    return [("; ".join(who) if len(seen) > 1 else "", pairs) for who, pairs in seen.values()]


def _write(out: Path, html: str) -> None:
    """All of it or nothing, for everybody to read."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with whole(out) as partial:
            partial.write_text(html, encoding="utf-8")
            partial.chmod(0o644)
    except OSError as error:
        raise RunError(
            f"{out}: the report cannot be written ({error}); choose another place: --out FILE"
        ) from error
