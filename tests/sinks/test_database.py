"""An SQLite file whose size, and whose log's, are bounded."""

import errno
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from streamcrop.errors import SinkError
from streamcrop.sinks import database
from streamcrop.sinks.database import TRANSACTION_BYTES, Database, FullError

MIB = 1 << 20
TABLES = ["CREATE TABLE t (x)", "CREATE TABLE u (y)"]


def make(path: Path, max_bytes: int = 32 * MIB, form: int = 7) -> Database:
    """A database with two tables."""
    return Database(path, max_bytes=max_bytes, form=form, tables=TABLES)


def blob(size: int = MIB) -> bytes:
    """Bytes that are stored as they are."""
    return bytes(size)


def test_it_is_made_with_its_folder_and_for_our_eyes(tmp_path: Path) -> None:
    """Crops show people: nobody else of the machine reads them."""
    path = tmp_path / "deep/er/spool.db"
    make(path).close()
    assert path.stat().st_mode & 0o777 == 0o600
    made = make(path)
    assert made.ask("SELECT x FROM t") == []
    made.close()


def test_a_transaction_that_fails_changes_nothing(tmp_path: Path) -> None:
    """Whatever fails in it, SQLite or we."""
    made = make(tmp_path / "db")

    def insert(*tables: str) -> None:
        with made.transaction():
            for table in tables:
                made.ask(f"INSERT INTO {table} VALUES (1)")  # noqa: S608  # a table's name
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        insert("t")
    with pytest.raises(SinkError, match="no such table"):
        insert("t", "v")
    assert made.ask("SELECT x FROM t") == []
    with made.transaction():
        made.ask("INSERT INTO t VALUES (4)")
    assert made.ask("SELECT x FROM t") == [(4,)]
    made.close()


def test_what_is_another_file_is_left_alone(tmp_path: Path) -> None:
    """No database, another program's, another version's: refused, and not a byte changed."""
    text, foreign, later = tmp_path / "text", tmp_path / "foreign", tmp_path / "later"
    text.write_bytes(b"no database\n" * 1000)
    with sqlite3.connect(foreign) as other:
        other.execute("CREATE TABLE t (x)")
    other.close()
    make(later, form=8).close()
    for path, why in (
        (text, "not a database"),
        (foreign, "another program"),
        (later, "another program"),
    ):
        before = path.read_bytes()
        with pytest.raises(SinkError, match=f"{path.name}: .*{why}"):
            make(path)
        assert path.read_bytes() == before


def test_a_place_that_cannot_be_used(tmp_path: Path) -> None:
    """A folder in the file's place, a file in the folder's: an error with the path."""
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path, tmp_path / "file/db"):
        with pytest.raises(SinkError, match=f"{path}: cannot be used: "):
            make(path)


def test_it_grows_to_its_bound_and_no_further(tmp_path: Path) -> None:
    """`fits` says beforehand what the file then takes; the file itself refuses more."""
    made = make(tmp_path / "db", max_bytes=4 * MIB)
    rows = 0
    while made.fits(MIB // 8):
        with made.transaction():
            made.ask("INSERT INTO t VALUES (?)", blob(MIB // 8))
        rows += 1
    assert 28 <= rows <= 32
    with pytest.raises(FullError), made.transaction():
        made.ask("INSERT INTO t VALUES (?)", blob())
    assert made.ask("SELECT count(*) FROM t") == [(rows,)]
    made.close()
    assert (tmp_path / "db").stat().st_size <= 4 * MIB


def test_what_would_never_fit(tmp_path: Path) -> None:
    """It is no reason to give up what is there."""
    made = make(tmp_path / "db", max_bytes=4 * MIB)
    assert made.fits(3 * MIB) is True
    assert made.fits(4 * MIB) is None
    made.close()


def test_its_log_stays_small(tmp_path: Path) -> None:
    """However much is written."""
    path = tmp_path / "db"
    made = make(path, max_bytes=256 * MIB)
    longest = 0
    for _ in range(6):
        with made.transaction():
            made.ask("INSERT INTO t VALUES (?)", blob(TRANSACTION_BYTES))
        longest = max(longest, path.with_name("db-wal").stat().st_size)
    with made.transaction():
        made.ask("DELETE FROM t")
    made.shrink()
    longest = max(longest, path.with_name("db-wal").stat().st_size)
    assert TRANSACTION_BYTES < longest < 16 * MIB
    made.close()
    assert path.stat().st_size < 5 * MIB
    assert not path.with_name("db-wal").exists()


def test_a_log_that_somebody_keeps_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader who does not end keeps the log from being emptied: then nothing is added to it."""
    monkeypatch.setattr(database, "_BUSY", 0.05)
    path = tmp_path / "db"
    made = make(path, max_bytes=256 * MIB)
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM t").fetchall()

    def fill() -> None:
        for _ in range(16):
            with made.transaction():
                made.ask("INSERT INTO t VALUES (?)", blob(TRANSACTION_BYTES))

    with pytest.raises(SinkError, match=r"its log cannot be emptied|locked"):
        fill()
    assert path.with_name("db-wal").stat().st_size < 16 * MIB
    reader.close()
    fill()
    made.close()


PARTNER = """
import sys
from pathlib import Path
from streamcrop.sinks.database import Database
db = Database(Path(sys.argv[1]), max_bytes=1 << 24, form=7, tables=sys.argv[2:])
for _ in range(5):
    with db.transaction():
        db.ask("INSERT INTO t VALUES (1)")
db.close()
"""


def test_processes_that_begin_together_share_it(tmp_path: Path) -> None:
    """Whoever makes the tables, all of them can write."""
    path = tmp_path / "db"
    running = [subprocess.Popen([sys.executable, "-c", PARTNER, path, *TABLES]) for _ in range(4)]
    assert [process.wait() for process in running] == [0] * 4
    made = make(path)
    assert made.ask("SELECT count(*) FROM t") == [(20,)]
    made.close()


def test_ballast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds room on the disk, or it is not there; lost once, it may come back."""
    made = make(tmp_path / "db")
    ballast = tmp_path / "db-ballast"

    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        assert not made.is_ballasted()
        assert not ballast.exists()
    assert made.is_ballasted()
    assert ballast.stat().st_blocks * 512 >= 9 * MIB
    tries = []

    def remove() -> str:
        tries.append(ballast.exists())
        if len(tries) == 1:
            raise FullError("no room")
        return "removed"

    assert made.freeing(remove) == "removed"
    assert tries == [True, False]
    with pytest.raises(FullError):
        made.freeing(lambda: made.ask("INSERT INTO t VALUES (?)", blob(64 * MIB)))
    assert made.is_ballasted()
    made.close()
    small = make(tmp_path / "small", max_bytes=MIB)
    assert small.is_ballasted()
    assert (tmp_path / "small-ballast").stat().st_size == MIB
    small.close()
