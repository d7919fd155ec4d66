"""Prints the command of README.md that stands under a mark: `python tests/readme.py demo|test`."""

import re
import sys
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def command(mark: str) -> str:
    """The one line of the shell block that follows `<!-- mark -->`."""
    found = re.search(rf"<!-- {mark} -->\n```sh\n(.+)\n```", README.read_text(encoding="utf-8"))
    if found is None:
        raise SystemExit(f"README.md: no one-line shell block under <!-- {mark} -->")
    return found[1]


if __name__ == "__main__":
    print(command(sys.argv[1]))
