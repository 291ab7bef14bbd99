"""JSON that is hard to take: nested deeply, numbers that no machine holds."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers import curate, manifest, rejects
from hostile import refused

DEEP = {"lists": ("[", "]"), "objects": ('{"a":', "}"), "both": ('[{"a":', "}]")}
NESTED = {
    "a list of dialogues": ("lccc", "train.json", '[["你好","好"],%s]'),
    "SQuAD": ("cmrc2018", "train.json", '{"data":[{"paragraphs":[{"context":"天","qas":%s}]}]}'),
    "CMRC": ("cmrc2018", "train.json", '[{"context_text":%s}]'),
    "utterances": ("ecdt", "train.json", '[{"text":"我","domain":"app","slots":%s}]'),
}


@pytest.mark.parametrize("depth", [1_100, 100_000])
@pytest.mark.parametrize("what", NESTED)
def test_deep_json_is_one_line(what: str, depth: int, tmp_path: Path) -> None:
    """A tree of JSON that is nested too deeply is refused in words, whatever it is nested of."""
    recipe, name, text = NESTED[what]
    for opened, closed in DEEP.values():
        source = tmp_path / name
        source.write_text(text.replace("%s", opened * depth + "1" + closed * depth), encoding="utf-8")
        said = refused(tmp_path, recipe, "--source", f"train={source}")
        assert name in said and "Recursion" not in said
        assert "nested too deeply" in said


@pytest.mark.parametrize("recipe", ["lccc", "lcqmc"])
def test_a_deep_line_is_one_reject(recipe: str, tmp_path: Path) -> None:
    good = '["你好","%s"]' if recipe == "lccc" else '{"sentence1":"你好","sentence2":"%s","label":"1"}'
    for depth in (900, 990, 1000, 10_000_000):
        source = tmp_path / "train.jsonl"
        lines = [good % "好", "[" * depth + "]" * depth, good % "在", good % "对"]
        source.write_text("\n".join(lines), encoding="utf-8")
        overrides = ["source.reader=rows"] if recipe == "lcqmc" else []
        run = curate(recipe, tmp_path / f"run{depth}", source, overrides=overrides).path
        assert [(row["id"][-1], row["step"]) for row in rejects(run)] == [("1", "read")]


def test_numbers_that_no_machine_holds(tmp_path: Path) -> None:
    """Numbers beyond all bounds are bad values of their rows, or one clear line where they stand in one tree."""
    lines = [f'{{"sentence1":"第{n}","sentence2":"好","label":1}}' for n in range(9)]
    bad = ["1e999", "NaN", "-Infinity", "9" * 5000]
    lines += [f'{{"sentence1":{number},"sentence2":"好","label":1}}' for number in bad]
    (tmp_path / "train.jsonl").write_text("\n".join(lines), encoding="utf-8")
    run = curate("lcqmc", tmp_path / "run", tmp_path / "train.jsonl", overrides=["source.reader=rows"]).path
    # NaN is how pandas writes no value.
    assert [(row["id"][-2:], row["step"]) for row in rejects(run)] == [
        ("09", "read"), ("10", "require"), ("11", "read"), ("12", "read"),
    ]  # fmt: skip
    source = tmp_path / "train.json"
    source.write_text(f'[["你好","好"],[{"9" * 5000}]]', encoding="utf-8")
    assert "more digits than can be read" in refused(tmp_path, "lccc", "--source", source)


def test_a_score_of_five_thousand_digits(tmp_path: Path) -> None:
    doc = "<doc><human_label>{}</human_label><summary>好{}</summary><short_text>天气很好{}</short_text></doc>\n"
    scores = ["9" * 5000, "9" * 30, "²", "5"]
    (tmp_path / "PART_I.txt").write_text("".join(doc.format(s, n, n) for n, s in enumerate(scores)), encoding="utf-8")
    run = curate("lcsts", tmp_path / "run", tmp_path / "PART_I.txt").path
    assert manifest(run)["splits"]["train"]["read"] == 4
