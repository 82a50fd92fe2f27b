"""What could not be delivered, kept until it can be: order, bounds, a process that is killed."""

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from streamcrop.core.values import Reason
from streamcrop.errors import SinkError
from streamcrop.formats.events import Event
from streamcrop.sinks import spool as module
from streamcrop.sinks.database import TRANSACTION_BYTES, Database
from streamcrop.sinks.spool import Kept, Key, Spool

MIB = 1 << 20
GATE, YARD = Key("gate", "mqtt"), Key("yard", "mqtt")


def crop(name: object, size: int = 10) -> Event:
    """A crop's event."""
    said = {"id": f"gate/{name}/a", "specversion": "1.0"}
    return Event(
        "crops", bytes(size), "image/jpeg", said, b"{}", is_crop=True, name=(str(name), "a")
    )


class Kit:
    """A spool in a folder, and its time."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "spool.db"
        self.now = 1000.0

    def open(self, max_bytes: int = 16 * MIB, max_age: float = 60, order: str = "oldest") -> Spool:
        return Spool(
            self.path, max_bytes=max_bytes, max_age=max_age, order=order, clock=lambda: self.now
        )


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    """A spool in a folder of its own."""
    return Kit(tmp_path)


def first_of(spool: Spool, key: Key, besides: Collection[int] = ()) -> Kept | None:
    """The event that is to leave first."""
    return next(iter(spool.some(key, besides)), None)


def drained(spool: Spool, key: Key = GATE) -> Iterator[str]:
    """The frames' names in the order in which they leave."""
    while kept := first_of(spool, key):
        yield kept.event.name[0]
        assert spool.remove([kept.number]) == {kept.number}


@pytest.mark.parametrize(("order", "expected"), [("oldest", "12345"), ("newest", "54321")])
def test_the_order(kit: Kit, order: str, expected: str) -> None:
    """As it is stated, over processes too."""
    spool = kit.open(order=order)
    assert spool.put([(GATE, crop(n)) for n in (1, 2, 3)]) == [True] * 3
    spool.close()
    spool = kit.open(order=order)
    spool.put([(GATE, crop(4))])
    spool.put([(GATE, crop(5))])
    assert "".join(drained(spool)) == expected
    spool.close()


def test_an_event_comes_back_as_it_was(kit: Kit) -> None:
    """All of it, and its attributes say that it was spooled; what is no CloudEvent has none."""
    spool = kit.open()
    event = crop("ä", 5000)
    plain = Event("t", b'{"frame_id":"1"}', "application/json", {})
    spool.put([(GATE, event), (GATE, plain)])
    first = first_of(spool, GATE)
    assert first
    assert first.event.attributes == {**event.attributes, "spooled": "true"}
    assert (first.event.topic, first.event.data, first.event.metadata) == (
        "crops",
        event.data,
        b"{}",
    )
    assert (first.event.name, first.event.is_crop) == (("ä", "a"), True)
    second = first_of(spool, GATE, {first.number})
    assert second
    assert second.event == plain
    assert first_of(spool, GATE, {first.number, second.number}) is None
    spool.close()


def test_each_has_its_own(kit: Kit) -> None:
    """Streams and sinks share the file, and nothing in it; only crops are counted."""
    spool = kit.open()
    web = Key("gate", "webhook")
    plain = Event("t", b"{}", "application/json", {})
    spool.put([(GATE, crop(1)), (YARD, crop(2)), (web, crop(3)), (GATE, plain)])
    assert [spool.count(key) for key in (GATE, YARD, web)] == [1, 1, 1]
    assert list(drained(spool, YARD)) == ["2"]
    assert list(drained(spool, GATE)) == ["1", ""]
    assert [spool.count(key) for key in (GATE, YARD, web)] == [0, 0, 1]
    spool.close()


def test_what_is_too_old(kit: Kit) -> None:
    """It is let go of, counted for its stream, and told once, perhaps to the next run."""
    spool = kit.open(max_age=60)
    spool.put([(GATE, crop(n)) for n in range(250)])
    spool.put([(YARD, crop("yard")), (GATE, Event("t", b"{}", "application/json", {}))])
    kit.now += 61
    spool.put([(GATE, crop("young"))])
    spool.expire()
    spool.close()
    spool = kit.open()
    assert spool.losses(GATE) == {Reason.SPOOL_EXPIRED: 250}
    assert spool.losses(GATE) == Counter()
    assert spool.losses(YARD) == {Reason.SPOOL_EXPIRED: 1}
    assert list(drained(spool)) == ["young"]
    spool.close()


