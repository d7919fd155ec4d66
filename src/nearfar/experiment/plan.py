"""What a training command says before it works: at most six lines of text."""

from dataclasses import dataclass

from nearfar.data.rgb import OWN_WHITE
from nearfar.experiment.setup import Setup
from nearfar.report.formats import plural


@dataclass(frozen=True)
class Network:
    """What the plan says of an encoder."""

    width: int
    origin: str  # what it starts from
    parameters: int
    stem: str  # in words
    frozen: int  # parameters that do not learn
    normalizes_by_batch: bool
    keeps_statistics: bool  # of its BatchNorm


def plan_lines(
    setup: Setup, network: Network, estimate: str, *, store_side: int, where: str
) -> list[str]:
    """Data, encoder, views and optimizer (or that nothing is trained), estimate, where it goes."""
    return [
        _data_line(setup, store_side),
        _encoder_line(setup, network),
        *_training_lines(setup),
        f"estimate   {estimate}",
        where,
    ]


def _training_lines(setup: Setup) -> list[str]:
    if not setup.trains:
        return [f"training   none: the given weights are measured as they are{_then(setup)}"]
    data = setup.config.data
    named = f"{data.per_class} per class" if data.per_class is not None else data.sampling
    balanced = f" ({named})" if setup.sampling.by_class else ""
    return [
        (
            f"views      {setup.views.name} x {setup.views.shown}; batch"
            f" {setup.batch_size}{balanced}, {setup.steps_per_epoch} steps an epoch,"
            f" {plural(setup.epochs, 'epoch')}, seed {setup.seed}"
        ),
        _optimizer_line(setup),
    ]


def _data_line(setup: Setup, store_side: int) -> str:
    facts = setup.facts
    parts = [f"{facts.n_train:,} train", f"{facts.n_val:,} val", f"{facts.n_test:,} test"]
    if facts.n_unlabeled:
        withheld = f" ({facts.n_withheld:,} labels withheld)" if facts.n_withheld else ""
        parts.append(f"{facts.n_unlabeled:,} unlabeled{withheld}")
    if facts.n_mislabeled:
        parts.append(f"{facts.n_mislabeled:,} of the train labels made wrong")
    if facts.n_predict:
        parts.append(f"{facts.n_predict:,} left to predict and embed")
    classes = f"{facts.n_classes} classes" if facts.n_classes else "no labels"
    streamed = setup.config.data.stream
    kept = "decoded anew in every epoch" if streamed else f"stored at {store_side} px"
    return (
        f"data       {facts.name}: {', '.join(parts)}; {classes}; {kept}, shown"
        f" at {setup.size} px{_white(setup)}"
    )


def _white(setup: Setup) -> str:
    """What is shown as white of deep gray, where that is said by the set."""
    white = setup.center.white
    integer = "" if white.integer == OWN_WHITE.integer else f"; 16-bit white at {white.integer:,}"
    return integer if white.real is None else f"{integer}; floating-point white at {white.real:g}"


def _encoder_line(setup: Setup, network: Network) -> str:
    rows = setup.config.train.micro_batch_size
    frozen = f" ({network.frozen / 1e6:.3g} M frozen)" if network.frozen else ""
    norms = ", BatchNorm frozen" if network.keeps_statistics else ""
    chunks = ""
    if rows is not None:
        together = "; each chunk is a BatchNorm group" if network.normalizes_by_batch else ""
        chunks = f"; chunks of {rows} rows{together}"
    return (
        f"encoder    {setup.encoder_name} ({network.stem}, {network.origin}), width"
        f" {network.width}, {network.parameters / 1e6:.3g} M parameters{frozen}{norms},"
        f" {setup.precision}{chunks}"
    )


def _optimizer_line(setup: Setup) -> str:
    optimizer, pace = setup.optimizer, setup.pace
    origin = f" ({optimizer.lr_origin})" if optimizer.lr_origin is not None else ""
    decayed = "" if optimizer.decay_norms_and_biases else ", none on norms and biases"
    return (
        f"optimizer  {optimizer.name}, lr {optimizer.lr:.4g}{origin}, weight decay"
        f" {optimizer.weight_decay:g}{decayed}; {pace.schedule.decay} after"
        f" {pace.warmup_epochs:g} warm-up epochs{_held(setup)}{_then(setup)}"
    )


def _held(setup: Setup) -> str:
    """What holds the loss or its gradients back, where something does."""
    clip, smoothing = setup.pace.gradient_clip, getattr(setup.config.method, "label_smoothing", 0.0)
    clipped = f"; gradients clipped at {clip:g}" if clip is not None else ""
    return f"{clipped}; label smoothing {smoothing:g}" if smoothing else clipped


def _then(setup: Setup) -> str:
    """The classifier stage, where there is one."""
    stage = setup.classifier
    if stage is None:
        return ""
    encoder = "frozen" if stage.encoder_lr is None else f"fine-tuned at lr {stage.encoder_lr:.3g}"
    shown = "features" if stage.policy is None else f"{stage.policy_name} views"
    return (
        f"; then a classifier ({stage.kind}, encoder {encoder}): {plural(stage.epochs, 'epoch')}"
        f" of {shown}, lr {stage.pace.lr:.3g}, {stage.optimizer.name}, {stage.pace.schedule.decay}"
        f"{'' if stage.standardize else ', not standardized'}"
        f"{', from the linear probe' if stage.init == 'probe' else ''}"
    )


def estimate_line(seconds: float, memory_bytes: float, runs: int, *, trials: bool = False) -> str:
    """What the runs are expected to take, with the trials before them, if there are any."""
    of = f" for {plural(runs, 'run')}" if runs > 1 or trials else ""
    of += " and the trials" if trials else ""
    return (
        f"about {duration(seconds)}{of}, evaluation and report included; {gigabytes(memory_bytes)}"
    )


def gigabytes(memory_bytes: float) -> str:
    return f"{memory_bytes / 2**30:.1f} GB of memory"


def duration(seconds: float) -> str:
    """'40 s', '12 min', '3.5 h'."""
    if seconds < 100:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
