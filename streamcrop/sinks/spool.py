"""Events that could not be delivered, kept on disk until they can be: one SQLite file a node.

`Spool` is the storage: plain calls that block, from one thread at a time. What it says is kept is
committed: neither a `kill -9` nor a power cut takes it back. Several processes may share a file
(``run --only``), each for streams of its own.

An event that is larger than a transaction may be is written in parts, and is there once its last
part is. What the spool lets go of (too old, no room) is counted in the file, in the transaction
that does it, until `losses` hands the counts to whoever keeps the ledger of the stream.
"""

import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from streamcrop.core.values import Reason
from streamcrop.errors import SinkError
from streamcrop.formats.events import Event
from streamcrop.sinks.database import TRANSACTION_BYTES, Database, FullError

Order = Literal["newest", "oldest"]
_FORM = 0x5C509001
_TABLES = (
    """CREATE TABLE events (
         number INTEGER PRIMARY KEY AUTOINCREMENT, stream TEXT NOT NULL, sink TEXT NOT NULL,
         at REAL NOT NULL, crop INTEGER NOT NULL, whole INTEGER NOT NULL)""",
    "CREATE INDEX waiting ON events (stream, sink, whole, number)",
    "CREATE INDEX ages ON events (at)",
    # The place is the event's number, and behind it that of the part.
    "CREATE TABLE parts (place INTEGER PRIMARY KEY, data BLOB NOT NULL)",
    """CREATE TABLE lost (
         stream TEXT, sink TEXT, reason TEXT, count INTEGER NOT NULL,
         PRIMARY KEY (stream, sink, reason)) WITHOUT ROWID""",
)
_PARTS_BITS = 16
# A part that was written so long ago and has no end is of a process that was killed.
_PARTS_TIME = 60.0

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Event)


class Key(NamedTuple):
    """For whom an event waits."""

    stream: str
    sink: str


class Kept(NamedTuple):
    """An event that waits.

    Attributes:
        number: Names it in its file; a later one has a larger one.
        event: As it was given, and with the attribute ``spooled`` if it is a CloudEvent.
    """

    number: int
    event: Event


