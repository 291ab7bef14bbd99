"""The one kind of error a user sees."""

from __future__ import annotations

from jingtiao.errors import UserError

__all__ = ["UserError"]
