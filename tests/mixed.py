"""Mixtures to test with, and what a mixture must come to, worked out row by row in plain Python."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import xxhash
from contract import check_run
from helpers import SPLITS, Row, curate, manifest, recipe_file, rejects, samples

from curate.mixture.file import load_mixture
from curate.mixture.mix import mix_runs
from curate.result import RunResult
from curate.text.hashing import mix_int


def mixture_file(folder: Path, parts: dict[str, Any], **fields: Any) -> Path:
    """A mixture of one's own (JSON is YAML)."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "own-mix.yaml"
    data = {"name": "own-mix", "version": "1.0.0", "title": "混合", "parts": parts, **fields}
    path.write_text(json.dumps(data, ensure_ascii=False, indent=1), encoding="utf-8")
    return path


def mix(path: Path | str, out: Path, **options: Any) -> RunResult:
    return mix_runs(load_mixture(str(path)), out=out, **options)


def small_run(folder: Path, name: str, task: str, steps: list[Any], corpus: dict[str, list[tuple[str, ...]]]) -> Path:
    """A run of a few rows by hand: the cells of a table for each split."""
    recipe = recipe_file(folder / f"{name}-recipe", task, steps, name=name)
    source = folder / f"{name}-source"
    source.mkdir()
    head = "text_a\ttext_b\tlabel" if task == "pair" else "text_a\tlabel"
    for split, rows in corpus.items():
        if rows:
            body = "".join("\t".join(row) + "\n" for row in rows)
            (source / f"{split}.tsv").write_text(f"{head}\n{body}", encoding="utf-8")
    return curate(recipe, folder / name, source).path


# ---- the recount


class Told(NamedTuple):
    """A row of a part, as its run tells it."""

    part: str
    split: str
    row: Row
    key: int
    leak: int
    family: tuple[str, str]

    @property
    def id(self) -> str:
        return self.row["meta"]["id"]

    @property
    def label(self) -> str:
        return self.row["meta"].get("label", "")

    @property
    def place(self) -> tuple[str, str, int]:
        return (self.part, self.id, SPLITS.index(self.split))


def told(runs: dict[str, Path]) -> list[Told]:
    found = []
    for part in sorted(runs):
        said = manifest(runs[part])
        family = (said["task"], json.dumps(said["labels"], sort_keys=True))
        keys = pl.read_parquet(runs[part] / "keys.parquet").rows(named=True)
        lines = [(split, row) for split in SPLITS for row in samples(runs[part], split)]
        for (split, row), key in zip(lines, keys, strict=True):
            assert key["id"] == row["meta"]["id"]
            leak = key["key"] if key["leak"] is None else key["leak"]
            found.append(Told(part, split, row, key["key"], leak, family))
    return found


def groups(rows: Iterable[Told], by: Any) -> list[list[Told]]:
    found: dict[Any, list[Told]] = defaultdict(list)
    for row in rows:
        found[by(row)].append(row)
    return [group for group in found.values() if len({row.part for row in group}) > 1]


