"""The epoch of a classifier stage that is best on validation, kept over a resume."""

from typing import final

from torch import Tensor, nn

from nearfar.run_folder import names
from nearfar.run_folder.folder import RunFolder
from nearfar.training.checkpoint import Counters
from nearfar.training.observers import Row

JUDGED = "classifier.top1.val"  # of a row of classifier.jsonl


@final
class BestEpoch:
    """The weights of the epoch that is best on validation so far; of equals the later."""

    def __init__(self, kept: nn.Module, counters: Counters, folder: RunFolder) -> None:
        self.kept, self.counters, self.folder = kept, counters, folder
        self.state: dict[str, Tensor] = {}
        if counters.best_value >= 0:  # it goes on
            self.state = folder.read_tensors(names.CLASSIFIER_BEST)

    def see(self, row: Row) -> None:
        value = row.get(JUDGED)
        if value is None or value < self.counters.best_value:
            return
        self.counters.best_value, self.counters.best_epoch = value, self.counters.epoch
        self.state = {name: t.detach().cpu().clone() for name, t in self.kept.state_dict().items()}
        self.folder.write_best_classifier(self.state)

    def restore(self) -> None:
        """Nothing was judged: the last weights stay."""
        if self.state:
            self.kept.load_state_dict(self.state)
