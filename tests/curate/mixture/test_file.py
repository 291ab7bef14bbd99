"""Mixture files: what they may say, and every error at once with its place."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from curate import resources
from curate.mixture.file import is_mixture, load_mixture
from curate.recipefile import load_recipe
from curate.types import UserError

HEAD = "name: own\nversion: 1.0.0\ntitle: 混合\n"


def errors(text: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(folder)
    Path("mix.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as raised:
        load_mixture("mix.yaml")
    return raised.value.messages


@pytest.mark.parametrize("name", resources.mixture_names())
def test_shipped(name: str) -> None:
    """Every shipped mixture loads, is called by its file, and names shipped recipes that have samples."""
    mixture = load_mixture(name)
    assert mixture.name == name
    assert all(load_recipe(part).name == part and resources.sample_path(part) for part in mixture.parts)
    assert is_mixture(name) and not is_mixture("lcqmc")


def test_all_corpora_are_in_all() -> None:
    assert list(load_mixture("all").parts) == resources.recipe_names()


def test_parts_stand_by_name(tmp_path: Path) -> None:
    (tmp_path / "mix.yaml").write_text(f"{HEAD}parts: {{b: , a: {{cap: 3}}}}\n", encoding="utf-8")
    mixture = load_mixture(str(tmp_path / "mix.yaml"))
    assert list(mixture.parts) == ["a", "b"]
    assert (mixture.parts["a"].cap, mixture.parts["b"].cap, mixture.weighted) == (3, None, False)


WRONG = {
    "parts:\n  a: {wieght: 1}\n": ["mix.yaml:5:7: unknown key 'wieght'; did you mean 'weight'?"],
    "part:\n  a:\n": ["mix.yaml:1:1: 'parts' is missing", "mix.yaml:4:1: unknown key 'part'; did you mean 'parts'?"],
    "parts: {}\n": ["mix.yaml:4:8: parts: must not be empty"],
    "parts: [a, b]\n": ["mix.yaml:4:8: parts: should be a mapping (given: ['a', 'b'])"],
    "parts: {A: }\n": ["mix.yaml:4:9: parts.A: 'A' must be lower-case letters, digits, . _ -"],
    "parts: {a: {cap: 0, weight: -1}}\n": [
        "mix.yaml:4:18: parts.a.cap: should be greater than or equal to 1 (given: 0)",
        "mix.yaml:4:29: parts.a.weight: should be greater than or equal to 0 (given: -1)",
    ],
    "parts: {a: {cap: true, weight: '2'}}\n": [
        "mix.yaml:4:18: parts.a.cap: should be a valid integer (given: true)",
        "mix.yaml:4:32: parts.a.weight: should be a valid number (given: '2')",
    ],
    "parts: {a: {weight: .inf}}\n": ["mix.yaml:4:21: parts.a.weight: should be a finite number (given: inf)"],
    "parts: {a: }\ntune: {max_length: [512], method: , lr: .nan}\n": [
        "mix.yaml:5:20: tune.max_length: must be one value: text, a number, true or false",
        "mix.yaml:5:34: tune.method: must be one value: text, a number, true or false",
        "mix.yaml:5:41: tune.lr: must be a finite number",
    ],
    "parts: {a: }\ntune: 3\n": ["mix.yaml:5:7: tune: should be a mapping (given: 3)"],
    "parts: {a: }\ntemperature: 0.5\n": [
        "mix.yaml:5:14: temperature: should be greater than or equal to 1 (given: 0.5)"
    ],
    "parts: {a: {weight: 1}}\ntemperature: 2\n": [
        "mix.yaml:5:1: 'temperature' and the weights of the parts contradict; keep one"
    ],
    "parts: {a: {weight: 1}, b: {cap: 2}}\n": [
        "mix.yaml:4:28: part 'b' has no weight, though others have; 'weight: 0' takes its evaluation rows only"
    ],
    "parts: {a: {weight: 0}}\n": ["mix.yaml:4:1: all weights are 0: no row of train is asked for"],
    "parts: {a: {cap: 2}}\ntotal: 10\n": [
        "mix.yaml:5:1: 'total' needs something to share it out by: weights, or 'temperature: 1' for shares by size"
    ],
}


@pytest.mark.parametrize("text", WRONG)
def test_wrong(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert errors(HEAD + text, tmp_path, monkeypatch) == WRONG[text]


def test_all_errors_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "name: Own\nversion: 1\nparts:\n  a: {run: }\n  b: {cap: x}\ntemprature: 2\n"
    said = errors(text, tmp_path, monkeypatch)
    assert [line.split(": ")[0] for line in said] == [f"mix.yaml:{at}" for at in ("1:1", "1:7", "2:10", "5:12", "6:1")]
    assert said[-1] == "mix.yaml:6:1: unknown key 'temprature'; did you mean 'temperature'?"


def test_no_such_mixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(resources.recipe_path("bq"), "own.yaml")
    for name, said in {
        "al": "unknown mixture 'al'; did you mean 'all'? (shipped: all; or give a YAML file)",
        "lcqmc": "lcqmc is a recipe, not a mixture: python -m curate recipe lcqmc",
        "own.yaml": "own.yaml is a recipe, not a mixture: python -m curate recipe own.yaml",
        "none.yaml": "none.yaml: no such mixture file",
    }.items():
        with pytest.raises(UserError) as raised:
            load_mixture(name)
        assert raised.value.messages == [said]
    assert errors("- a\n", tmp_path, monkeypatch) == [
        "mix.yaml:1:1: a mixture is a mapping of keys (name, version, title, parts, …)"
    ]
