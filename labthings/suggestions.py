"""What a mistyped word was probably meant to be."""

from __future__ import annotations

from collections.abc import Iterable


def did_you_mean(word: str, possible: Iterable[str]) -> str:
    """A sentence that offers the closest of the possible words, with a space before it; nothing if none is close."""
    from difflib import get_close_matches

    by_lower_case = {each.lower(): each for each in possible}
    close = get_close_matches(str(word).lower(), by_lower_case, n=1)
    return f" Did you mean '{by_lower_case[close[0]]}'?" if close else ""
