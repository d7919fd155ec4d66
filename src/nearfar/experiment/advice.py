"""What a practitioner would say before the work begins."""

from nearfar.core.types import DataFacts
from nearfar.data.check import thin_splits
from nearfar.data.pairs import share_without_positive
from nearfar.experiment.labeling import selection_line
from nearfar.experiment.refusals import why_not_by_class
from nearfar.experiment.setup import Setup

FEW_IMAGES = 20_000
TOLD_WITHOUT_POSITIVE = 0.05  # of the anchors
PHOTOGRAPH_PX = 48  # short side from which images are taken for photographs
WEIGHTS = (
    "--pretrained starts from published weights and usually gives far more (without a connection:"
    " --set encoder.weights=FILE.safetensors, see docs/photographs.md)"
)


def advise_weights(facts: DataFacts, side: int) -> str | None:
    """Why to begin from given weights: few images, of `side` px, as photographs have."""
    images = facts.n_train + facts.n_unlabeled
    if images > FEW_IMAGES or side < PHOTOGRAPH_PX:
        return None
    return f"{images:,} training images are few for new weights; {WEIGHTS}"


def advice_lines(setup: Setup, side: int, *, own_module: bool) -> list[str]:
    """Lines for the plan, of images of `side` px: splits that nearly lack a class; weights, unless
    they are given or the encoder is the user's own; that images are enlarged for those.
    """
    lines = [f"warning    {finding.text}" for finding in thin_splits(setup.facts)]
    if setup.config.encoder.given and setup.size > side:
        lines.append(
            f"note       images of {side} px are enlarged to {setup.size} px for the given weights,"
            " which saw large ones; a smaller --size is faster, and usually less accurate"
        )
    if (chosen := selection_line(setup.facts)) is not None:
        lines.append(f"note       {chosen}")
    if (alone := without_positive_line(setup)) is not None:
        lines.append(f"note       {alone}")
    if not (own_module or setup.config.encoder.given) and (
        advised := advise_weights(setup.facts, side)
    ):
        lines.append(f"advice     {advised}")
    return lines


def without_positive_line(setup: Setup) -> str | None:
    """How many anchors find no other image of their class in their batch, and what makes them
    fewer; None where they are too few to tell, or positives come from elsewhere.
    """
    facts, batch, sampling = setup.facts, setup.batch_size, setup.sampling
    if not (setup.trains and setup.method.positives_by_class):
        return None
    unlabeled = facts.n_unlabeled if setup.method.takes_unlabeled else 0
    share = share_without_positive(
        facts.class_counts, unlabeled=unlabeled, batch_size=batch, sampling=sampling
    )
    if share < TOLD_WITHOUT_POSITIVE:
        return None
    views = setup.views.policy.made(setup.views.count)
    but = " but the other views of their image" if views > 1 else ""
    labels = f" ({unlabeled:,} of {setup.images:,} images have no label)" if unlabeled else ""
    ways = "a larger train.batch_size makes them fewer"
    if not sampling.by_class and why_not_by_class(setup.method, facts) is None:
        ways += ", data.sampling=m_per_class with data.per_class=2 leaves none"
    return (
        f"{share:.0%} of the anchors will have no positive{but} in their batch of {batch}{labels};"
        f" {ways}"
    )