class Recount:
    """What a mixture of these runs must hold."""

    def __init__(self, runs: dict[str, Path], options: dict[str, Any], seed: int = 0, **fields: Any) -> None:
        self.all = told(runs)
        self.gone: dict[tuple[str, str, int], tuple[str, str, str | None]] = {}
        self.flags: dict[tuple[str, str, int], list[str]] = defaultdict(list)
        for step in (self.same_id, self.label_conflict, self.exact_dedup, self.leak_check):
            alive = [row for row in self.all if row.place not in self.gone]
            said = list(step(alive))
            for row, action, reason, kept in said:
                if action == "flag" or (row.split != "train" and reason != "same_id"):
                    self.flags[row.place].append(f"{step.__name__}:{reason}")
                else:
                    self.gone[row.place] = (step.__name__, reason, kept)
        self.choose(runs, options, seed, **fields)

    def same_id(self, rows: list[Told]) -> Any:
        for group in groups(rows, lambda row: row.id):
            first = min(group, key=lambda row: (-SPLITS.index(row.split), row.part))
            yield from ((row, "reject", "same_id", first.id) for row in group if row is not first)

    def label_conflict(self, rows: list[Told]) -> Any:
        for group in groups((row for row in rows if row.family[1] != "{}"), lambda r: (r.family, r.split, r.key)):
            if len({row.label for row in group if row.label}) > 1:
                yield from ((row, "reject", "conflicting_labels", None) for row in group)

    def exact_dedup(self, rows: list[Told]) -> Any:
        for first, *others in groups(rows, lambda row: (row.family[0], row.split, row.key)):
            yield from ((row, "reject", "in_other_corpus", first.id) for row in others if row.part != first.part)

    def leak_check(self, rows: list[Told]) -> Any:
        for group in groups(rows, lambda row: (row.family[0], row.leak)):
            for row in group:
                first = {s: next((o.id for o in group if o.split == s and o.part != row.part), None) for s in SPLITS}
                if row.split != "test" and first["test"]:
                    yield row, "reject" if row.split == "train" else "flag", "in_test", first["test"]
                elif row.split == "train" and first["validation"]:
                    yield row, "reject", "in_validation", first["validation"]
                if row.split != "train" and first["train"]:
                    yield row, "flag", "in_train", None

    def choose(
        self,
        runs: dict[str, Path],
        options: dict[str, Any],
        seed: int,
        temperature: float | None = None,
        total: int | None = None,
    ) -> None:
        start = int.from_bytes(hashlib.blake2b(f"{seed}\0mixture".encode(), digest_size=8).digest(), "little")

        def order(row: Told) -> int:
            return mix_int((xxhash.xxh3_64_intdigest(row.id.encode()) + start) % 2**64)

        pools = {}
        for part in sorted(runs):
            rows = [r for r in self.all if r.part == part and r.split == "train" and r.place not in self.gone]
            pools[part] = sorted(rows, key=order)
        self.available = {
            p: min(len(rows), (options.get(p) or {}).get("cap") or len(rows)) for p, rows in pools.items()
        }
        weights = {part: (options.get(part) or {}).get("weight") for part in runs}
        if temperature is not None:
            asked = {part: n ** (1 / temperature) for part, n in self.available.items()}
        else:
            asked = {part: self.available[part] if weights[part] is None else weights[part] for part in runs}
        whole = sum(map(Fraction, asked.values()))
        self.asked = {part: Fraction(one) / whole if whole else Fraction(0) for part, one in asked.items()}
        self.caps_alone = temperature is None and not any(weights.values())
        self.total = total
        self.pools = pools

    def broken(self, run: Path) -> list[str]:
        """Every way in which a mixture differs from the recount."""
        found = check_run(run)
        corpora = manifest(run)["mixture"]["corpora"]
        lost = Counter((row["id"], row["split"], row["step"], row["reason"]) for row in rejects(run))
        expected: Counter[Any] = Counter()
        wanted: dict[str, dict[str, list[Told]]] = {split: {} for split in SPLITS}
        copies: dict[tuple[str, str, int], int] = {}
        for part, pool in self.pools.items():
            n, of = corpora[part]["written"], self.available[part]
            for rank, row in enumerate(pool):
                copies[row.place] = 0 if rank >= of else n // of + (rank < n % of)
        for row in sorted(self.all, key=lambda row: (SPLITS.index(row.split), row.part)):
            if row.place in self.gone:
                expected[(row.id, row.split, *self.gone[row.place][:2])] += 1
            elif row.split == "train" and not copies[row.place]:
                expected[(row.id, row.split, "choose", "not_chosen")] += 1
            else:
                wanted[row.split].setdefault(row.part, []).append(row)
        found += [f"rejects: {one}" for one in (lost - expected) + (expected - lost)]
        for split in SPLITS:
            ids = [row["meta"]["id"] for row in samples(run, split)]
            if ids != (all_of := _spread(wanted[split], copies)):
                found.append(f"{split}: {len(ids)} rows, recounted {len(all_of)}; first {ids[:3]}")
        return found + self._shares(corpora) + self._kept(run) + self._rows(run)

    def _shares(self, corpora: Row) -> list[str]:
        total = sum(corpus["written"] for corpus in corpora.values())
        found = [
            f"{part}: available {corpus['available']}, recounted {self.available[part]}"
            for part, corpus in corpora.items()
            if corpus["available"] != self.available[part]
        ]
        if self.total is not None and total != self.total:
            found.append(f"total is {total}, asked were {self.total}")
        if self.total is None:
            # One row more, and some part would be asked for more than it has.
            more = any(float((total + 1) * share) > self.available[p] + 1e-6 for p, share in self.asked.items())
            if not more and any(self.asked.values()) and not self.caps_alone:
                found.append(f"{total} is not the largest total")
            if any(corpus["repeats"] for corpus in corpora.values()):
                found.append("rows are repeated, though no total was asked for")
        off = {p: abs(float(total * share) - corpora[p]["written"]) for p, share in self.asked.items()}
        return found + [f"{part}: off by {rows} rows" for part, rows in off.items() if rows > 1 + 1e-6]

    def _kept(self, run: Path) -> list[str]:
        """kept_id is the row that the step names, or null where that one isn't written after all."""
        there = {row["meta"]["id"] for split in SPLITS for row in samples(run, split)}
        links = {row.id: self.gone[row.place] for row in self.all if row.place in self.gone}
        found = []
        for row in rejects(run):
            step, _, kept = links.get(row["id"], ("choose", "", None))
            if row["step"] in ("choose", "same_id"):
                continue
            end = kept
            while end is not None and end not in there:
                end = links.get(end, ("", "", None))[2] if end in links else None
            if row["kept_id"] != (kept if end is not None else None):
                found.append(f"{row['id']}: kept_id {row['kept_id']}, recounted {kept} ending at {end} ({step})")
        return found

    def _rows(self, run: Path) -> list[str]:
        """Nothing of a row changes but its flags; what it lacks is empty."""
        found = []
        mine = {(row.part, row.id): row for row in self.all if row.place not in self.gone}
        for split in SPLITS:
            for row in samples(run, split):
                meta = row["meta"]
                old = mine[meta["corpus"], meta["id"].partition("~")[0]]
                flags = dict.fromkeys([*filter(None, old.row["meta"]["flags"].split(",")), *self.flags[old.place]])
                if sorted(filter(None, meta["flags"].split(","))) != sorted(flags):
                    found.append(f"{meta['id']}: flags {meta['flags']!r}, recounted {list(flags)}")
                found += [f"{meta['id']}: {line}" for line in _changes(row, old.row)]
        return found


