"""polars, imported when it is first used: `--help` and recipe errors must not pay 165 ms of CPU for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl
else:

    class _Polars:
        def __getattr__(self, name: str) -> Any:
            import polars

            # Remembered on the instance, so the lookup costs one dictionary access from then on.
            value = getattr(polars, name)
            setattr(self, name, value)
            return value

    pl = _Polars()

__all__ = ["pl"]
