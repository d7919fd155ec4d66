"""From run folders to one self-contained page. No torch."""

from nearfar.report.loading import loading_lines
from nearfar.report.page import headline, write_report

__all__ = ["headline", "loading_lines", "write_report"]
