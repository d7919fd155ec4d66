"""The plan of a decided run, measured: its encoder's numbers, what a step costs, what is stored."""

import torch

from nearfar.core.threads import threads_for
from nearfar.data.listing import Listing
from nearfar.data.store import store_bytes, store_side
from nearfar.experiment.cost import estimate
from nearfar.experiment.plan import Network, plan_lines
from nearfar.experiment.setup import Setup
from nearfar.nn.encoders import Encoder
from nearfar.training.estimate import row_cost


def planned(
    setup: Setup,
    listing: Listing,
    encoder: Encoder,
    device: torch.device,
    where: str,
    *,
    runs: int = 1,
) -> list[str]:
    """The lines to say before work begins; one small step of a copy of the encoder is timed."""
    network = Network(
        width=encoder.width,
        origin=encoder.origin,
        parameters=sum(parameter.numel() for parameter in encoder.parameters()),
        has_small_stem=bool(encoder.stem),
        has_batch_norm=encoder.has_batch_norm,
    )
    side = store_side(listing, setup.size)
    with threads_for(setup.multiply_adds_at_once, device):
        cost = row_cost(encoder, device=device)
    total = estimate(setup, cost, store_bytes=store_bytes(listing, side, setup.center), runs=runs)
    return plan_lines(setup, network, total, store_side=side, where=where)
