"""redact_pii on short texts: texts a second on one core, by the share of texts that hold a detail.

    python benchmarks/pii.py [TEXTS] [TIMES]

The texts are made up from a seed: 6 to 24 characters, every tenth with an ordinary number (a date, a price, an order),
and 0, 1 or 10 in a hundred with a phone number, an e-mail address or a QQ number. The step is timed as the pipeline
calls it, slice by slice, in CPU seconds (user and system) of one thread.
"""

from __future__ import annotations

import os
import random
import statistics
import sys
import time

os.environ["POLARS_MAX_THREADS"] = "1"

import polars as pl

from curate.pipeline import SLICE_ROWS
from curate.steps import Context
from curate.steps.redact_pii import Options, run
from curate.tasks import TASKS

_CHARS = "的一是不了在有人这上大来到时地为子中你说生国年着就那和要她出也得里后自以会家可下而过天去能对小多然于心学"


def texts(n: int, details: float, seed: int = 0) -> list[str]:
    """`n` texts, so many of which hold a detail."""
    draw = random.Random(seed)
    ordinary = ("2013年12月25日", "价格1299元", "订单号201305061020278", "12:30:45", "3.14159", "400-820-8820")

    def detail() -> str:
        number = "".join(draw.choices("0123456789", k=9))
        return draw.choice((f"打13{number}", f"邮箱a{number}@163.com", f"加QQ：1{number}"))

    def one() -> str:
        text = "".join(draw.choices(_CHARS, k=draw.randint(6, 24)))
        luck = draw.random()
        return text + (detail() if luck < details else draw.choice(ordinary) if luck < details + 0.1 else "")

    return [one() for _ in range(n)]


def seconds(rows: pl.DataFrame) -> float:
    """CPU seconds of the step on all slices."""
    context = Context(TASKS["classification"], {}, 0)
    start = time.process_time()
    for part in rows.iter_slices(SLICE_ROWS):
        run(part, Options(), context)
    return time.process_time() - start


def main(n: str = "500000", times: str = "3") -> None:
    print("| texts with a detail | texts/s |\n|---:|---:|")
    for details in (0.0, 0.01, 0.1):
        rows = pl.DataFrame(
            {"rid": range(int(n)), "text": texts(int(n), details)}, schema_overrides={"rid": pl.UInt64}
        )
        took = statistics.median(seconds(rows) for _ in range(int(times)))
        print(f"| {details:.0%} | {int(n) / took:,.0f} |")


if __name__ == "__main__":
    main(*sys.argv[1:])
