"""What tests of hostile input share: the command on it, refused in a line or measured."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from helpers import command, tree

PATTERNS = {"train": ["*train*"], "validation": ["*dev*"], "test": ["*test*"]}
ROWS = "你好\t好\t1\n在吗\t在\t0\n"


def rows_of(count: int) -> str:
    return "".join(f"第{n}个问题\t第{n}问\t{n % 2}\n" for n in range(count))


def refused(tmp_path: Path, *words: str | Path) -> str:
    """What the command says of input it refuses: lines of `error: …`, and nothing is left."""
    place, tmp = tmp_path / "place", tmp_path / "tmp"
    for folder in (place, tmp):
        folder.mkdir(exist_ok=True)
    env = {"TMPDIR": str(tmp)}
    done = command("recipe", *words, "--out", place / "run", cwd=tmp_path, env=env)
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr[-2000:])
    said = done.stderr.splitlines()
    assert said and all(line.startswith("error: ") and line.isprintable() for line in said), done.stderr[-2000:]
    assert tree(place) == {} and not [path for path in tmp.iterdir() if path.name.startswith("jingtiao")]
    return done.stderr


def peak_of(tmp_path: Path, *words: str | Path) -> tuple[int, str, int]:
    """(exit code, stderr, peak memory in bytes) of a command."""
    script = (
        "import resource, subprocess, sys\n"
        "done = subprocess.run([sys.executable, '-m', 'curate', *sys.argv[1:]])\n"
        "print(done.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, words), "--out", str(tmp_path / "run")],
        cwd=tmp_path, capture_output=True, encoding="utf-8", check=True, timeout=300,
    )  # fmt: skip
    code, peak = done.stdout.split("\n")[-2].split()
    return int(code), done.stderr, int(peak) << (0 if sys.platform == "darwin" else 10)
