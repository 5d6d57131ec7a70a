"""Words that are the same in all lanes as lanes of few words, and back: masks and sums."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Packing"]


@dataclass(frozen=True)
class Packing:
    """How words become lanes: word ``group * step + lane`` is a lane of the group's word.

    Groups may overlap: what they share is made twice, alike.

    Parameters
    ----------
    groups, lanes
        Words that are made, and lanes of each.
    step
        Words from one group's first to the next one's.
    """

    groups: int
    lanes: int
    step: int

    @classmethod
    def of(cls, words: int, dim: int) -> Packing:
        """Of so many words into the fewest that hold exactly them."""
        for groups in range(-(-words // dim), words + 1):
            for lanes in range(min(dim, words), 0, -1):
                step, rest = divmod(words - lanes, max(1, groups - 1))
                if not rest and step <= lanes and (groups > 1 or lanes == words):
                    return cls(groups, lanes, step)
        raise AssertionError(f"{words} words are no groups of at most {dim}")

    @property
    def halves(self) -> tuple[int, int]:
        """Words of a group that lie in one bank, and in another, when they begin to be added."""
        return self.lanes - self.lanes // 2, self.lanes // 2
