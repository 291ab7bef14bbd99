"""What is shipped: a wheel built from the sdist works from any folder, with its own recipes, templates and samples."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from curate.resources import mixture_names, recipe_names

ROOT = Path(__file__).resolve().parents[1]


def call(*command: str | Path, cwd: Path) -> str:
    """What a command prints, in an environment that knows nothing of the checkout."""
    env = {key: value for key, value in os.environ.items() if key not in {"PYTHONPATH", "PYTHONHOME"}}
    done = subprocess.run([*map(str, command)], cwd=cwd, env=env, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@dataclass(frozen=True)
class Installed:
    """The built files, the Python that the wheel is installed for, and where it went."""

    sdist: Path
    wheel: Path
    python: Path
    site: Path


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """An environment with the wheel and, beside it, what the present one has; not the checkout."""
    folder = tmp_path_factory.mktemp("dist")
    # No isolation: that would download hatchling. The wheel is built from the sdist, so the sdist must be whole.
    call(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    place = folder / "venv"
    venv.create(place, with_pip=False, symlinks=os.name != "nt")
    python = place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    install = ("-m", "pip", "--python", python, "install", "--no-deps", "--no-index", "--quiet", wheel)
    call(sys.executable, *install, cwd=folder)
    site = Path(call(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip())
    # A folder that a .pth file names is searched, but its own .pth files (the editable install) are not followed.
    here = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site / "dependencies.pth").write_text("\n".join(sorted(here)) + "\n", encoding="utf-8")
    return Installed(sdist, wheel, python, site)


def shipped(folder: Path) -> set[str]:
    """The files of the recipes folder, as relative paths."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_the_wheel_carries_recipes_templates_and_samples(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as wheel:
        names = wheel.namelist()
    packed = {name.removeprefix("curate/_recipes/") for name in names if name.startswith("curate/_recipes/")}
    assert packed == shipped(ROOT / "recipes")
    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {"curate", "jingtiao", "tune"}
    assert any(name.endswith("licenses/LICENSE") for name in names)
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "curate").rglob("*") if path.is_file()}
    assert {name for name in sources if "__pycache__" not in name} <= set(names)


@pytest.mark.slow
def test_the_sdist_carries_no_more_than_it_should(installed: Installed) -> None:
    with tarfile.open(installed.sdist) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {"pyproject.toml", "hatch_build.py", "README.md", "LICENSE", "recipes/lcqmc.yaml"} <= names
    assert not [name for name in names if re.match(r"(runs|tests|\.venv|\.git/)", name)]


@pytest.mark.slow
def test_the_installed_wheel_works_from_another_folder(installed: Installed, tmp_path: Path) -> None:
    python = installed.python
    where = "import curate, curate.resources as r; print(curate.__file__, r.recipes_dir(), sep='\\n')"
    package, recipes = map(Path, call(python, "-c", where, cwd=tmp_path).splitlines())
    assert package.parent == installed.site / "curate"
    assert recipes == installed.site / "curate" / "_recipes"
    listed = call(python, "-m", "curate", "list", cwd=tmp_path).splitlines()[1:]
    assert [line.split()[0] for line in listed] == [*recipe_names(), *mixture_names()]
    assert str(recipes / "lcqmc.yaml") in call(python, "-m", "curate", "show", "lcqmc", cwd=tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", recipe_names())
def test_the_installed_wheel_writes_what_the_checkout_writes(installed: Installed, tmp_path: Path, name: str) -> None:
    printed = [
        call(python, "-m", "curate", "recipe", name, "--out", f"{name}-{i}", cwd=tmp_path)
        for i, python in enumerate([installed.python, Path(sys.executable)])
    ]
    assert f"{name}-0 (written)" in printed[0]
    first, second = tmp_path / f"{name}-0", tmp_path / f"{name}-1"
    assert shipped(first) == shipped(second)
    differing = [file for file in shipped(first) if (first / file).read_bytes() != (second / file).read_bytes()]
    assert set(differing) <= {"local.json"}


def test_constraints_pin_every_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [Requirement(text) for text in [*project["dependencies"], *chain(*extras.values())]]
    # A viewer, and what works on a GPU only: no test needs them, and dev brings neither.
    wanted = [one for one in wanted if one.name not in {"tensorboard", "bitsandbytes"}]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.lower().split("==") for line in lines if "==" in line and not line.startswith("#"))
    for requirement in wanted:
        if requirement.name not in {"jingtiao", "pip"}:
            assert requirement.specifier.contains(pins[requirement.name.lower()]), requirement
