"""Samples a second of `tune.data.tokenise`: reading, rendering, encoding, proof and writing, each in a new process.

python benchmarks/tokenise.py RUN [TIMES]

RUN is a run folder, such as curated LCQMC; its train split is tokenised with a byte-level BPE of 20,000 tokens that is
trained on the spot on the split's own prompts, under a ChatML template. Imports and training are not counted.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

VOCABULARY = 20_000
#: How Qwen's tokenizer cuts text into words; its letters and digits.
WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def main(run: str, times: str = "5") -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    with tempfile.TemporaryDirectory() as folder:
        # A process of its own for training too: a child's peak is at least its parent's size when it was started.
        subprocess.run([sys.executable, __file__, "--train", run, folder], check=True)
        command = [sys.executable, __file__, "--once", run, folder]
        results = [json.loads(subprocess.check_output([*command, str(number)])) for number in range(int(times))]
    first = results[0]
    rate, cpu, peak = (statistics.median(result[name] for result in results) for name in ("rate", "cpu_us", "peak_mb"))
    print(f"{first['samples']:,} samples, {first['tokens'] / first['samples']:.1f} tokens each on average")
    print(f"median of {times}: {rate:,.0f} samples/s, {cpu:.1f} µs of CPU a sample, peak {peak:.0f} MB")


def train(run: str, folder: str) -> None:
    """Train the tokenizer and save it in `folder/tokenizer`."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    from tune.prompt import user_text
    from tune.runs import open_run
    from tune.tiny import CHATML, END_OF_TEXT, END_OF_TURN, TURN

    backend = Tokenizer(models.BPE())
    cut = pre_tokenizers.Split(Regex(WORDS), "isolated")
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [cut, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END_OF_TEXT, TURN, END_OF_TURN],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator((user_text(row) for row in open_run(Path(run)).rows("train")), trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token=END_OF_TURN, pad_token=END_OF_TEXT, chat_template=CHATML
    )
    tokenizer.save_pretrained(Path(folder) / "tokenizer")


def once(run: str, folder: str, number: str) -> None:
    """Tokenise the train split and print what it cost as JSON."""
    from transformers import AutoTokenizer

    from tune.config import resolve
    from tune.data import tokenise
    from tune.prompt import make_prompter
    from tune.runs import open_run

    prompter = make_prompter(AutoTokenizer.from_pretrained(Path(folder) / "tokenizer"))
    wall, cpu = time.perf_counter(), time.process_time()
    tokens = tokenise(open_run(Path(run)), "train", prompter, resolve(None), Path(folder) / number)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    samples = tokens.counts["read"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)
    result = {"rate": samples / wall, "cpu_us": 1e6 * cpu / samples, "peak_mb": peak}
    print(json.dumps(result | {"samples": samples, "tokens": tokens.counts["tokens"]}))


if __name__ == "__main__":
    parts = {"--train": train, "--once": once}
    if sys.argv[1:2] and sys.argv[1] in parts:
        parts[sys.argv[1]](*sys.argv[2:])
    else:
        main(*sys.argv[1:])
