r"""Which accesses to files break a rule.

A *failed* attempt is judged like the deed, with these exceptions, which honest programs need and which change nothing:

- ``files.deny`` knows no exception: asking for what is denied is the violation, there or not.
- Nothing was there to be read, changed or removed (ENOENT, ENOTDIR; EISDIR for writing; creating is another matter), or
  what was to be created was there already (EEXIST): programs probe for settings, ``rm -f`` and ``mkdir -p`` blindly.
- A rename or hard link across file systems (EXDEV): ``mv`` and caches try it before they copy.
- A name that PATH was searched for and not found (exec, ENOENT).
- Writing where programs keep what they can do without (byte code, caches, histories, settings under the home folder;
  see ``paths._CACHES``), unless an exception (``!``) of files.write names the place.
- Making a folder that is on the way to one that may be written.

Besides, the folders above what may be read or written may be listed, and what may be written may be read.

Links are judged by what they lead to as well: a symlink to something denied is an attempt at it; a hard link to
something that may not be written is a way to write it.
"""

import errno
import posixpath
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from affidavit.contracts import OPERATIONS, Attempts
from affidavit.events import FILE_WRITES, OPS, Op
from affidavit.policy import paths as p
from affidavit.policy import sentences
from affidavit.policy.attempts import Outcome, came_to_nothing
from affidavit.policy.columns import Batch
from affidavit.policy.digests import Digests
from affidavit.policy.findings import Findings
from affidavit.policy.scoping import Sets
from affidavit.policy.violation import Severity

OP_CODES = {Op(name): code for code, name in enumerate(OPS)}

_O_CREAT = 0x40
_O_DIRECTORY = 0x10000

_NOTHING_THERE = (-errno.ENOENT, -errno.ENOTDIR)

_WHY = {
    "files.read": "which the contract does not let it read",
    "files.write": "which the contract does not let it write",
    "files.deny": "which the contract denies",
    "processes.exec": "which the contract does not let it run",
}
SET_ASIDE_WHY = "which decides how tests run, so it is not carried over into the grading"
_SEVERITY: dict[str, Severity] = {
    "files.read": "medium",
    "files.write": "high",
    "files.deny": "high",
    "processes.exec": "medium",
}


@dataclass(frozen=True)
class _Accesses:
    """Accesses that may break a rule, ordered by row: the name in question and what is known of it.

    Attributes:
        row: of the batch.
        key: number of the name in `names`.
        bits: of the name.
        need: bits that the access needs.
        second: it is the operation's second name (a rename's new one, a link's target).
    """

    row: npt.NDArray[np.int64]
    key: npt.NDArray[np.int64]
    bits: p.Bits
    need: p.Bits
    second: npt.NDArray[np.bool_]


