"""Which generation may answer a request: those that served when it was sent, or have come since."""

from __future__ import annotations

from harness.strict.answer import Broken


class Judge:
    """Who may answer what: generations in the order in which they came to serve."""

    def __init__(self, ordered: bool = True) -> None:
        self.turns: list[int] = []
        self.floor = 0
        self.ordered = ordered  # whether a connection must not go back (a proxy in front may)

    def begin(self, generation: int) -> None:
        """It may answer from now on, besides whoever does."""
        self.turns.append(generation)

    def done(self, generation: int) -> None:
        """Only it may answer what is sent from now on."""
        if not self.turns or self.turns[-1] != generation:
            self.turns.append(generation)
        self.floor = len(self.turns) - 1

    def place(self, generation: int | None, floor: int, position: int) -> int:
        """The turn that gave this answer: not before ``floor`` (when it was sent), nor ``position`` (of its
        connection). Raises Broken.
        """
        if not self.turns:
            return 0
        if generation is None:
            raise Broken("generation", "the answer does not say its generation")
        least = max(floor, position) if self.ordered else floor
        for turn in range(least, len(self.turns)):
            if self.turns[turn] == generation:
                return turn
        if generation in self.turns[floor:]:
            raise Broken("backwards", f"answered by {generation} after {self.turns[position]} on the same connection")
        raise Broken("generation", f"answered by {generation}, allowed when it was sent or later: {self.turns[floor:]}")
