"""From run folders to one self-contained page. No torch."""

from nearfar.report.loading import loading_lines
from nearfar.report.page import ending, write_report

__all__ = ["ending", "loading_lines", "write_report"]
