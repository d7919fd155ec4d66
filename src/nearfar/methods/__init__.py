"""The methods, a file each. Adding one: its file, a line here, a line in the changelog."""

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType

from nearfar.methods.base import Method

METHODS: Mapping[str, str] = MappingProxyType(
    {
        "cross_entropy": "nearfar.methods.cross_entropy:CrossEntropy",
        "supcon": "nearfar.methods.supcon:SupCon",
        "simclr": "nearfar.methods.simclr:SimCLR",
        "relational": "nearfar.methods.relational:Relational",
        "margin": "nearfar.methods.margin:Margin",
        "triplet": "nearfar.methods.triplet:Triplet",
        "n_pairs": "nearfar.methods.n_pairs:NPairs",
        "max_margin": "nearfar.methods.max_margin:MaxMargin",
        "rotation": "nearfar.methods.rotation:Rotation",
        "relative_position": "nearfar.methods.relative_position:RelativePosition",
        "jigsaw": "nearfar.methods.jigsaw:Jigsaw",
        "counting": "nearfar.methods.counting:Counting",
        "colorization": "nearfar.methods.colorization:Colorization",
        "moco": "nearfar.methods.moco:MoCo",
        "supcon_moco": "nearfar.methods.supcon_moco:SupConMoCo",
        "byol": "nearfar.methods.byol:BYOL",
        "swav": "nearfar.methods.swav:SwAV",
        "simsiam": "nearfar.methods.simsiam:SimSiam",
        "barlow_twins": "nearfar.methods.barlow_twins:BarlowTwins",
        "vicreg": "nearfar.methods.vicreg:VICReg",
        "nnclr": "nearfar.methods.nnclr:NNCLR",
        "dino": "nearfar.methods.dino:DINO",
    }
)


def method_class(name: str) -> type[Method]:
    """The class of a method in the table. KeyError for another name."""
    module, _, attribute = METHODS[name].partition(":")
    found: type[Method] = getattr(import_module(module), attribute)
    return found
