"""The plan of decided runs: their encoder's numbers, what a step costs, what is stored."""

from collections.abc import Sequence

import torch

from nearfar.core.threads import threads_for
from nearfar.data.listing import Listing
from nearfar.data.store import store_bytes, store_side
from nearfar.experiment.advice import advice_lines
from nearfar.experiment.cost import modelled
from nearfar.experiment.forecast import Forecast
from nearfar.experiment.plan import Network, estimate_line, plan_lines
from nearfar.experiment.process_memory import peak_memory_bytes
from nearfar.experiment.setup import Setup
from nearfar.nn.encoders import Encoder
from nearfar.training.estimate import row_cost

NAMED = 8  # tensors, in the plan; results.json names all
LIBRARIES_BYTES = 350e6  # of those that are imported and compiled after the plan
TIMED_MULTIPLY_ADDS = 20_000_000_000  # of a forward


def foreseen(
    runs: Sequence[Setup],
    listing: Listing,
    encoder: Encoder,
    device: torch.device,
    tunes: bool = False,
) -> Forecast:
    """What the runs will take; one small step of a copy of the encoder is timed. `tunes`: with
    trials before them.
    """
    held, first = 0.0, runs[0]
    if device.type == "cpu":
        held = (peak_memory_bytes(device, alone=True) or 0) + LIBRARIES_BYTES
        held += store_bytes(listing, store_side(listing, first.size), first.center)
    with threads_for(first.multiply_adds_at_once, device):
        row = row_cost(encoder, device=device, most_rows=rows_to_time(runs, device))
    costs = {
        setup.label: modelled(setup, row, width=encoder.width, held_bytes=held) for setup in runs
    }
    return Forecast(runs, costs, tunes=tunes)


def rows_to_time(runs: Sequence[Setup], device: torch.device) -> int:
    """No more than a step has; on a CPU, of a large network, no more than take a moment."""
    rows = max(run.views_a_step for run in runs)
    if device.type != "cpu":
        return rows
    largest = max(run.multiply_adds for run in runs)  # 0 of an encoder that only pools
    return max(1, min(rows, TIMED_MULTIPLY_ADDS // max(largest, 1)))


def planned(
    setup: Setup, listing: Listing, encoder: Encoder, forecast: Forecast, where: str
) -> list[str]:
    """The lines to say before work begins: those of one run, and the estimate of all."""
    network = Network(
        width=encoder.width,
        origin=encoder.origin,
        parameters=sum(parameter.numel() for parameter in encoder.parameters()),
        stem=_stem(encoder),
        frozen=sum(p.numel() for p in encoder.parameters() if not p.requires_grad),
        normalizes_by_batch=encoder.normalizes_by_batch,
        keeps_statistics=bool(encoder.batch_norms) and not encoder.normalizes_by_batch,
    )
    estimate = estimate_line(
        forecast.left(),
        forecast.memory_bytes(),
        len(forecast.runs),
        trials=bool(forecast.trials),
    )
    side = store_side(listing, setup.size)
    lines = plan_lines(setup, network, estimate, store_side=side, where=where)
    lines += _unmatched(encoder)
    lines += advice_lines(setup, listing.side, own_module=encoder.built_by == "user")
    if setup.trains and not any(parameter.requires_grad for parameter in encoder.parameters()):
        lines.append(
            f"warning    nothing of the encoder learns (no parameter requires a gradient): only"
            f" {setup.method_name}'s own layers are trained"
        )
    return lines


def _stem(encoder: Encoder) -> str:
    if encoder.stem:
        return "small-image stem"
    patch = encoder.create.get("patch_size")
    return "own stem" if patch is None else f"patches of {patch} px"


def _unmatched(encoder: Encoder) -> list[str]:
    """What of the given weights and of the encoder did not meet, by name."""
    told = [
        ("new, because the given weights have none", encoder.left),
        ("not used of the given weights", encoder.unused),
    ]
    return [f"weights    {what}: {_some(names)}" for what, names in told if names]


def _some(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f", ... ({more} more)" if more > 0 else "")