def _spread(parts: dict[str, list[Told]], copies: dict[tuple[str, str, int], int]) -> list[str]:
    """The ids of a split: of each part all rows, then those that come again, and so on; the parts evenly."""
    places = []
    for part, rows in parts.items():
        times = [copies.get(row.place, 1) for row in rows]
        turns = range(max(times))
        ids = [f"{r.id}~{k}" if k else r.id for k in turns for r, n in zip(rows, times, strict=True) if k < n]
        places += [(Fraction(k, len(ids)), part, name) for k, name in enumerate(ids)]
    return [name for *_, name in sorted(places)]


def _changes(row: Row, old: Row) -> list[str]:
    allowed = {"id", "flags", "corpus", "metrics"}
    found = [key for key in old if key != "meta" and row[key] != old[key]]
    found += [key for key in row if key not in old and row[key]]
    meta, before = row["meta"], old["meta"]
    for key, value in meta.items():
        if key in allowed:
            continue
        had = before.get(key)
        if isinstance(value, dict):
            had = {name: (had or {}).get(name, "") for name in value}
        lacking = 1 if key == "cluster_size" else type(value)()  # a row whose run looked for no others is one row
        if value != (had if had is not None else lacking):
            found.append(f"meta.{key}")
    return found + [f"meta.{key} is gone" for key in before if key not in meta]
