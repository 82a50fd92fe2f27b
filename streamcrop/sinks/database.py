"""An SQLite file whose size, and whose log's, are bounded: what `streamcrop.sinks.spool` stands on.

What is committed is synchronous. The log (WAL) moves into the database from 4 MiB on, and nothing
is added while it has more than 10 MiB; a transaction that writes at most 4 MiB keeps it below 16.

On a full disk SQLite can remove nothing either, for that needs room in the log. So a file beside
it, the ballast, holds room that is given back then: `freeing`.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from streamcrop.errors import SinkError

T = TypeVar("T")

TRANSACTION_BYTES = 4 << 20
_PAGE = 4096
# What a page holds of a blob that does not fit into one, and pages for rows, indexes and lists.
_PAGE_ROOM, _PAGES_BESIDE = _PAGE - 4, 8
_PAGES_AT_ONCE, _LARGE_PAGES = 1000, 1000
_LOG_BYTES = 10 << 20
# As much as the log holds when the disk is full, and the database then has to take.
_BALLAST_BYTES = 9 << 20
# How long another process that shares the file is waited for.
_BUSY = 10.0


class FullError(SinkError):
    """There is no room, in the file's bound or on the disk."""


class Database:
    """The file.

    Args:
        path: Is made where it is missing, its folder too, for our eyes alone.
        max_bytes: What it may have on disk, without its log.
        form: A number that names its tables; a file with another one is left alone.
        tables: The statements that make them.

    Raises:
        SinkError: Here and in each method, if the file cannot be used; nothing has changed then.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     tables = ["CREATE TABLE t (x)"]
        ...     database = Database(Path(folder, "db"), max_bytes=1 << 20, form=1, tables=tables)
        ...     with database.transaction():
        ...         _ = database.ask("INSERT INTO t VALUES (?)", 7)
        ...     print(database.ask("SELECT x FROM t"))
        ...     database.close()
        [(7,)]
    """

    def __init__(self, path: Path, *, max_bytes: int, form: int, tables: Sequence[str]) -> None:
        self._path = path
        self._log = path.with_name(path.name + "-wal")
        self._ballast = path.with_name(path.name + "-ballast")
        self._ballast_bytes = min(_BALLAST_BYTES, max_bytes)
        self._is_ballasted = False
        self._max_pages = max_bytes // _PAGE
        with self._said():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(0o600)
            # One thread at a time uses it, and not always the same one.
            self._connection = sqlite3.connect(
                path, timeout=_BUSY, isolation_level=None, check_same_thread=False
            )
        try:
            self._open(form, tables)
        except BaseException:
            self._connection.close()
            raise

    def _open(self, form: int, tables: Sequence[str]) -> None:
        if self.ask("SELECT 1 FROM sqlite_master") and self._value("application_id") != form:
            raise SinkError(f"{self._path}: is of another program or version: move it away")
        for pragma in (
            f"page_size = {_PAGE}",
            "journal_mode = wal",
            "synchronous = full",
            f"wal_autocheckpoint = {_PAGES_AT_ONCE}",
            f"journal_size_limit = {TRANSACTION_BYTES}",
            f"max_page_count = {self._max_pages}",
        ):
            self.ask(f"PRAGMA {pragma}")
        with self.transaction():
            if self._value("application_id") != form:
                for statement in (*tables, f"PRAGMA application_id = {form}"):
                    self.ask(statement)

    def close(self) -> None:
        """Empty the log into the database, and let go of the file."""
        with self._said():
            self._connection.close()

    def ask(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Run a statement; alone, or in a transaction.

        Returns:
            All its rows: a query that is left open would keep the log from being emptied.
        """
        with self._said():
            return self._connection.execute(statement, values).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what the block changes; nothing of it if it fails."""
        self._bound_log()
        self.ask("BEGIN IMMEDIATE")
        try:
            yield
            self.ask("COMMIT")
        except BaseException:
            # Of some errors SQLite has rolled back itself.
            if self._connection.in_transaction:
                self.ask("ROLLBACK")
            raise

    def fits(self, nbytes: int) -> bool | None:
        """True if a blob of this size has room now; None if it would not in an empty file."""
        pages = -(-nbytes // _PAGE_ROOM) + _PAGES_BESIDE
        if pages > self._max_pages - _PAGES_BESIDE:
            return None
        return pages <= self._max_pages - self._value("page_count") + self._value("freelist_count")

    def is_ballasted(self) -> bool:
        """True if the ballast is there, perhaps again; without it nothing is to be added."""
        if not self._is_ballasted:
            try:
                file = os.open(self._ballast, os.O_WRONLY | os.O_CREAT, 0o600)
                try:
                    os.posix_fallocate(file, 0, self._ballast_bytes)
                finally:
                    os.close(file)
                self._is_ballasted = True
            except OSError:
                with suppress(OSError):
                    self._ballast.unlink()
        return self._is_ballasted

    def freeing(self, work: Callable[[], T]) -> T:
        """Do what makes room, also on a full disk: at the cost of the ballast."""
        try:
            return work()
        except FullError:
            self._lighten()
            return work()

    def _lighten(self) -> None:
        self._is_ballasted = False
        with self._said():
            self._ballast.unlink(missing_ok=True)
        self.ask("PRAGMA wal_checkpoint(TRUNCATE)")

    def shrink(self) -> None:
        """Give the disk back what an empty database does not need.

        One that is not empty would be copied: it keeps what it has, for what comes.
        """
        if self._value("page_count") > _LARGE_PAGES:
            # Another process may be using it: then it is its business.
            with suppress(SinkError):
                self.ask("VACUUM")
                self.ask("PRAGMA wal_checkpoint(TRUNCATE)")

    def _value(self, pragma: str) -> int:
        return int(self.ask(f"PRAGMA {pragma}")[0][0])

    def _bound_log(self) -> None:
        if self._log_bytes() <= _LOG_BYTES:
            return
        self.ask("PRAGMA wal_checkpoint(TRUNCATE)")
        if self._log_bytes() > _LOG_BYTES:
            raise SinkError(f"{self._path}: its log cannot be emptied: another program reads it")

    def _log_bytes(self) -> int:
        try:
            return self._log.stat().st_size
        except OSError:
            return 0

    @contextmanager
    def _said(self) -> Iterator[None]:
        """Say an error of the file's as our own."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            kind = SinkError
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
                kind = FullError
            raise kind(f"{self._path}: cannot be used: {error}") from None
