"""Other tools on the same lines: exact and near duplicates → JSONL, wall time, CPU, memory, rows kept.

    python benchmarks/peers.py LINES.txt [datatrove=PYTHON] [text-dedup=PYTHON] [data-juicer=PYTHON] [times=N]

LINES.txt has one text a line. A peer runs where the Python of a virtual environment is named that it is installed in
(`datatrove[processing,io] spacy`, `text-dedup`, `py-data-juicer aiohttp`); all take turns. Everyone compares character
3-grams at Jaccard 0.7: data-juicer and datatrove (one token a character) are told so, text-dedup gets the characters
spaced out, since it takes what stands between punctuation marks for one word. Each uses two processes or threads.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from measure import alternate, table

_RECIPE = """
name: lines
version: 1.0.0
title: lines
task: classification
license: none
labels: {"0": 负面, "1": 正面}
source: {reader: table, columns: [text, label], files: {train: ["*.tsv"]}}
steps: [normalise, require, {exact_dedup: {by: key}}, {near_dedup: {threshold: 0.7, ngram: 3}}, {segment: {as: meta}}]
templates: sentiment
metrics: [accuracy]
"""
_JUICER = """
project_name: lines
dataset_path: {source}
export_path: {out}/kept.jsonl
np: 2
text_keys: text
use_cache: false
process:
  - document_deduplicator: {{lowercase: false, ignore_non_character: false}}
  - document_minhash_deduplicator:
      {{tokenization: character, window_size: 3, lowercase: false, num_permutations: 128, jaccard_threshold: 0.7}}
"""


def own(python: str, folder: Path, lines: list[str], words: bool) -> list[str]:
    source, recipe = folder / "train.tsv", folder / "lines.yaml"
    recipe.write_text(_RECIPE, encoding="utf-8")
    rows = "".join(f"{line}\t{k % 2}\n" for k, line in enumerate(lines))
    source.write_text("text\tlabel\n" + rows, encoding="utf-8")
    command = [python, "-m", "curate", "recipe", str(recipe), "--source", f"train={source}", "--out", f"{folder}/out"]
    return command if words else [*command, "--set", "segment.as=off"]


def datatrove(python: str, folder: Path, lines: list[str]) -> list[str]:
    (folder / "in").mkdir()
    for part in range(2):  # a task reads whole files
        _rows(folder / "in" / f"{part}.jsonl", lines[part::2])
    return [python, __file__, "run-datatrove", str(folder)]


def text_dedup(python: str, folder: Path, lines: list[str]) -> list[str]:
    source = _rows(folder / "in.jsonl", [" ".join(line) for line in lines])
    command = [python, "-m", "text_dedup.minhash", "--path", "json", "--data_files", str(source), "--split", "train"]
    command += ["--cache_dir", f"{folder}/cache", "--output", f"{folder}/out", "--column", "text", "--num_proc", "2"]
    command += ["--ngram", "3", "--min_length", "1", "--threshold", "0.7", "--num_perm", "128"]
    return [*command, "--hash_func", "xxh3"]


def data_juicer(python: str, folder: Path, lines: list[str]) -> list[str]:
    config = folder / "config.yaml"
    source = _rows(folder / "in.jsonl", lines)
    config.write_text(_JUICER.format(source=source, out=folder / "out"), encoding="utf-8")
    return [str(Path(python).parent / "dj-process"), "--config", str(config)]


#: Each writes its input into a folder of its own and gives the command that reads it and writes into `out` there.
PEERS: dict[str, Callable[[str, Path, list[str]], list[str]]] = {
    "datatrove": datatrove,
    "text-dedup": text_dedup,
    "data-juicer": data_juicer,
}


def _rows(path: Path, lines: list[str]) -> Path:
    rows = (json.dumps({"text": line}, ensure_ascii=False) + "\n" for line in lines)
    path.write_text("".join(rows), encoding="utf-8")
    return path


def run_datatrove(folder: Path) -> None:
    """datatrove's four stages, in the environment it is installed in."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import (
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter
    from datatrove.utils.hashing import HashConfig
    from datatrove.utils.text import TextNormConfig

    class Characters:
        def word_tokenize(self, text: str) -> list[str]:
            return [char for char in text if char != " "]

    plain = TextNormConfig(
        lowercase=False,
        remove_punctuation=False,
        norm_unicode_diacritics=False,
        norm_numbers=False,
        norm_weekdays=False,
        norm_monthnames=False,
    )
    hashes = HashConfig(hash_fc="xxhash", precision=64)
    config = MinhashConfig(n_grams=3, num_buckets=14, hashes_per_bucket=8, hash_config=hashes, norm_config=plain)
    signature = MinhashDedupSignature(f"{folder}/signatures", config=config)
    signature.word_tokenizer = Characters()
    stages = [
        ([JsonlReader(f"{folder}/in"), signature], 2),
        ([MinhashDedupBuckets(f"{folder}/signatures", f"{folder}/buckets", config=config)], 14),
        ([MinhashDedupCluster(f"{folder}/buckets", f"{folder}/removed", config=config)], 1),
        (
            [
                JsonlReader(f"{folder}/in"),
                MinhashDedupFilter(f"{folder}/removed"),
                JsonlWriter(f"{folder}/out", compression=None),
            ],
            2,
        ),
    ]
    for pipeline, tasks in stages:
        LocalPipelineExecutor(
            pipeline=pipeline, tasks=tasks, workers=min(2, tasks), logging_dir=f"{folder}/logs", skip_completed=False
        ).run()


def kept(folder: Path) -> str:
    """The rows of what was written, where that is JSONL."""
    files = [path for path in (folder / "out").rglob("*.jsonl") if path.name != "rejected.jsonl"]
    rows = sum(path.read_bytes().count(b"\n") for path in files)
    return f"{rows:,}" if files else "(an Arrow file)"


def main(lines: str, *named: str) -> None:
    told = dict(word.split("=", 1) for word in named)
    times = int(told.pop("times", "1"))
    if unknown := sorted(set(told) - set(PEERS)):
        raise SystemExit(f"{unknown[0]}: one of {', '.join(PEERS)}, then = and its Python")
    texts = Path(lines).read_text(encoding="utf-8").rstrip("\n").split("\n")
    print(f"{len(texts):,} lines, {sum(map(len, texts)):,} characters")
    with tempfile.TemporaryDirectory() as out:
        commands: dict[str, list[str]] = {}

        def add(name: str, make: Callable[[Path], list[str]]) -> None:
            folder = Path(out) / name.replace(" ", "-")
            folder.mkdir()
            command = make(folder)
            # What an earlier turn wrote goes first, its input stays.
            clean = f"cd '{folder}' && rm -rf out cache signatures buckets removed logs"
            commands[name] = ["sh", "-c", f'{clean}; exec "$@"', "sh", *command]

        add("curate", lambda folder: own(sys.executable, folder, texts, words=False))
        add("curate with words", lambda folder: own(sys.executable, folder, texts, words=True))
        for name, python in told.items():
            real = shutil.which(python)
            if real is None:
                raise SystemExit(f"{python}: no such Python")
            add(name, lambda folder, name=name, real=real: PEERS[name](str(Path(real).absolute()), folder, texts))
        print(table(alternate(commands, times), "curate"))
        for name in commands:
            print(f"{name}: {kept(Path(out) / name.replace(' ', '-'))} kept")


if __name__ == "__main__":
    if sys.argv[1] == "run-datatrove":
        run_datatrove(Path(sys.argv[2]))
    else:
        main(*sys.argv[1:])