def test_a_full_spool_takes_no_more(kit: Kit) -> None:
    """With ``oldest``: who comes later is told so, and what is there stays."""
    spool = kit.open(max_bytes=2 * MIB, order="oldest")
    kept = spool.put([(GATE, crop(n, MIB // 4)) for n in range(12)])
    count = kept.index(False)
    assert 6 <= count <= 7
    assert kept == [True] * count + [False] * (12 - count)
    assert spool.losses(GATE) == Counter()
    assert spool.put([(GATE, crop("small", 1000))]) == [True]
    kept_now = first_of(spool, GATE)
    assert kept_now
    spool.remove([kept_now.number])
    assert spool.put([(GATE, crop("again", MIB // 4))]) == [True]
    assert list(drained(spool)) == [*map(str, range(1, count)), "small", "again"]
    spool.close()
    assert kit.path.stat().st_size <= 2 * MIB


def test_a_full_spool_gives_up_its_oldest(kit: Kit) -> None:
    """With ``newest``, of whichever stream; each is counted for its own."""
    spool = kit.open(max_bytes=2 * MIB, order="newest")
    spool.put([(YARD, crop("yard", MIB // 4))])
    assert spool.put([(GATE, crop(n, MIB // 4)) for n in range(12)]) == [True] * 12
    assert spool.losses(YARD) == {Reason.SPOOL_FULL: 1}
    lost = spool.losses(GATE)[Reason.SPOOL_FULL]
    assert list(drained(spool)) == [str(n) for n in range(11, lost - 1, -1)]
    assert 5 <= lost <= 6
    spool.close()
    assert kit.path.stat().st_size <= 2 * MIB


@pytest.mark.parametrize("order", ["oldest", "newest"])
def test_what_can_never_fit_costs_nothing_else(kit: Kit, order: str) -> None:
    """It is refused, and nothing is given up for it."""
    spool = kit.open(max_bytes=2 * MIB, order=order)
    assert spool.put([(GATE, crop(1)), (GATE, crop(2, 3 * MIB)), (GATE, crop(3))]) == [
        True,
        False,
        True,
    ]
    assert spool.put([(GATE, crop(4, 9 * MIB))]) == [False]
    assert spool.count(GATE) == 2
    spool.close()


def test_a_bound_that_was_lowered(kit: Kit) -> None:
    """The next run gives up what is beyond it; the file shrinks once all is delivered."""
    spool = kit.open(max_bytes=32 * MIB, order="newest")
    spool.put([(GATE, crop(n, MIB)) for n in range(16)])
    spool.close()
    assert kit.path.stat().st_size > 16 * MIB
    spool = kit.open(max_bytes=8 * MIB, order="newest")
    assert spool.losses(GATE)[Reason.SPOOL_FULL] + spool.count(GATE) == 16
    assert 6 <= spool.count(GATE) <= 7
    assert next(drained(spool)) == "15"
    spool.put([(GATE, crop(n, MIB)) for n in range(16, 32)])
    assert 6 <= spool.count(GATE) <= 7
    assert [*drained(spool)][:1] == ["31"]
    spool.close()
    assert kit.path.stat().st_size < MIB


def test_what_is_empty_gives_its_room_back(kit: Kit) -> None:
    """The file of an outage does not stay."""
    spool = kit.open(max_bytes=32 * MIB)
    spool.put([(GATE, crop(n, MIB)) for n in range(16)])
    assert len(list(drained(spool))) == 16
    spool.close()
    assert kit.path.stat().st_size < 5 * MIB


def test_an_event_larger_than_a_transaction(kit: Kit) -> None:
    """It is written in parts, its log stays small, and it comes back whole."""
    spool = kit.open(max_bytes=64 * MIB)
    large = Event(
        "t", random.Random(1).randbytes(17 * MIB), "image/png", {"id": "x"}, b"{}", is_crop=True
    )
    assert spool.put([(GATE, crop(1)), (GATE, large), (GATE, crop(2))]) == [True] * 3
    assert kit.path.with_name("spool.db-wal").stat().st_size < 16 * MIB
    spool.close()
    spool = kit.open(max_bytes=64 * MIB)
    first = first_of(spool, GATE)
    assert first
    second = first_of(spool, GATE, {first.number})
    assert second
    assert second.event.data == large.data
    assert len(list(drained(spool))) == 3
    spool.close()


def test_a_large_event_whose_writer_was_killed(kit: Kit) -> None:
    """Its parts are no event; they go, once nobody can be writing them any more."""
    spool = kit.open(max_bytes=64 * MIB)
    large = crop("large", 3 * TRANSACTION_BYTES)
    inserted: list[int] = []
    insert = spool._insert_part

    def killed(number: int, part: int, data: bytes) -> None:
        if len(inserted) == 2:
            raise KeyboardInterrupt
        inserted.append(number)
        insert(number, part, data)

    spool._insert_part = killed  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        spool.put([(GATE, large)])
    assert (first_of(spool, GATE), spool.count(GATE)) == (None, 0)
    kit.now += 59
    kit.open().close()
    assert spool._db.ask("SELECT count(*) FROM parts") == [(2,)]
    kit.now += 2
    kit.open().close()
    assert spool._db.ask("SELECT count(*) FROM parts") == [(0,)]
    spool.close()


def test_an_event_that_nobody_can_read(kit: Kit) -> None:
    """It is counted, and bars no other's way."""
    spool = kit.open()
    spool.put([(GATE, crop(n)) for n in (1, 2)])
    spool._db.ask("UPDATE parts SET data = x'00' WHERE place = ?", 1 << module._PARTS_BITS)
    assert list(drained(spool)) == ["2"]
    assert spool.losses(GATE) == {Reason.FAILED: 1}
    spool.close()


def test_what_was_lost_meanwhile_is_not_removed_again(kit: Kit) -> None:
    """What is given up while it is delivered ends once."""
    spool = kit.open(max_bytes=2 * MIB, order="newest")
    spool.put([(GATE, crop("first", MIB))])
    on_its_way = first_of(spool, GATE)
    assert on_its_way
    spool.put([(GATE, crop("second", MIB))])
    assert spool.losses(GATE) == {Reason.SPOOL_FULL: 1}
    assert spool.remove([on_its_way.number]) == set()
    spool.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 24 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", folder],
        check=False,
        capture_output=True,
    )
    if made.returncode:
        pytest.skip("only root may mount a disk that can be filled")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.parametrize("order", ["oldest", "newest"])
def test_a_full_disk(small_disk: Path, order: str) -> None:
    """Nothing more is kept, what is there can be delivered and removed, and then it goes on."""
    kit = Kit(small_disk)
    spool = kit.open(max_bytes=64 * MIB, order=order)
    kept = spool.put([(GATE, crop(n, 100_000)) for n in range(20)])
    (small_disk / "filler").write_bytes(bytes(10 * MIB))
    kept += [kept for n in range(20, 80) for kept in spool.put([(GATE, crop(n, 100_000))])]
    assert False in kept
    assert spool.count(GATE) == sum(kept) > 20
    expected = [str(n) for n, is_kept in enumerate(kept) if is_kept]
    assert sorted(drained(spool), key=int) == expected
    assert spool.losses(GATE) == Counter()
    (small_disk / "filler").unlink()
    assert spool.put([(GATE, crop("again"))]) == [True]
    spool.close()


def test_a_disk_without_room_for_ballast(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is kept that could not be removed."""
    spool = kit.open()
    monkeypatch.setattr(Database, "is_ballasted", lambda _: False)
    assert spool.put([(GATE, crop(1)), (GATE, crop(2))]) == [False, False]
    assert spool.count(GATE) == 0
    spool.close()


def test_a_file_that_is_none(kit: Kit) -> None:
    """It is refused by its name."""
    kit.path.write_bytes(b"picture" * 1000)
    with pytest.raises(SinkError, match=r"spool\.db: cannot be used: "):
        kit.open()


# Puts events of all sizes and says of each batch that it is kept; removes some, and says so too.
WRITER = """
import random, sys
from streamcrop.formats.events import Event
from streamcrop.sinks.spool import Key, Spool
spool = Spool(sys.argv[1], max_bytes=1 << 28, max_age=1e6, order="oldest")
chance, first = random.Random(int(sys.argv[2])), int(sys.argv[2]) * 1000000
key = Key("gate", "mqtt")
for batch in range(first, first + 1000000, 10):
    sizes = [chance.choice((100, 20000, 200000)) for _ in range(chance.randint(1, 9))]
    if chance.random() < 0.1:
        sizes.append(9 << 20)
    names = [str(batch + n) for n in range(len(sizes))]
    events = [Event("t", name.encode() * (size // len(name)), "image/jpeg", {"id": name}, b"",
                    is_crop=True, name=(name, "a")) for name, size in zip(names, sizes)]
    print("begun", *names, flush=True)
    assert all(spool.put([(key, event) for event in events]))
    print("kept", *names, flush=True)
    while spool.count(key) > 40:
        [kept] = spool.some(key)
        print("removing", kept.event.name[0], flush=True)
        spool.remove([kept.number])
        print("removed", kept.event.name[0], flush=True)
"""


def test_killed_in_the_middle(kit: Kit) -> None:
    """Whenever it is killed: what was kept is there, whole and once; what was removed is not."""
    chance = random.Random(time.time_ns())
    begun: set[str] = set()
    kept: set[str] = set()
    doubtful: set[str] = set()
    for run in range(8):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, kit.path, str(run)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout
        lines = [process.stdout.readline()]
        time.sleep(chance.uniform(0.01, 0.6))
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.read().splitlines()
        process.wait()
        process.stdout.close()
        for word, *names in map(str.split, lines):
            if word == "begun":
                begun |= set(names)
            elif word == "kept":
                kept |= set(names)
            elif word == "removing":
                doubtful |= set(names)
            elif word == "removed":
                kept -= set(names)
                doubtful -= set(names)
                begun -= set(names)
    spool = Spool(kit.path, max_bytes=1 << 28, max_age=1e6, order="oldest")
    found = []
    while event := first_of(spool, GATE):
        name = event.event.name[0]
        size = len(event.event.data)
        assert event.event.data == name.encode() * (size // len(name))
        found.append(name)
        spool.remove([event.number])
    assert kept
    assert len(set(found)) == len(found)
    assert kept - doubtful <= set(found) <= begun
    assert spool.losses(GATE) == Counter()
    spool.close()
