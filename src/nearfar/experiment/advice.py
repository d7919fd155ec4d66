"""What a practitioner would say before the work begins."""

from nearfar.core.types import DataFacts
from nearfar.data.check import thin_splits
from nearfar.experiment.setup import Setup

FEW_IMAGES = 20_000
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
    """Lines for the plan: splits that nearly lack a class; weights, unless they are given or the
    encoder is the user's own.
    """
    lines = [f"warning    {finding.text}" for finding in thin_splits(setup.facts)]
    if not (own_module or setup.config.encoder.given) and (
        advised := advise_weights(setup.facts, side)
    ):
        lines.append(f"advice     {advised}")
    return lines
