"""Pictures copied into a folder for each class that was predicted, and one for those that a person
is to decide. Nothing is moved or replaced.
"""

import errno
import filecmp
import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from nearfar.core.errors import UserError
from nearfar.core.writing import whole
from nearfar.data.layout import is_litter

UNDECIDED = "_undecided"
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def refuse_target(into: Path, read: Sequence[Path], *, force: bool) -> None:
    """UserError: `into` is no folder, lies in one of the folders that are read, or has something in
    it already and `force` is not given.
    """
    for folder in read:
        if folder.is_dir() and into.resolve().is_relative_to(folder.resolve()):
            raise UserError(
                f"--sort-into: {into} lies inside {folder}, which is read; name a folder beside it"
            )
    try:
        holds = into.exists() and any(not is_litter(entry.name) for entry in into.iterdir())
    except OSError as error:
        raise UserError(f"--sort-into: want a folder, got {into} ({error.strerror})") from error
    if holds and not force:
        raise UserError(
            f"--sort-into: {into} is not empty; name another folder, or add to it by --force (no"
            " picture in it is replaced)"
        )


def sort_into(into: Path, pictures: Iterable[tuple[Path, str | None]]) -> tuple[int, list[Path]]:
    """Copies each picture into `into`/CLASS/, without a class into `into`/_undecided/; how many are
    there then, and those that vanished before.

    Two of one name get a number; a picture that an earlier call left there counts and stays.
    UserError: no room, or no right to write; what was copied is whole and stays.
    """
    folders = _Folders(into)
    done, vanished = 0, []
    for path, class_name in pictures:
        try:
            folders.put(path, class_name)
        except OSError as error:
            if not path.exists():
                vanished.append(path)
                continue
            why = "the disk is full" if error.errno in _NO_ROOM else error.strerror or str(error)
            raise UserError(
                f"--sort-into: {path} cannot be copied to {into} ({why}); the {done:,} pictures"
                " copied before it are complete; the same command with --force goes on"
            ) from error
        done += 1
    return done, vanished


class _Folders:
    """The folders of the classes, and what stood in them before."""

    def __init__(self, into: Path) -> None:
        self._into = into
        # of folders, by class; a class that is called so too gets a number
        self._names: dict[str | None, str] = {None: UNDECIDED}
        self._before: dict[Path, set[str]] = {}  # files not made by this call, by folder

    def put(self, path: Path, class_name: str | None) -> None:
        folder = self._into / self._name(class_name)
        if folder not in self._before:
            folder.mkdir(parents=True, exist_ok=True)
            self._before[folder] = {entry.name for entry in folder.iterdir()}
        before = self._before[folder]
        target, number = folder / path.name, 1
        while target.exists() or target.is_symlink():
            there = target.name in before and target.is_file()
            if there and filecmp.cmp(path, target, shallow=False):
                before.remove(target.name)  # it stands for one picture
                return
            number += 1
            target = folder / f"{path.stem}-{number}{path.suffix}"
        with whole(target) as partial:
            shutil.copy2(path, partial)

    def _name(self, class_name: str | None) -> str:
        """A class's name as the name of one folder on any system; no two classes share one."""
        if class_name is not None and class_name not in self._names:
            plain = re.sub(r'[/\\:*?"<>|\x00-\x1f]', "_", class_name).strip(". ") or "_"
            name, number = plain, 1
            taken = {name.lower() for name in self._names.values()}
            while name.lower() in taken:
                number += 1
                name = f"{plain}-{number}"
            self._names[class_name] = name
        return self._names[class_name]
