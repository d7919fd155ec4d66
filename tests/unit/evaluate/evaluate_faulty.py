"""Evaluators that are none, for the tests of the table."""

from nearfar.evaluate.base import Context, Evaluator, Outcome


class Untitled(Evaluator):
    name = "untitled"
    needs = frozenset({"labels"})

    def run(self, _context: Context) -> Outcome:
        return Outcome([])


class Idle(Evaluator):
    name, title, main = "idle", "idle", None
    needs = frozenset({"labels"})
