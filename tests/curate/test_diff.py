"""`diff`: every row of two runs is in one group, counted again in plain Python from both folders."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from diff_by_hand import (
    figures_by_hand,
    parts_changed,
    recount,
    rejected_by_step,
    run_of,
    told_to_a_model,
    written,
)
from helpers import command, curate, lines, manifest, rejects
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mixed import mix, mixture_file

from curate.cli import main
from curate.diff import diff_runs
from curate.text.keys import compare_key
from curate.types import UserError

TEXT = st.text("甲乙丙。！ ", min_size=1, max_size=12).filter(lambda text: compare_key(text).strip("。！ ") != "")
ROW = st.tuples(TEXT, st.sampled_from("01"))
CORPUS = st.fixed_dictionaries({"train": st.lists(ROW, min_size=1, max_size=9), "test": st.lists(ROW, max_size=3)})
STEPS = st.fixed_dictionaries(
    {
        "exact_dedup": st.sampled_from([{"by": "text"}, {"by": "key"}]),
        "split": st.sampled_from([None, {"validation": 0.4}]),
        "leak_check": st.sampled_from([None, {}]),
        "cap": st.sampled_from([None, {"per": "label", "max": 2}]),
        "chunk": st.sampled_from([None, {"max": 4, "mode": "split"}, {"max": 7, "mode": "split"}]),
    }
)


def agree(one: Path, other: Path) -> dict[str, Any]:
    """The diff of two runs, after it was found to say what the folders do."""
    found, told = diff_runs(one, other), recount(one, other)
    assert found["same"] is (told["common"] == told["same"] == len(written(one)) == len(written(other))
                             and lines(one / "rejected.jsonl") == lines(other / "rejected.jsonl"))  # fmt: skip
    if found["same"]:
        return found
    rows = found["rows"]
    assert (rows["same"], rows["common"]) == (told["same"], told["common"])
    for name in ("lost", "added"):
        assert {(group["split"], group["why"]): group["rows"] for group in rows[name]} == told[name]
    assert {(group["from"], group["to"]): group["rows"] for group in rows["moved"]} == told["moved"]
    assert sum(group["rows"] for group in rows["changed"]) == told["changed"].total()
    assert {group["split"]: group["rows"] for group in rows["resized"]} == told["resized"]
    assert rows["fields"] == told["fields"]
    rejected = {**told["rejected"], "other": {}}
    other_reason = {(group["first"], group["second"]): group["rows"] for group in rows["rejected"]["other_reason"]}
    assert other_reason == told["rejected"]["other"]
    assert {key: rows["rejected"][key] for key in ("same", "only_first", "only_second")} == {
        key: rejected[key] for key in ("same", "only_first", "only_second")
    }
    for split, n in rows["splits"].items():
        assert n["first"] - n["lost"] - n["moved_away"] + n["moved_here"] + n["added"] == n["second"]
        assert (n["first"], n["second"]) == tuple(side[split] for side in told["rows"])
        for name in ("lost", "added"):
            assert n[name] == sum(count for (at, _), count in told[name].items() if at == split)
        for name in ("changed", "resized"):
            assert n[name] == told[name][split]
    assert {(told["split"], told["step"], told["reason"]): (told["first"], told["second"])
            for told in found["rejects"]} == rejected_by_step(one, other)  # fmt: skip
    check_examples(rows, one, other)
    return found


def check_examples(rows: dict[str, Any], one: Path, other: Path) -> None:
    """Rows that are shown are of their group, as many as there are or eight, and say what the files do."""
    a, b = written(one), written(other)
    reasons = [{row["id"]: row for row in reversed(rejects(run))} for run in (one, other)]
    for name in ("lost", "added", "moved", "changed", "resized"):
        for group in rows[name]:
            assert len({example["id"] for example in group["examples"]}) == min(8, group["rows"])
            for example in group["examples"]:
                sides = [there[example["id"]][1] if example["id"] in there else None for there in (a, b)]
                check_texts(example, *sides)
                if name == "lost":
                    assert a[example["id"]][0] == group["split"]
                if name == "resized":
                    shown = [example[run] for run in ("first", "second")]
                    sizes = [side["meta"].get("cluster_size") for side in sides if side]
                    assert shown == [[["cluster_size", str(size)]] if size else [] for size in sizes]
                reject = reasons[name == "lost"].get(example["id"])
                if name in ("lost", "added") and reject and ":" in group["why"]:
                    assert (example.get("because") or {}).get("id") == reject["kept_id"]


def check_texts(example: dict[str, Any], one: dict[str, Any] | None, other: dict[str, Any] | None) -> None:
    texts = [told_to_a_model(side) if side else None for side in (one, other)]
    if any(len(text) > 400 for side in texts for _, text in side or ()):
        return  # cut: a test of its own
    if one and other and texts[0] == texts[1]:
        assert example["both"] == texts[0]
        differs = parts_changed(one, other) - {"instruction", "input"}
        assert {f"meta.{name}" for run in ("first", "second") for name, _ in example[run]} == differs
    else:
        assert (example["first"], example["second"], example["both"]) == (*texts, [])


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(corpora=st.tuples(CORPUS, CORPUS), keep=st.booleans(), steps=st.tuples(STEPS, STEPS), seeds=st.tuples(
    st.sampled_from([0, 1]), st.sampled_from([0, 1])))  # fmt: skip
def test_every_row_is_in_one_group(corpora: Any, keep: bool, steps: Any, seeds: tuple[int, int]) -> None:
    with tempfile.TemporaryDirectory() as place:
        runs = []
        for n in range(2):
            folder = Path(place) / str(n)
            folder.mkdir()
            runs.append(run_of(folder, corpora[0 if keep else n], steps[n], seeds[n]))
        agree(*runs)
        agree(*reversed(runs))


def test_the_three_kinds_of_change(tmp_path: Path) -> None:
    """Each kind where it is meant: a text, a template, an order of options, a flag."""
    rows = [(f"第{'甲乙丙丁戊己庚辛壬癸'[n]}条，很好", str(n % 2)) for n in range(10)]
    other = [("第甲条，很坏", "0"), ("第乙条，很好！", "1"), *rows[2:]]
    for name in ("plain", "seed", "text", "flag"):
        (tmp_path / name).mkdir()
    plain_run = run_of(tmp_path / "plain", {"train": rows}, {}, 0)
    found = agree(plain_run, run_of(tmp_path / "seed", {"train": rows}, {}, 1))["rows"]
    assert [group["kind"] for group in found["changed"]] == ["wording"]
    found = agree(plain_run, run_of(tmp_path / "text", {"train": other}, {}, 0))["rows"]
    assert [(group["kind"], group["rows"]) for group in found["changed"]] == [("text", 2)]
    assert found["fields"] == {"input": 2}
    flagged = {"test": [rows[0], ("另一条", "1")]}
    one = run_of(tmp_path / "flag", flagged | {"train": rows[:1]}, {"leak_check": {}}, 0)
    (tmp_path / "free").mkdir()
    two = run_of(tmp_path / "free", flagged | {"train": rows[3:5]}, {"leak_check": {}}, 0)
    found = agree(one, two)["rows"]
    assert [(group["kind"], group["rows"]) for group in found["changed"]] == [("meta", 1)]
    assert found["changed"][0]["examples"][0]["first"] == [["flags", '"leak_check:in_train"']]


def test_the_same_run_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [curate("lcqmc", tmp_path / name, overrides=["segment.as=off"]).path for name in "ab"]
    assert main(["diff", *map(str, runs)]) == 0
    assert "the runs are the same: every sample and every reject, byte for byte\n" in capsys.readouterr().out
    assert main(["diff", *map(str, runs), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["same"] is True and found["differs"] == [] and "rows" not in found


def test_what_was_made_otherwise(tmp_path: Path) -> None:
    one = curate("lcqmc", tmp_path / "a", overrides=["segment.as=off"]).path
    two = curate("lcqmc", tmp_path / "b", overrides=["exact_dedup.by=key"], seed=3, limit=20).path
    told = {one["what"]: (one["first"], one["second"]) for one in diff_runs(one, two)["differs"]}
    assert told["--set segment.as"] == ("off", None)
    assert told["--set exact_dedup.by"] == (None, "key")
    assert told["seed"] == (0, 3)
    assert told["limit"] == (None, 20)
    assert [name for name in told if name.startswith("source")] == [
        f"source {entry['split']}/{entry['file']}" for entry in manifest(one)["sources"] if entry["rows"] > 20
    ]
    found = agree(one, two)
    assert found["rows"]["fields"]["meta.words"] == sum(group["rows"] for group in found["rows"]["changed"])


def test_two_recipes_have_nothing_in_common(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = (curate(name, tmp_path / name, overrides=["segment.as=off"]).path for name in ("lcqmc", "lccc"))
    found = agree(one, two)
    assert found["rows"]["common"] == 0
    assert main(["diff", str(one), str(two)]) == 0
    assert "the runs have no sample in common" in capsys.readouterr().out


def test_a_mixture_and_its_part_and_a_larger_mixture(tmp_path: Path) -> None:
    part = curate("lcqmc", tmp_path / "lcqmc", overrides=["segment.as=off"]).path
    other = curate("bq", tmp_path / "bq", overrides=["segment.as=off"]).path
    parts = {name: {"run": str(run), "weight": 1} for name, run in (("lcqmc", part), ("bq", other))}
    few, many = (mix(mixture_file(tmp_path / str(n), parts, total=n), tmp_path / f"mix-{n}").path for n in (40, 400))
    assert any("~" in name for name in written(many))
    found = agree(few, many)
    assert {group["why"] for group in found["rows"]["added"]} == {"choose:not_chosen", "fewer_copies"}
    assert {group["why"] for group in agree(many, few)["rows"]["lost"]} == {"choose:not_chosen", "fewer_copies"}
    assert agree(part, few)["rows"]["common"] > 0


def test_figures_that_differ_are_those_of_the_files(tmp_path: Path) -> None:
    one = curate("lcqmc", tmp_path / "a", overrides=["segment.as=off", "leak_check.near=off"]).path
    options = ["segment.as=off", "exact_dedup.by=key", "near_dedup.threshold=0.6", "leak_check.coverage=off"]
    two = curate("lcqmc", tmp_path / "b", overrides=options, limit=200).path
    found = agree(one, two)["figures"]
    told = {(each["part"], each["split"], each["name"]): (each["first"], each["second"]) for each in found}
    sides = [figures_by_hand(run) for run in (one, two)]
    for key in sides[0].keys() & sides[1].keys():
        pair = (sides[0][key], sides[1][key])
        assert told.pop(key, (pair[0], pair[0])) == pair
    # What is left is of the source, or of sentences.
    assert all("before" in name or name in ("read", "rows") or "sentences" in name for _, _, name in told)
    for each in found:
        assert ("first_of" in each) == (each["part"] in ("duplicates", "leaks"))


def test_details_that_one_run_masks_are_not_shown(tmp_path: Path) -> None:
    rows = [("请打电话13912345678找我", "1"), ("好的", "0")]
    for name in ("masked", "open"):
        (tmp_path / name).mkdir()
    masked = run_of(tmp_path / "masked", {"train": rows}, {"redact_pii": {"action": "mask"}}, 0)
    free = run_of(tmp_path / "open", {"train": rows}, {}, 0)
    assert "13912345678" in (free / "train.jsonl").read_text(encoding="utf-8")
    for pair in ((masked, free), (free, masked)):
        found = diff_runs(*pair)
        assert found["rows"]["fields"]["input"] == 1
        assert "13912345678" not in json.dumps(found)


def test_a_terminal_is_told_the_same(tmp_path: Path) -> None:
    rows = [("很好。", "1"), ("很好！", "1"), ("很坏", "0"), ("很 好。", "1")]
    for name, by in (("a", "text"), ("b", "key")):
        (tmp_path / name).mkdir()
        run_of(tmp_path / name, {"train": rows}, {"exact_dedup": {"by": by}}, 0)
    shown = command("diff", "a/run", "b/run", cwd=tmp_path)
    assert shown.returncode == 0 and shown.stderr == ""
    told = [line for line in shown.stdout.split("\n") if line and not line.startswith(" ")]
    assert "1 lost from train: rejected by exact_dedup: same_key in the second run" in told
    assert "train      3    -1       2        0" in told
    assert "      because of own/train/000000000" in shown.stdout.split("\n")
    assert "  own/train/000000001" in shown.stdout.split("\n")
    assert "    recipe file (sha256)" not in shown.stdout and "recipe file (sha256)" in shown.stdout


def test_bad_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = curate("lcqmc", tmp_path / "run", overrides=["segment.as=off"]).path
    other = curate("lcqmc", tmp_path / "other", seed=1, overrides=["segment.as=off"]).path
    (tmp_path / "empty").mkdir()
    for bad in ("nowhere", "empty"):
        assert main(["diff", str(run), str(tmp_path / bad)]) == 2
        assert capsys.readouterr().err.startswith(f"error: {tmp_path / bad}: ")
    (other / "keys.parquet").unlink()
    with pytest.raises(UserError, match=r"keys\.parquet: is missing"):
        diff_runs(run, other)
    with (run / "train.jsonl").open("a", encoding="utf-8") as file:
        file.write("{}\n")
    with pytest.raises(UserError, match=r"train\.jsonl: is missing or was changed"):
        diff_runs(run, run)


def test_real_files_with_and_without_an_option(corpora: Path, tmp_path: Path) -> None:
    """LCQMC: what `by: key` finds beyond `by: text` is what is lost, row for row."""
    source = corpora / "lcqmc"
    runs = {"a": ["segment.as=off"], "b": ["segment.as=off", "exact_dedup.by=key"]}
    one, two = (
        curate("lcqmc", tmp_path / name, source, overrides=options, limit=60_000, workers=None).path
        for name, options in runs.items()
    )
    found = agree(one, two)
    (lost,) = found["rows"]["lost"]
    assert (lost["split"], lost["why"]) == ("train", "exact_dedup:same_key")
    assert lost["rows"] == len(written(one)) - len(written(two)) > 100
    assert found["rows"]["added"] == found["rows"]["moved"] == []
