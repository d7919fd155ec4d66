"""Progress: stdout belongs to results, bars to terminals, and quiet is quiet."""

import io
import sys

import pytest

from nearfar.core.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def work(progress: Progress) -> None:
    progress.say("the plan")
    with progress.bar(3, "training") as bar:
        for step in range(3):
            bar.advance(1, f"loss {step}")


def test_progress_goes_to_stderr_and_never_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    work(Progress())
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "the plan\n"


def test_without_a_terminal_there_is_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    assert not Progress().has_bars
    with Progress().bar(2, "training") as bar:
        bar.advance(1, "loss 1")
    assert capsys.readouterr() == ("", "")


def test_quiet_says_nothing_at_all(capsys: pytest.CaptureFixture[str]) -> None:
    work(Progress(quiet=True))
    assert capsys.readouterr() == ("", "")


def test_on_a_terminal_a_bar_shows_title_count_and_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    assert Progress().has_bars
    work(Progress())
    shown = terminal.getvalue()
    assert all(part in shown for part in ("the plan", "training", "3/3", "loss 2"))
    assert capsys.readouterr().out == ""


def test_quiet_shows_no_bar_on_a_terminal_either(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert not Progress(quiet=True).has_bars
    work(Progress(quiet=True))
    assert terminal.getvalue() == ""


def test_an_error_inside_a_bar_comes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    with pytest.raises(KeyError), Progress().bar(1, "training"):
        raise KeyError("inside")
