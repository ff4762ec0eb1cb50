"""Merkle trees as in RFC 6962, section 2.1: SHA-256, leaves hashed with prefix 0x00, nodes with 0x01.

Hashes are 32 bytes. A tree is given as the hashes of its leaves.
"""

import hashlib
from collections.abc import Iterable, Sequence

EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    """The hash of a leaf that holds `data`."""
    hashed = hashlib.sha256(b"\x00")
    # Not joined: a leaf may have hundreds of megabytes.
    hashed.update(data)
    return hashed.digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


class GrowingTree:
    """A tree that leaves are added to, in memory that grows with the logarithm of their number."""

    def __init__(self) -> None:
        self.size = 0
        # Roots of full subtrees, larger ones first; the bits of `size` say which sizes are there.
        self._whole: list[bytes] = []

    def with_leaf(self, leaf: bytes) -> "GrowingTree":
        """Another tree, with one more leaf hash."""
        grown = GrowingTree()
        grown.size, grown._whole = self.size, [*self._whole]
        grown.add(leaf)
        return grown

    def add(self, leaf: bytes) -> None:
        """Add the hash of a leaf."""
        self.size += 1
        self._whole.append(leaf)
        pairs = self.size
        while pairs % 2 == 0:
            right = self._whole.pop()
            self._whole.append(_node(self._whole.pop(), right))
            pairs //= 2

    @property
    def root(self) -> bytes:
        """The root over the leaves so far."""
        if not self._whole:
            return EMPTY_ROOT
        *larger, root = self._whole
        for subtree in reversed(larger):
            root = _node(subtree, root)
        return root


def merkle_root(leaves: Iterable[bytes]) -> bytes:
    """The root over leaf hashes, read once, in memory that grows with the logarithm of their number."""
    tree = GrowingTree()
    for leaf in leaves:
        tree.add(leaf)
    return tree.root


def _split(size: int) -> int:
    """The largest power of two below `size`, which is 2 or more."""
    return 1 << ((size - 1).bit_length() - 1)


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """What proves that leaf `index` is in the tree (RFC 6962, 2.1.1), lowest level first.

    Raises:
        IndexError: there is no such leaf.
    """
    if not 0 <= index < len(leaves):
        raise IndexError(f"leaf {index} of a tree of {len(leaves)}")
    proof: list[bytes] = []
    start, end = 0, len(leaves)
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            proof.append(merkle_root(leaves[middle:end]))
            end = middle
        else:
            proof.append(merkle_root(leaves[start:middle]))
            start = middle
    return proof[::-1]


def verify_inclusion(root: bytes, leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bool:
    """Whether `proof` proves that the tree of `size` leaves under `root` has the leaf hash `leaf` at `index`."""
    if not 0 <= index < size:
        return False
    computed = leaf
    position, last = index, size - 1
    for sibling in proof:
        if last == 0:
            return False
        if position % 2 or position == last:
            computed = _node(sibling, computed)
            # A last node without a sibling moves up unchanged until it has one on its left.
            while position % 2 == 0:
                position, last = position >> 1, last >> 1
        else:
            computed = _node(computed, sibling)
        position, last = position >> 1, last >> 1
    return last == 0 and computed == root


def consistency_proof(leaves: Sequence[bytes], old_size: int) -> list[bytes]:
    """What proves that the tree of the first `old_size` leaves is the beginning of this one (RFC 6962, 2.1.2).

    Raises:
        IndexError: `old_size` is not from 1 to the number of leaves.
    """
    if not 1 <= old_size <= len(leaves):
        raise IndexError(f"the first {old_size} leaves of a tree of {len(leaves)}")
    proof: list[bytes] = []
    start, end, old_end = 0, len(leaves), old_size
    whole = True  # the subtree at hand is the whole old tree: its root is known to who verifies
    while old_end != end:
        middle = start + _split(end - start)
        if old_end <= middle:
            proof.append(merkle_root(leaves[middle:end]))
            end = middle
        else:
            proof.append(merkle_root(leaves[start:middle]))
            start = middle
            whole = False
    if not whole:
        proof.append(merkle_root(leaves[start:end]))
    return proof[::-1]


def verify_consistency(old_root: bytes, old_size: int, root: bytes, size: int, proof: Sequence[bytes]) -> bool:
    """Whether `proof` proves that the tree (`old_root`, `old_size`) is the beginning of the tree (`root`, `size`).

    The algorithm is that of RFC 9162, section 2.1.4.2, over the same trees.
    """
    if not 1 <= old_size <= size:
        return False
    if old_size == size:
        return not proof and old_root == root
    nodes = list(proof)
    if old_size & (old_size - 1) == 0:
        nodes.insert(0, old_root)
    if not nodes:
        return False
    position, last = old_size - 1, size - 1
    while position % 2:
        position, last = position >> 1, last >> 1
    old = new = nodes[0]
    for node in nodes[1:]:
        if last == 0:
            return False
        if position % 2 or position == last:
            old, new = _node(node, old), _node(node, new)
            while position % 2 == 0 and position:
                position, last = position >> 1, last >> 1
        else:
            new = _node(new, node)
        position, last = position >> 1, last >> 1
    return last == 0 and old == old_root and new == root
