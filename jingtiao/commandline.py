"""How a command ends: with one line for wrong input, a code that tells why, and never a traceback for either."""

from __future__ import annotations

import errno
import io
import json
import os
import sys
from collections.abc import Collection
from typing import Any

import typer

from jingtiao.errors import UserError

#: The exit code after Ctrl-C.
INTERRUPTED = 130

#: What the machine refuses, through no bug of ours: said in one line, like wrong input.
_MACHINE_NAMES = "ENOSPC EDQUOT EACCES EPERM EROFS ENOENT EISDIR ENOTDIR ENAMETOOLONG EMFILE EFBIG EIO"
_MACHINE = {getattr(errno, name) for name in _MACHINE_NAMES.split() if hasattr(errno, name)}


def run(
    app: typer.Typer, prog: str, argv: list[str] | None = None, extra: Collection[str] = (), hint: str = ""
) -> int:
    """Run one command of `app`; returns the exit code: 0 done, 2 the input was wrong, 130 interrupted.

    argv: the words after the program's name; None takes the process's own. extra: packages that may be missing, and
    hint: what to say then, with the place {name} for the one that is.
    """
    for stream in (sys.stdout, sys.stderr):
        # A file name or text the terminal can't show must not end the run.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        return _run(app, prog, list(sys.argv[1:] if argv is None else argv) or ["--help"])
    except BrokenPipeError:
        _forget_stdout()  # `… | head` has read enough
        return 0
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in extra:
            raise
        return _errors([hint.format(name=error.name)])


def _run(app: typer.Typer, prog: str, args: list[str]) -> int:
    command = typer.main.get_command(app)
    try:
        # Not app(): that turns KeyboardInterrupt and BrokenPipeError into exits of its own.
        with command.make_context(prog, args) as context:
            command.invoke(context)
        sys.stdout.flush()
        return 0
    except UserError as error:
        return _errors(error.messages)
    except typer.TyperException as error:
        # A usage error knows the command it happened in.
        where = getattr(getattr(error, "ctx", None), "command_path", prog)
        words = error.format_message().rstrip(".").replace(". Did you mean", "; did you mean")
        return _errors([f"{words[:1].lower()}{words[1:]} (see '{where} --help')"])
    except typer.Exit as done:
        return done.exit_code
    except (KeyboardInterrupt, typer.Abort) as stop:
        # It may say where it stopped and how to go on.
        told = str(stop)
        return _errors([told if told.startswith("interrupted") else f"interrupted: {told}".rstrip(": ")], INTERRUPTED)
    except OSError as error:
        if isinstance(error, BrokenPipeError) or error.errno not in _MACHINE:
            raise
        try:
            sys.stdout.flush()
        except OSError:
            _forget_stdout()
        return _errors([f"{error.filename or 'writing'}: {(error.strerror or 'refused').lower()}"])


def _forget_stdout() -> None:
    """Python flushes stdout once more at exit, and would end with a code of its own: let that go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _errors(messages: list[str], code: int = 2) -> int:
    for message in messages:
        print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return code


def print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=2))


def print_text(text: Any) -> None:
    if isinstance(text, str) and text:
        print(text)


def open_page(page: Any) -> None:
    """Open a file in the browser; where there is none, say so."""
    import webbrowser

    if not webbrowser.open(page.absolute().as_uri()):
        print("note: no browser was found; open that file in one")
