"""`jingtiao curate …` and `jingtiao tune …`: the same as `python -m curate …` and `python -m tune …`."""

from __future__ import annotations

import importlib
import sys

_USAGE = "usage: jingtiao curate|tune VERB …\n\n  curate  corpora into instruction data\n  tune    models on it"


def main() -> None:
    """Hand over to the package named first; never returns."""
    name, *rest = sys.argv[1:] or ["--help"]
    if name in ("curate", "tune"):
        importlib.import_module(f"{name}.__main__").leave(importlib.import_module(f"{name}.cli").main(rest))
    if name in ("-h", "--help"):
        print(_USAGE)
        sys.exit(0)
    print(f"error: no such command {name!r} (see 'jingtiao --help')", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