class AccessCheck:
    """The rules on files and executables.

    Args:
        verdicts_of: what the contract says of paths, for a process in some scopes.
        forbidden: names of forbidden operations.
        attempts_for: what a refused act is that breaks a rule.
        digests: what is known of programs; None where no list names one by digest.
    """

    def __init__(
        self,
        verdicts_of: Callable[[int], p.PathVerdicts],
        forbidden: tuple[str, ...],
        attempts_for: Callable[[str], Attempts],
        digests: Digests | None = None,
    ) -> None:
        self._attempts_for = attempts_for
        self._digests = digests
        self._verdicts_of = verdicts_of
        verdicts = self._verdicts = verdicts_of(0)
        self._outside = "write_outside_workspace" in forbidden
        # For each operation by its code: the bits that its path needs, and those it must not have.
        self._need = np.zeros(len(OPS) + 1, np.uint32)
        self._bad = np.zeros(len(OPS) + 1, np.uint32)
        by_access = {access: np.uint32(0) for access in ("read", "write", "exec", "any")}
        for name, bit in verdicts.operations.items():
            by_access[OPERATIONS[name].access] |= bit
        self._any = p.DENIED | by_access["any"]
        self._bad[:-1] = self._any
        for op in FILE_WRITES:
            self._need[OP_CODES[op]] = p.WRITE
            self._bad[OP_CODES[op]] |= by_access["write"] | (p.OUTSIDE if self._outside else np.uint32(0))
        self._need[OP_CODES[Op.OPEN_READ]] = p.READ
        self._bad[OP_CODES[Op.OPEN_READ]] |= by_access["read"]
        self._need[OP_CODES[Op.EXEC]] = p.EXEC
        self._bad[OP_CODES[Op.EXEC]] |= by_access["exec"]

    def check(self, batch: Batch, ops: npt.NDArray[Any], findings: Findings, sets: Sets | None = None) -> None:
        """Judge a batch.

        Args:
            ops: for each row the operation's place in OPS.
            sets: for each row the scopes that its process is in; None: none is in any.
        """
        if self._digests is None:
            self._check(batch, ops, findings, sets)
            return
        self._digests.begin(batch, ops)
        self._check(batch, ops, findings, sets)
        self._digests.end()

    def _check(self, batch: Batch, ops: npt.NDArray[Any], findings: Findings, sets: Sets | None) -> None:
        names: list[str | None] = []
        found = self._suspects(batch, ops, sets, names)
        if found is None:
            return
        ret = batch.numbers("ret")[found.row]
        op = ops[found.row]
        excused = self._excused(batch, found, op, ret)
        denied = (found.bits & p.DENIED) != 0
        lacking = ((found.need & ~found.bits) != 0) & ~denied & ~excused

        refused = came_to_nothing(ret) & ((found.bits & p.ON_EVALUATION) == 0)
        set_aside = ((found.bits & p.SET_ASIDE) != 0) & ~came_to_nothing(ret)

        def report(rule: str, severity: Severity, why: str, mask: npt.NDArray[np.bool_]) -> None:
            if self._attempts_for(rule) == "violation":
                put(rule, severity, why, mask)
                return
            attempted = mask & refused
            kept_out = mask & set_aside if rule.endswith("files.write") else np.zeros_like(mask)
            put(rule, severity, why, attempted, "refused")
            put(rule, severity, SET_ASIDE_WHY, kept_out, "set_aside")
            put(rule, severity, why, mask & ~attempted & ~kept_out)

        def put(
            rule: str, severity: Severity, why: str, mask: npt.NDArray[np.bool_], outcome: Outcome | None = None
        ) -> None:
            chosen = np.flatnonzero(mask)
            if not len(chosen):
                return
            rows, second = found.row[chosen], found.second[chosen]
            findings.add(
                rule,
                severity,
                batch.numbers("seq")[rows],
                found.key[chosen],
                lambda keys: [names[key] for key in keys.tolist()],
                lambda index: _sentence(batch, int(rows[index]), bool(second[index]), why),
                outcome=outcome,
            )

        inside = np.zeros(len(found.row), np.int64) if sets is None else sets[found.row]
        if self._digests is not None:
            for at in np.flatnonzero(lacking & (found.need == p.EXEC)).tolist():
                name = names[found.key[at]] or ""
                digest = self._digests.of(name, int(found.row[at]))
                lacking[at] = not self._verdicts_of(int(inside[at])).allows_program(name, digest)
        broken = {
            "files.deny": denied,
            "files.write": lacking & (found.need == p.WRITE),
            "files.read": lacking & (found.need == p.READ),
            "processes.exec": lacking & (found.need == p.EXEC),
        }
        for rule, mask in broken.items():
            # Each scope's list is a rule of its own.
            for name, of_name in self._named(rule, inside[mask]):
                report(name, _SEVERITY[rule], _WHY[rule], mask & np.isin(inside, of_name))
        bad = self._bad[op]
        for name, bit in self._verdicts.operations.items():
            mask = (found.bits & bad & bit) != 0
            if OPERATIONS[name].access != "any":
                mask &= ~excused & (found.need != 0)
            if name == "spawn_unexpected_process":
                # A list of what is expected says it better than where a program lies.
                listed = np.array([self._verdicts_of(one).lists_programs for one in inside.tolist()], np.bool_)
                mask = np.where(listed, broken["processes.exec"], mask)
            report(f"operations.{name}", OPERATIONS[name].severity, f"which the contract forbids ({name})", mask)
        if self._outside:
            mask = ((found.bits & bad & p.OUTSIDE) != 0) & (found.need == p.WRITE) & ~excused
            why = "outside of its workspace, which the contract forbids"
            report("operations.write_outside_workspace", "high", why, mask)

    def _named(self, rule: str, inside: Sets) -> list[tuple[str, list[int]]]:
        """What a rule is called in the sets of scopes that occur, in the order of the names."""
        named: dict[str, list[int]] = {}
        for one in np.unique(inside).tolist():
            named.setdefault(self._verdicts_of(one).rules[rule], []).append(one)
        return sorted(named.items())

    def _suspects(
        self, batch: Batch, ops: npt.NDArray[Any], sets: Sets | None, names: list[str | None]
    ) -> _Accesses | None:
        parts: list[_Accesses] = []

        def add(rows: npt.NDArray[Any], keys: npt.NDArray[Any], bits: p.Bits, need: p.Bits, second: bool) -> None:
            parts.append(
                _Accesses(
                    rows.astype(np.int64), keys.astype(np.int64), bits, need, np.full(len(rows), second, np.bool_)
                )
            )

        # The great mass: one look-up a row, and what is left over is little.
        column = batch.names("path")
        bits = column.spread(self._verdicts.of(column.distinct), p.NO_PATH)
        if sets is not None:
            for one in np.unique(sets[sets != 0]).tolist():
                inside = sets == one
                bits[inside] = column.spread(self._verdicts_of(one).of(column.distinct), p.NO_PATH)[inside]
        need = self._need[ops]
        rows = np.flatnonzero(((need & ~bits) | (self._bad[ops] & bits)) != 0)
        if len(rows):
            names.extend(column.distinct.to_pylist())
            add(rows, column.codes[rows], bits[rows], need[rows], False)

        two = np.flatnonzero((ops == OP_CODES[Op.RENAME]) | (ops == OP_CODES[Op.LINK]))
        self._add_names(batch, batch.names("path2"), two, p.WRITE, ops, sets, names, add)
        ran = np.flatnonzero(ops == OP_CODES[Op.EXEC])
        ran = ran[batch.numbers("ret")[ran] >= 0]
        self._add_names(batch, batch.names("exe"), ran, p.EXEC, ops, sets, names, add)
        self._add_targets(batch, ops, sets, names, add)
        if not parts:
            return None
        if len(parts) == 1:
            return parts[0]
        row = np.concatenate([part.row for part in parts])
        order = np.argsort(row, kind="stable")
        return _Accesses(
            row[order],
            np.concatenate([part.key for part in parts])[order],
            np.concatenate([part.bits for part in parts])[order],
            np.concatenate([part.need for part in parts])[order],
            np.concatenate([part.second for part in parts])[order],
        )

    def _add_names(
        self,
        batch: Batch,
        column: Any,
        rows: npt.NDArray[Any],
        need: np.uint32,
        ops: npt.NDArray[Any],
        sets: Sets | None,
        names: list[str | None],
        add: Callable[..., None],
    ) -> None:
        """Another column's names in some rows, all of which need the same."""
        if not len(rows):
            return
        used, codes = np.unique(column.codes[rows], return_inverse=True)
        texts = column.values(used)
        bits = self._bits_of(texts, codes, None if sets is None else sets[rows])
        mask = ((need & ~bits) | (self._bad[ops[rows]] & bits)) != 0
        if need == p.EXEC:
            # A program under its own name is one access.
            asked = batch.names("path")
            again = [asked.at(int(rows[at])) == texts[codes[at]] for at in np.flatnonzero(mask).tolist()]
            mask[mask] = ~np.array(again, np.bool_)
        add(rows[mask], codes[mask] + len(names), bits[mask], np.full(int(mask.sum()), need, np.uint32), True)
        names.extend(texts)

    def _add_targets(
        self,
        batch: Batch,
        ops: npt.NDArray[Any],
        sets: Sets | None,
        names: list[str | None],
        add: Callable[..., None],
    ) -> None:
        """What symlinks lead to, by their names alone."""
        rows = np.flatnonzero(ops == OP_CODES[Op.SYMLINK])
        if not len(rows):
            return
        links, targets = batch.names("path"), batch.names("path2")
        pairs = links.codes[rows].astype(np.int64) * (len(targets.distinct) + 1) + targets.codes[rows]
        _, first, codes = np.unique(pairs, return_index=True, return_inverse=True)
        link_names, target_names = links.values(links.codes[rows[first]]), targets.values(targets.codes[rows[first]])
        texts: list[str | None] = [
            leads_to(link, target) if link and target else None
            for link, target in zip(link_names, target_names, strict=True)
        ]
        bits = self._bits_of(texts, codes, None if sets is None else sets[rows])
        mask = (bits & self._any) != 0
        add(rows[mask], codes[mask] + len(names), bits[mask], np.zeros(int(mask.sum()), np.uint32), True)
        names.extend(texts)

    def _bits_of(self, texts: list[str | None], codes: npt.NDArray[Any], sets: Sets | None) -> p.Bits:
        """For each row the bits of its name, `codes` telling which that is."""
        there = [index for index, text in enumerate(texts) if text is not None]
        array = pa.array([texts[index] for index in there], pa.utf8())
        bits = np.full(len(codes), p.NO_PATH, np.uint32)
        for one in [0] if sets is None else np.unique(sets).tolist():
            of_text = np.full(len(texts), p.NO_PATH, np.uint32)
            of_text[there] = self._verdicts_of(one).of(array)
            inside = slice(None) if sets is None else sets == one
            bits[inside] = of_text[codes[inside]]
        return bits

    def _excused(
        self, batch: Batch, found: _Accesses, op: npt.NDArray[Any], ret: npt.NDArray[Any]
    ) -> npt.NDArray[np.bool_]:
        """Which accesses honest programs make that change nothing (see the module's text)."""
        flags = batch.numbers("flags")[found.row]

        def is_op(*wanted: Op) -> npt.NDArray[np.bool_]:
            return np.isin(op, [OP_CODES[one] for one in wanted])

        nothing_there = np.isin(ret, _NOTHING_THERE)
        creates = is_op(Op.CREATE, Op.MKDIR, Op.SYMLINK, Op.BIND) | (is_op(Op.OPEN_WRITE) & ((flags & _O_CREAT) != 0))
        writes = found.need == p.WRITE
        excused = nothing_there & ~creates
        excused |= writes & np.isin(ret, (-errno.EEXIST, -errno.EADDRINUSE))
        excused |= is_op(Op.OPEN_WRITE) & (ret == -errno.EISDIR)
        excused |= is_op(Op.RENAME, Op.LINK) & (ret == -errno.EXDEV)
        failed = ret < 0
        protected = (found.bits & p.PROTECTED) != 0
        excused |= writes & failed & ~protected & ((found.bits & p.CACHE) != 0)
        excused |= is_op(Op.MKDIR) & failed & ((found.bits & p.TO_WRITABLE) != 0) & ~protected
        excused |= is_op(Op.OPEN_READ) & ((flags & _O_DIRECTORY) != 0) & ((found.bits & p.ON_THE_WAY) != 0)
        return np.asarray(excused, np.bool_)


def leads_to(link: str, target: str) -> str:
    """Where a symlink leads, by the names alone."""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(link), target))
    return path[1:] if path.startswith("//") else path


def _sentence(batch: Batch, row: int, second: bool, why: str) -> str:
    op = OPS[0] if row < 0 else batch.names("op").at(row) or OPS[0]
    path, path2 = batch.names("path").at(row), batch.names("path2").at(row)
    pid, ret = int(batch.numbers("pid")[row]), int(batch.numbers("ret")[row])
    exe = batch.names("exe").at(row)
    of = sentences.shown(path or "a file")
    if op == Op.EXEC:
        if second and exe and exe != path:
            of = f"{of} with {sentences.shown(exe)}"
        who = f"process {pid}"
    else:
        if path2 is not None and op in (Op.RENAME, Op.LINK, Op.SYMLINK):
            of = f"{of} {'as' if op == Op.LINK else 'to'} {sentences.shown(path2)}"
        who = sentences.process(exe, batch.names("comm").at(row), pid)
    return f"{who} {sentences.act(op, of, ret)}, {why}"
