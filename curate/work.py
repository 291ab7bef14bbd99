"""The work folder of a run, `.NAME.work` beside its place: all that is written before the run is whole.

What came out of archives, slices that wait on disk, the run in the making and, for a moment, the older run that it
replaces: one folder, on the file system of the place, so that moving in is a rename and a killed process leaves
nothing anywhere else. A lock in it says whether a process is at work; the system lets go of it with the process.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

from curate.types import UserError

MANIFEST = "manifest.json"
#: What the system says of a full disk, or of a user's share of one that is used up.
_FULL = {errno.ENOSPC, errno.EDQUOT}


class Work:
    """The work folder of `place`. `refused`: why there is none beside it; then `folder` is a temporary one."""

    def __init__(self, place: Path, folder: Path, refused: OSError | None = None) -> None:
        self.place = place
        self.folder = folder
        self.refused = refused
        self.source = folder / "source"
        self.run = folder / "run"
        self.keys = folder / "keys"
        self._old = folder / "old"
        self._slices = folder / "slices"
        #: Whether the slices are this run's: before that they may be those of another one, killed here.
        self.claimed = False

    def take_over(self) -> None:
        """Clear up after a killed process: all but its slices goes, and an older run that it was replacing returns."""
        for left in (self.source, self.run, self.keys):
            shutil.rmtree(left, ignore_errors=True)
        if (self._old / MANIFEST).is_file() and not self.place.exists():
            self._old.rename(self.place)
        shutil.rmtree(self._old, ignore_errors=True)

    def slices(self, fingerprint: str) -> Path:
        """The folder in which slices wait; those of a killed process stay there if they are of the same run."""
        if self.refused:
            raise self.refused
        self.claimed = True
        mark = self._slices / "fingerprint"
        if not mark.is_file() or mark.read_text(encoding="utf-8") != fingerprint:
            shutil.rmtree(self._slices, ignore_errors=True)
            self._slices.mkdir()
            mark.write_text(fingerprint, encoding="utf-8")
        return self._slices

    def move_in(self) -> None:
        """The run that was made becomes the run of the place, an older one there its past."""
        if self.place.exists():
            self.place.rename(self._old)
        try:
            self.run.rename(self.place)
        except OSError:
            if self._old.exists():
                self._old.rename(self.place)
            raise

    def waiting(self) -> int:
        """How many slices are on disk."""
        return len(list(self._slices.glob("*.slice")))

    def clear(self, slices: bool = True) -> None:
        """Remove what is in the folder (with `slices` false: but these), and it itself where nothing stays."""
        slices = slices or not self.waiting()
        for left in (self.source, self.run, self.keys, self._old, *([self._slices] if slices else [])):
            shutil.rmtree(left, ignore_errors=True)
        if slices:
            (self.folder / "lock").unlink(missing_ok=True)
            with suppress(OSError):  # not empty: another process was quick to take it
                self.folder.rmdir()


@contextmanager
def work_folder(place: Path) -> Iterator[Work]:
    """The work folder of a run at `place`, this process's alone; removed in the end, whatever happens.

    Only after Ctrl-C do slices that are on disk stay, as they do when the process is killed: the same command goes on
    from them. Raises UserError where another process is at work on the same place, and where the disk is full.
    """
    place = place.absolute()
    above = next(folder for folder in place.parents if folder.exists())
    if not above.is_dir():
        raise UserError(f"{place}: {above} is a file; name another folder with --out")
    made = [folder for folder in place.parents if not folder.exists()]
    folder = place.parent / f".{place.name}.work"
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        lock = _lock(folder, place)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        # Nothing can be written here, but the run that stands here may be up to date.
        with TemporaryDirectory(prefix="jingtiao-") as elsewhere:
            yield Work(place, Path(elsewhere), refused=error)
        return
    work = Work(place, folder)
    try:
        work.take_over()
        yield work
        work.clear()
    except KeyboardInterrupt as stop:
        if n := work.waiting():
            kept = f"{n} finished slices stay in {folder}"
            stop.args = (f"interrupted; {kept}, and the same command goes on from there",)
        work.clear(slices=False)
        raise
    except BaseException as error:
        work.clear(slices=work.claimed)
        if isinstance(error, OSError) and error.errno in _FULL:  # only writing meets it, and mostly it names no file
            raise UserError(
                f"{error.filename or place.parent}: no space left on device; make room there, or name a folder on "
                "another disk with --out"
            ) from error
        raise
    finally:
        os.close(lock)
        with suppress(OSError):  # not empty: the run stands there, or something else came in meanwhile
            for folder in made:
                folder.rmdir()


@contextmanager
def passing_folder() -> Generator[Path, None, None]:
    """Where archives are unpacked while rows are only shown; made by what first unpacks one, removed in the end.

    So a killed process leaves nothing where no archive was given.
    """
    folder = Path(gettempdir()) / f"jingtiao-{secrets.token_hex(8)}"
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _lock(folder: Path, place: Path) -> int:
    """A locked file in the folder (made here); closing it lets go. Raises UserError where it is locked."""
    path = folder / "lock"
    while True:
        folder.mkdir(exist_ok=True)
        try:
            lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except FileNotFoundError:
            continue  # a process that has ended was just removing the folder
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(lock), path.stat()):
                return lock
        except BlockingIOError:
            os.close(lock)
            raise UserError(
                f"{place}: another process is writing this run; wait until it has ended, or name another folder "
                "with --out"
            ) from None
        except FileNotFoundError:
            pass
        except OSError as error:
            os.close(lock)
            what = f"{place}: files can't be locked here ({error.strerror})"
            raise UserError(f"{what}; name a folder on another file system with --out") from None
        os.close(lock)  # that was the file of a process that has ended; there is another one now
