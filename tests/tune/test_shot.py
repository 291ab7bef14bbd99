"""Curating as a child process: what is handed on, what is said, and how Ctrl-C reaches it."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tune.cli import main
from tune.errors import UserError
from tune.runs import open_run
from tune.shot import curated

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = "lccc"


def test_a_recipe_is_curated_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    first, again = io.StringIO(), io.StringIO()
    assert curated(SAMPLE, [], stream=first) == (0, Path("runs") / f"{SAMPLE}-sample")
    run = open_run(Path("runs") / f"{SAMPLE}-sample")
    split = run.manifest["splits"]["train"]
    assert f"written: train {split['written']} of {split['read']}, validation" in first.getvalue()
    assert "No --source: curating the small built-in sample" in capfd.readouterr().err

    before = (run.path / "manifest.json").stat().st_mtime_ns
    assert curated(SAMPLE, [], stream=again) == (0, run.path)
    assert "up to date: " in again.getvalue()
    assert (run.path / "manifest.json").stat().st_mtime_ns == before


def test_sources_and_force_are_handed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sample = ROOT / "recipes" / "samples" / SAMPLE
    train, test = sorted(sample.glob("*train*"))[0], sorted(sample.glob("*test*"))[0]
    stream = io.StringIO()
    assert curated(SAMPLE, [f"train={train}", f"test={test}"], stream=stream) == (0, Path("runs") / SAMPLE)
    assert set(open_run(Path("runs") / SAMPLE).splits) == {"train", "test"}

    # The same folder, another source: refused by curate, unless forced.
    assert curated(SAMPLE, [f"train={train}"], stream=stream)[0] == 2
    assert curated(SAMPLE, [f"train={train}"], force=True, stream=stream)[0] == 0
    assert set(open_run(Path("runs") / SAMPLE).splits) == {"train"}


def test_what_curate_refuses_is_said_once_with_its_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["recipe", "lcqcm"]) == 2
    out, err = capfd.readouterr()
    (line,) = err.splitlines()
    assert line.startswith("error: unknown recipe 'lcqcm'; did you mean 'lcqmc'?") and out == ""
    assert main(["recipe", SAMPLE, "--source", "gone.json"]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("error: ") and "gone.json" in line
    assert not list(tmp_path.rglob("*"))


def test_without_what_curating_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tune.shot.find_spec", lambda name: None if name == "polars" else name)
    with pytest.raises(
        UserError, match=r"^curating needs polars, not installed here; give a finished run: .*train RUN"
    ):
        curated(SAMPLE, [], stream=io.StringIO())


#: Counts the SIGINTs that reach it, cleans up slowly, and ends as curate does.
CHILD = """
import signal, sys, time
from pathlib import Path
came = []
signal.signal(signal.SIGINT, lambda *_: came.append(1))
Path("ready").touch()
while not came:
    time.sleep(0.01)
time.sleep(0.3)
Path("cleaned").write_text(str(len(came)))
sys.exit(int(sys.argv[1]))
"""
#: A job in the background is started with SIGINT ignored; the tests may run in one.
PARENT = """
import signal, sys
from tune.shot import _call
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    print(_call([sys.executable, "-c", sys.argv[1], sys.argv[2]])[0])
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize(("code", "printed"), [(130, "130"), (0, "interrupted")])
@pytest.mark.parametrize("group", [False, True], ids=["to the parent", "to its group, as a terminal does"])
def test_ctrl_c_reaches_the_child_once_and_waits_for_it(tmp_path: Path, code: int, printed: str, group: bool) -> None:
    command = [sys.executable, "-c", PARENT, CHILD, str(code)]
    env = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    with subprocess.Popen(
        command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, encoding="utf-8", start_new_session=True
    ) as parent:
        try:
            deadline = time.monotonic() + 60
            while not (tmp_path / "ready").exists():
                assert parent.poll() is None and time.monotonic() < deadline
                time.sleep(0.01)
            if group:
                os.killpg(parent.pid, signal.SIGINT)
            else:
                parent.send_signal(signal.SIGINT)
            said, _ = parent.communicate(timeout=60)
        finally:
            parent.kill()
    assert said.strip() == printed
    assert (tmp_path / "cleaned").read_text(encoding="utf-8") == "1"


def test_a_child_that_was_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tune.shot.sys.executable", "/bin/sh")
    real = subprocess.Popen

    def killed(command: list[str], **options: object) -> subprocess.Popen[str]:
        return real(["/bin/sh", "-c", "kill -9 $$"], **options)  # pyright: ignore[reportCallIssue, reportArgumentType]

    monkeypatch.setattr("tune.shot.subprocess.Popen", killed)
    with pytest.raises(UserError, match="curating was ended by SIGKILL"):
        curated(SAMPLE, [], stream=io.StringIO())


@pytest.mark.slow
def test_one_shot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["recipe", SAMPLE, "--json", "--set", "steps=2", "--set", "max_new_tokens=4"]) == 0
    result = json.loads(capfd.readouterr().out)
    assert result["path"] == f"tunings/{SAMPLE}-sample-tiny-full"
    assert set(result["eval"]) == {"base", "tuned"}
    assert result["training"]["steps"] == 2
    assert main(["recipe", SAMPLE]) == 2
    assert "holds a finished tuning; --force replaces it" in capfd.readouterr().err
