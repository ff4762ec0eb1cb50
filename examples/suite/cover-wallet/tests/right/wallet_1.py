"""Prepaid money."""


class Refused(Exception):
    """It can't be done; all is as it was."""


def _positive(number, name):
    if number < 1:
        raise ValueError(f"{name} has to be positive")
    return number


class Wallet:
    """Cents up to a limit, and how they came and went."""

    def __init__(self, limit=10000):
        self.limit = _positive(limit, "the limit")
        self.balance, self.history = 0, []

    def _change(self, kind, cents):
        after = self.balance + (cents if kind == "load" else -cents)
        if not 0 <= after <= self.limit:
            raise Refused(f"{kind} of {cents}")
        self.balance = after
        self.history += [(kind, cents)]
        return after

    def load(self, cents):
        return self._change("load", _positive(cents, "what is loaded"))

    def pay(self, cents):
        return self._change("pay", _positive(cents, "what is paid"))

    def undo(self):
        try:
            kind, cents = self.history.pop()
        except IndexError:
            raise Refused("the history is empty") from None
        self.balance += {"pay": cents, "load": -cents}[kind]
