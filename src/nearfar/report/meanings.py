"""What measured words mean, a sentence each, for where they stand on the page."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from nearfar.run_folder.records import UNTRAINED

# by the name of a measurement, up to its first dot
COLUMNS: Mapping[str, str] = MappingProxyType(
    {
        "linear_probe": (
            "a linear classifier that is trained on what the finished, frozen encoder makes of the"
            " training images: how well straight borders can tell the classes apart"
        ),
        "knn": (
            "k nearest neighbors: a test image gets the class of the training images that the"
            " encoder puts nearest to it; nothing is trained"
        ),
        "few_label_probe": (
            "a linear probe that is shown so few labeled images of each class: what the encoder is"
            " worth where labels are scarce"
        ),
        "retrieval": (
            "how often the test image that the encoder puts nearest to a test image is of its class"
        ),
        "head": "the classifier that the method itself trains, together with the encoder",
        "classifier": (
            "a classifier that is trained after the encoder, on the labeled training images"
        ),
    }
)

BALANCED = (
    "the mean of the classes’ own accuracies, so that rare classes count as much as common ones"
)

# by selection, and the one before training
ENCODERS: Mapping[str, str] = MappingProxyType(
    {
        "last": "the encoder as the last epoch left it",
        "validation": (
            "the encoder of the selected epoch, whose nearest neighbors were right most often on"
            " validation images"
        ),
        UNTRAINED: "the encoder before its first step: what training starts from",
    }
)

# by what of `Curves` it is about
CURVES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "loss": (
            "Training loss",
            "what training makes small; losses of different methods are different quantities, so"
            " compare their shapes, not their heights",
        ),
        "chance": (
            "Chance (dashed)",
            "the loss of a model that knows nothing; training should end well below it",
        ),
        "knn": (
            "kNN accuracy on validation",
            "how many validation images are of the class of the training images that lie nearest to"
            " them; the epoch where most are is the selected epoch; one scale for all methods",
        ),
        "online_probe": (
            "Online probe",
            "how well a linear classifier tells the classes of the training views apart while"
            " training goes on; the encoder learns nothing from it",
        ),
        "classifier": (
            "Classifier stage",
            "how many validation images its classifier gets right, by its own epochs",
        ),
    }
)

EFFECTIVE_RANK = (
    "how many directions the representations really use, at most their width; a fall to a few means"
    " that images collapse onto each other"
)
ALIGNMENT = "the distance between two views of one image: lower is nearer"
UNIFORMITY = (
    "how evenly images are spread over the sphere: 0 is all in one point, lower is more even"
)
QUEUE_AGE = "how many steps ago, on average, the rows of the queue were put in"


def of_column(name: str) -> str:
    """Of a measurement; "" of one that is not nearfar's own."""
    what, _, how = name.partition(".")
    return BALANCED if what in COLUMNS and how == "balanced_accuracy" else COLUMNS.get(what, "")


def of_curves(drawn: Iterable[str]) -> list[tuple[str, str]]:
    """Title and sentence of those that are drawn."""
    there = set(drawn)
    return [told for name, told in CURVES.items() if name in there]
