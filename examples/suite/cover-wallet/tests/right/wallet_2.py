class Refused(Exception):
    pass


class Wallet:
    def __init__(self, limit=10_000):
        if not limit > 0:
            raise ValueError(limit)
        self.limit = limit
        self.history = []
        self.balance = 0

    def load(self, cents):
        room = self.limit - self.balance
        if not cents > 0:
            raise ValueError(cents)
        if room < cents:
            raise Refused(cents)
        self.history.append(("load", cents))
        self.balance = self.balance + cents
        return self.balance

    def pay(self, cents):
        if not cents > 0:
            raise ValueError(cents)
        if self.balance < cents:
            raise Refused(cents)
        self.history.append(("pay", cents))
        self.balance = self.balance - cents
        return self.balance

    def undo(self):
        if self.history == []:
            raise Refused
        last = self.history.pop()
        self.balance = self.balance - last[1] if last[0] == "load" else self.balance + last[1]
