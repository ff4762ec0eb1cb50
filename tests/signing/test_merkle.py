"""Merkle trees: the examples of RFC 6962 and what must hold of any tree."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.signing import (
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    merkle_root,
    verify_consistency,
    verify_inclusion,
)

LEAVES = st.lists(st.binary(max_size=4).map(leaf_hash), min_size=1, max_size=40)

# The leaves that Certificate Transparency implementations share for their tests, and the roots of the first n of them.
_SHARED = [bytes.fromhex(h) for h in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "60" * 16)]


def _definition(data: list[bytes]) -> bytes:
    """MTH of RFC 6962, section 2.1, word for word."""
    if not data:
        return hashlib.sha256(b"").digest()
    if len(data) == 1:
        return hashlib.sha256(b"\x00" + data[0]).digest()
    k = 1
    while k * 2 < len(data):
        k *= 2
    return hashlib.sha256(b"\x01" + _definition(data[:k]) + _definition(data[k:])).digest()


def _flipped(data: bytes) -> bytes:
    return bytes([data[0] ^ 1]) + data[1:]


def test_the_empty_tree_and_one_leaf() -> None:
    assert merkle_root([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"


@given(st.lists(st.binary(max_size=4), max_size=40))
def test_the_root_is_the_definitions(data: list[bytes]) -> None:
    assert merkle_root(map(leaf_hash, data)) == _definition(data)


@pytest.mark.parametrize("size", range(1, len(_SHARED) + 1))
def test_every_proof_of_small_trees(size: int) -> None:
    leaves = [leaf_hash(data) for data in _SHARED[:size]]
    root = merkle_root(leaves)
    for index in range(size):
        proof = inclusion_proof(leaves, index)
        for claimed in range(size):
            assert verify_inclusion(root, leaves[index], claimed, size, proof) == (claimed == index)
        old = merkle_root(leaves[: index + 1])
        consistency = consistency_proof(leaves, index + 1)
        for claimed in range(1, size + 1):
            assert verify_consistency(old, claimed, root, size, consistency) == (claimed == index + 1)


@given(LEAVES, st.data())
def test_inclusion(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    root, proof = merkle_root(leaves), inclusion_proof(leaves, index)
    assert verify_inclusion(root, leaves[index], index, len(leaves), proof)
    assert not verify_inclusion(root, _flipped(leaves[index]), index, len(leaves), proof)
    assert not verify_inclusion(_flipped(root), leaves[index], index, len(leaves), proof)
    assert not verify_inclusion(root, leaves[index], index, len(leaves), [*proof, root])
    assert not verify_inclusion(root, leaves[index], len(leaves), len(leaves), proof)
    assert not verify_inclusion(root, leaves[index], -1, len(leaves), proof)
    for place in range(len(proof)):
        wrong = [*proof[:place], _flipped(proof[place]), *proof[place + 1 :]]
        assert not verify_inclusion(root, leaves[index], index, len(leaves), wrong)
        assert not verify_inclusion(root, leaves[index], index, len(leaves), proof[:place])


@given(LEAVES, st.data())
def test_consistency(leaves: list[bytes], data: st.DataObject) -> None:
    old_size, size = data.draw(st.integers(1, len(leaves))), len(leaves)
    old, root, proof = merkle_root(leaves[:old_size]), merkle_root(leaves), consistency_proof(leaves, old_size)
    assert verify_consistency(old, old_size, root, size, proof)
    assert not verify_consistency(_flipped(old), old_size, root, size, proof)
    assert not verify_consistency(old, old_size, _flipped(root), size, proof)
    assert not verify_consistency(old, old_size, root, size, [*proof, root])
    assert not verify_consistency(old, 0, root, size, proof)
    assert not verify_consistency(old, size + 1, root, size, proof)
    for place in range(len(proof)):
        wrong = [*proof[:place], _flipped(proof[place]), *proof[place + 1 :]]
        assert not verify_consistency(old, old_size, root, size, wrong)
        assert not verify_consistency(old, old_size, root, size, proof[:place])


def test_proofs_of_what_is_not_there() -> None:
    with pytest.raises(IndexError):
        inclusion_proof([leaf_hash(b"")], 1)
    with pytest.raises(IndexError):
        inclusion_proof([], 0)
    with pytest.raises(IndexError):
        consistency_proof([leaf_hash(b"")], 2)
    with pytest.raises(IndexError):
        consistency_proof([leaf_hash(b"")], 0)
