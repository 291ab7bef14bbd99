"""What both packages share stands on its own, and the `jingtiao` command hands over to them."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: What may be missing, or costs time: imported inside functions only. (typer makes the command lines.)
LATE = {"jinja2", "markupsafe"}


@pytest.mark.parametrize("file", sorted((ROOT / "jingtiao").rglob("*.py")), ids=lambda file: file.name)
def test_it_imports_the_standard_library_only(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        others = {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"jingtiao", "typer"}
        assert others <= (set() if node in tree.body else LATE)


def called(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "jingtiao", *args], cwd=ROOT, capture_output=True, encoding="utf-8")


def test_the_command_hands_over() -> None:
    for name in ("curate", "tune"):
        done = called(name, "--help")
        assert done.returncode == 0 and f"python -m {name}" in done.stdout and done.stderr == ""
    done = called("curate", "shoow")
    assert done.returncode == 2 and done.stderr.startswith("error: no such command 'shoow'")
    assert called("--help").stdout == called().stdout
    done = called("kurate")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: no such command 'kurate' (see 'jingtiao --help')\n"
