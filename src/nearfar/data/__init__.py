"""Images as nearfar reads them: sources, the decoded store, splits, batches, and the doctor of
data.
"""

from nearfar.data.center import CenterSquare
from nearfar.data.check import check
from nearfar.data.findings import Finding
from nearfar.data.images import ImageData
from nearfar.data.listing import Listing, Unreadable
from nearfar.data.sampler import epoch_batches
from nearfar.data.samples import EvaluationView, FeatureSamples, ImageSamples, Samples
from nearfar.data.sources import open_source
from nearfar.data.store import load, store_bytes, store_side

__all__ = [
    "CenterSquare",
    "EvaluationView",
    "FeatureSamples",
    "Finding",
    "ImageData",
    "ImageSamples",
    "Listing",
    "Samples",
    "Unreadable",
    "check",
    "epoch_batches",
    "load",
    "open_source",
    "store_bytes",
    "store_side",
]
