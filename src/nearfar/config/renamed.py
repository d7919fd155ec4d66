"""What keys and values were called before: an error in a user's own settings, which names the new
one; in a run folder of an earlier version mapped as it is read.
"""

from collections.abc import Mapping
from types import MappingProxyType

# Of 0.1.0, by section.
KEYS: Mapping[tuple[str, str], str] = MappingProxyType(
    {
        ("data", "balanced"): "sampling",
        ("method", "normalise_representation"): "normalize_representation",
        ("method", "centre_momentum"): "center_momentum",
        ("method", "grey"): "gray",
        ("method", "colour"): "color",
        ("method", "batch_norm"): "projector_batch_norm",
    }
)
VALUES: Mapping[str, str] = MappingProxyType({"grey": "gray"})  # in a policy's table
