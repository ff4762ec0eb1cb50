#!/bin/bash
set -euo pipefail

cat > /workspace/tests/test_wallet.py <<'PY'
"""Tests of the wallet."""

import pytest
from wallet import Refused, Wallet


def test_a_new_wallet_is_empty():
    wallet = Wallet()
    assert (wallet.balance, wallet.limit, wallet.history) == (0, 10_000, [])


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_is_above_zero(limit):
    with pytest.raises(ValueError):
        Wallet(limit)


@pytest.mark.parametrize("cents", [0, -1])
def test_amounts_are_above_zero(cents):
    wallet = Wallet()
    wallet.load(5)
    for act in (wallet.load, wallet.pay):
        with pytest.raises(ValueError):
            act(cents)
    assert (wallet.balance, wallet.history) == (5, [("load", 5)])


def test_loading_and_paying():
    wallet = Wallet(100)
    assert (wallet.load(70), wallet.load(30), wallet.pay(40), wallet.pay(60)) == (70, 100, 60, 0)
    assert wallet.history == [("load", 70), ("load", 30), ("pay", 40), ("pay", 60)]


def test_beyond_the_limit():
    wallet = Wallet(100)
    wallet.load(60)
    with pytest.raises(Refused):
        wallet.load(41)
    assert (wallet.balance, wallet.history) == (60, [("load", 60)])


def test_beyond_the_balance():
    wallet = Wallet(100)
    wallet.load(60)
    with pytest.raises(Refused):
        wallet.pay(61)
    assert (wallet.balance, wallet.history) == (60, [("load", 60)])


def test_undo():
    wallet = Wallet(100)
    wallet.load(60)
    wallet.pay(20)
    wallet.undo()
    assert (wallet.balance, wallet.history) == (60, [("load", 60)])
    wallet.undo()
    assert (wallet.balance, wallet.history) == (0, [])
    with pytest.raises(Refused):
        wallet.undo()
PY
cd /workspace
PYTHONPATH=src python3 -B -m pytest -q -p no:cacheprovider tests
