"""A prepaid wallet."""


class Refused(Exception):
    """What was asked for is not possible; nothing has changed."""


class Wallet:
    """Money in cents, with a limit and a history."""

    def __init__(self, limit: int = 10_000) -> None:
        if limit <= 0:
            raise ValueError("a limit is above zero")
        self.limit = limit
        self.balance = 0
        self.history: list[tuple[str, int]] = []

    def load(self, cents: int) -> int:
        """Put money in; refused beyond the limit. Returns the balance."""
        if cents <= 0:
            raise ValueError("an amount is above zero")
        if self.balance + cents > self.limit:
            raise Refused("beyond the limit")
        self.balance += cents
        self.history.append(("load", cents))
        return self.balance

    def pay(self, cents: int) -> int:
        """Take money out; refused beyond the balance. Returns the balance."""
        if cents <= 0:
            raise ValueError("an amount is above zero")
        if cents > self.balance:
            raise Refused("beyond the balance")
        self.balance -= cents
        self.history.append(("pay", cents))
        return self.balance

    def undo(self) -> None:
        """Take the last change back; refused where there is none."""
        if not self.history:
            raise Refused("nothing to undo")
        kind, cents = self.history.pop()
        self.balance += cents if kind == "pay" else -cents