class Spool:
    """The file.

    Args:
        path: Of the database. Is made where it is missing, its folder too, for our eyes alone.
        max_bytes: What the database may have on disk, without its log, which stays below 16 MiB.
        max_age: In seconds; `expire` lets go of what has waited for longer.
        order: Which leaves first. A full spool gives up its oldest with ``newest``, and takes no
            more with ``oldest``.
        clock: Seconds since 1970.

    Raises:
        SinkError: Here and in each method, if the file cannot be used; nothing has changed then.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> event = Event("crops", b"picture", "image/jpeg", {"id": "gate/1/a"}, is_crop=True)
        >>> key = Key("gate", "mqtt")
        >>> with TemporaryDirectory() as folder:
        ...     spool = Spool(f"{folder}/spool.db", max_bytes=1 << 20, max_age=60, order="oldest")
        ...     print(spool.put([(key, event)]), spool.count(key))
        ...     [kept] = spool.some(key)
        ...     print(kept.event.data, kept.event.attributes)
        ...     print(spool.remove([kept.number]), spool.some(key))
        ...     spool.close()
        [True] 1
        b'picture' {'id': 'gate/1/a', 'spooled': 'true'}
        {1} []
    """

    def __init__(
        self,
        path: str | Path,
        *,
        max_bytes: int,
        max_age: float,
        order: Order,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._db = Database(Path(path), max_bytes=max_bytes, form=_FORM, tables=_TABLES)
        self._max_age = max_age
        self._order = order
        self._clock = clock
        with self._db.transaction():
            self._remove("whole = 0 AND at < ?", self._clock() - _PARTS_TIME)
            # The bound may have been larger when it was filled.
            self._make_room(0)

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def put(self, events: Sequence[tuple[Key, Event]]) -> list[bool]:
        """Keep events.

        Returns:
            For each, whether it is committed; if not, there was no room for it.
        """
        if not self._db.is_ballasted():
            return [False] * len(events)
        rows = [(key, event.is_crop, _encoder.encode(event)) for key, event in events]
        kept: list[bool] = []
        while len(kept) < len(rows):
            row = rows[len(kept)]
            if len(row[-1]) > TRANSACTION_BYTES:
                kept.append(self._put_parts(*row))
            else:
                kept += self._put_some(rows[len(kept) :])
        return kept

    def some(self, key: Key, besides: Collection[int] = (), most: int = 1) -> list[Kept]:
        """The events that are to leave first, by the order; none: there are no others.

        Args:
            key: Whose.
            besides: Numbers of events that are on their way already.
            most: How many; there are fewer where they are large.
        """
        direction = "DESC" if self._order == "newest" else "ASC"
        waiting = "SELECT number FROM events WHERE stream = ? AND sink = ? AND whole = 1"
        waiting += f" ORDER BY number {direction} LIMIT ?"
        found: list[Kept] = []
        nbytes, unread = 0, False
        for (number,) in self._db.ask(waiting, *key, len(besides) + most):
            if number in besides or len(found) == most or nbytes > TRANSACTION_BYTES:
                continue
            if event := self._read(number):
                found.append(Kept(number, event))
                nbytes += event.nbytes
            else:
                unread = True
        # Those that nobody can read are gone now.
        return self.some(key, besides, most) if unread and not found else found

    def remove(self, numbers: Collection[int]) -> set[int]:
        """Let go of events that were delivered, or never can be.

        Returns:
            Those that were still there; the others are counted as lost.
        """

        def remove() -> set[int]:
            found: set[int] = set()
            with self._db.transaction():
                for number in numbers:
                    found |= self._remove("number = ?", number)
            return found

        found = self._db.freeing(remove)
        if not self._db.ask("SELECT 1 FROM events LIMIT 1"):
            self._db.shrink()
        return found

    def expire(self) -> None:
        """Let go of what is too old; `losses` tells how much it was."""
        oldest = self._clock() - self._max_age

        def remove() -> None:
            where = "at < ? AND whole = 1 ORDER BY at LIMIT 100"
            with self._db.transaction():
                self._remove(where, oldest, reason=Reason.SPOOL_EXPIRED)

        while self._db.ask("SELECT 1 FROM events WHERE at < ? AND whole = 1 LIMIT 1", oldest):
            self._db.freeing(remove)

    def count(self, key: Key) -> int:
        """How many crops wait."""
        where = "stream = ? AND sink = ? AND whole = 1 AND crop = 1"
        return int(self._db.ask(f"SELECT count(*) FROM events WHERE {where}", *key)[0][0])  # noqa: S608  # a constant

    def owed(self, key: Key) -> int:
        """How many crops wait, or were let go of and not yet told of by `losses`."""
        lost = self._db.ask("SELECT count FROM lost WHERE stream = ? AND sink = ?", *key)
        return self.count(key) + sum(int(count) for (count,) in lost)

    def losses(self, key: Key) -> Counter[Reason]:
        """The crops that were let go of since the last call, in an earlier run too; told once."""
        where = "FROM lost WHERE stream = ? AND sink = ?"
        if not self._db.ask(f"SELECT 1 {where}", *key):
            return Counter()
        with self._db.transaction():
            rows = self._db.ask(f"SELECT reason, count {where}", *key)
            self._db.ask(f"DELETE {where}", *key)
        return Counter({Reason(reason): count for reason, count in rows})

    def _put_some(self, rows: Sequence[tuple[Key, bool, bytes]]) -> list[bool]:
        """Put as many as go into one transaction."""
        kept: list[bool] = []
        nbytes = 0
        try:
            with self._db.transaction():
                for key, crop, data in rows:
                    nbytes += len(data)
                    if kept and nbytes > TRANSACTION_BYTES:
                        break
                    kept.append(self._make_room(len(data)))
                    if kept[-1]:
                        number = self._insert(key, crop=crop, whole=True)
                        self._insert_part(number, 0, data)
        except FullError:
            return [False] * max(len(kept), 1)
        return kept

    def _put_parts(self, key: Key, crop: bool, data: bytes) -> bool:  # noqa: FBT001  # as in a row
        """Put what is larger than a transaction may be."""
        with self._db.transaction():
            if not self._make_room(len(data)):
                return False
            number = self._insert(key, crop=crop, whole=False)
        parts = [data[at : at + TRANSACTION_BYTES] for at in range(0, len(data), TRANSACTION_BYTES)]
        try:
            for at, part in enumerate(parts, 1):
                with self._db.transaction():
                    self._insert_part(number, at - 1, part)
                    if at == len(parts):
                        self._db.ask("UPDATE events SET whole = 1 WHERE number = ?", number)
        except SinkError as error:
            with suppress(SinkError), self._db.transaction():
                self._remove("number = ?", number)
            if isinstance(error, FullError):
                return False
            raise
        return True

    def _read(self, number: int) -> Event | None:
        """An event; None if nobody can read it: it is removed."""
        parts = "SELECT data FROM parts WHERE place >= ? AND place < ? ORDER BY place"
        data = b"".join(part for (part,) in self._db.ask(parts, *_places(number)))
        try:
            event = _decoder.decode(data)
        except msgspec.DecodeError:
            # Of another version, or a bit has rotted: nobody could ever deliver it.
            with self._db.transaction():
                self._remove("number = ?", number, reason=Reason.FAILED)
            return None
        said = {**event.attributes, "spooled": "true"} if event.attributes else {}
        return replace(event, attributes=said)

    def _insert(self, key: Key, *, crop: bool, whole: bool) -> int:
        row = (*key, self._clock(), crop, whole)
        insert = "INSERT INTO events (stream, sink, at, crop, whole) VALUES (?, ?, ?, ?, ?)"
        return int(self._db.ask(f"{insert} RETURNING number", *row)[0][0])

    def _insert_part(self, number: int, part: int, data: bytes) -> None:
        self._db.ask("INSERT INTO parts VALUES (?, ?)", (number << _PARTS_BITS) + part, data)

    def _make_room(self, nbytes: int) -> bool:
        """True if there is room, perhaps at the cost of the oldest."""
        while not (fits := self._db.fits(nbytes)):
            if fits is None or self._order == "oldest":
                return False
            if not self._remove("whole = 1 ORDER BY number LIMIT 1", reason=Reason.SPOOL_FULL):
                return False
        return True

    def _remove(self, where: str, *values: object, reason: Reason | None = None) -> set[int]:
        """Remove events, and count the crops among them as lost if there is a reason."""
        rows = self._db.ask(f"SELECT number, stream, sink, crop FROM events WHERE {where}", *values)  # noqa: S608  # a constant
        for number, stream, sink, crop in rows:
            self._db.ask("DELETE FROM parts WHERE place >= ? AND place < ?", *_places(number))
            self._db.ask("DELETE FROM events WHERE number = ?", number)
            if reason and crop:
                count = "INSERT INTO lost VALUES (?, ?, ?, 1)"
                again = "ON CONFLICT DO UPDATE SET count = count + 1"
                self._db.ask(f"{count} {again}", stream, sink, str(reason))
        return {number for number, *_ in rows}


def _places(number: int) -> tuple[int, int]:
    return number << _PARTS_BITS, (number + 1) << _PARTS_BITS
