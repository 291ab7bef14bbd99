"""Where the shipped recipes, templates and samples are: inside the package once installed, beside it in a checkout."""

from __future__ import annotations

from pathlib import Path

#: How a template or recipe file may end.
YAML_SUFFIXES = (".yaml", ".yml")


def recipes_dir() -> Path:
    """The folder of the shipped recipes: `curate/_recipes` in an installed wheel, else `recipes` beside `curate`."""
    here = Path(__file__).resolve().parent
    packaged = here / "_recipes"
    return packaged if packaged.is_dir() else here.parent / "recipes"


def is_path(name: str) -> bool:
    """Whether what a user named is a file of their own rather than something shipped."""
    return name.endswith(YAML_SUFFIXES) or "/" in name or "\\" in name


def recipe_names() -> list[str]:
    """The names of the shipped recipes, sorted."""
    return sorted(path.stem for path in recipes_dir().glob("*.yaml"))


def recipe_path(name: str) -> Path:
    """The file of a shipped recipe (whether or not it exists)."""
    return recipes_dir() / f"{name}.yaml"


def mixture_names() -> list[str]:
    """The names of the shipped mixtures, sorted."""
    return sorted(path.stem for path in (recipes_dir() / "mixtures").glob("*.yaml"))


def mixture_path(name: str) -> Path:
    """The file of a shipped mixture (whether or not it exists)."""
    return recipes_dir() / "mixtures" / f"{name}.yaml"


def template_names() -> list[str]:
    """The names of the shipped template files, sorted."""
    return sorted(path.stem for path in (recipes_dir() / "templates").glob("*.yaml"))


def template_path(name: str, beside: Path) -> Path:
    """The file of a recipe's templates: a shipped name, or a YAML file relative to `beside`, the recipe's folder."""
    if name.endswith(YAML_SUFFIXES):
        return beside / name
    return recipes_dir() / "templates" / f"{name}.yaml"


def sample_path(name: str) -> Path | None:
    """The built-in sample of a shipped recipe (a folder), or None where a recipe has none."""
    folder = recipes_dir() / "samples" / name
    return folder if folder.is_dir() else None
