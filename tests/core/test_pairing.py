"""`streamcrop.core.pairing`: which frame a message speaks of, as a machine without a clock."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from streamcrop.core.constant import Verdict
from streamcrop.core.guard import OPEN, Guard
from streamcrop.core.pairing import Dropped, Exact, Nearest, Paired, Pairer
from streamcrop.core.values import Note, Reason


@dataclass(frozen=True, slots=True)
class Thing:
    """A frame or a message."""

    key: Any
    nbytes: int = 1
    name: str = ""


class Fickle(Guard):
    """Forgets at each frame without a key; judges as it is told, held pairs longer ago than 2 s."""

    longest = 2.0
    note = Note("clock", "why")

    def __init__(self) -> None:
        self.verdict = self.later = Verdict.PAIR
        self.seen: list[Any] = []

    def frame(self, item: Any, *_: Any) -> bool:
        self.seen.append(item)
        return item.key is None

    def message(self, item: Any, *_: Any) -> None:
        self.seen.append(item)

    def judge(self, *_: Any) -> Verdict:
        return self.verdict

    def again(self, *times: Any) -> Verdict:
        assert times[-2] <= times[-1]
        return self.later


Events = list[Paired[Thing, Thing] | Dropped[Thing, Thing]]


def make(
    match: Exact | Nearest = Exact(),  # noqa: B008  # frozen
    *,
    max_wait: float = 1.0,
    max_items: int = 8,
    max_bytes: int = 1000,
    lossless: bool = False,
    guard: Guard = OPEN,
    **remember: Any,
) -> Pairer[Thing, Thing]:
    """A pairer with room and time."""
    return Pairer(match, max_wait, max_items, max_bytes, lossless=lossless, guard=guard, **remember)


def told(events: Events) -> list[tuple[Any, ...]]:
    """Events in short: ``(frame, message)`` of a pair, ``(side, item, reason)`` of a loss."""
    return [
        (event.frame.key, event.detections.key)
        if isinstance(event, Paired)
        else (event.side, event.item.key, event.reason.value)
        for event in events
    ]


# --- the three properties ------------------------------------------------------------------------

STEPS = [0.0, 0.1, 0.25, 0.5, 1.0, 1.1, 3.0]
# Sums of some of these are not what decimal arithmetic says.
TIMES = [0.0, 0.1, 0.2, 0.3, 0.1 + 0.2, 0.4, 0.5, 0.7, 1.0, 1.5, 2.0]


class Machine(RuleBasedStateMachine):
    """Frames and messages with colliding keys in any order, while time goes by."""

    @initialize(
        tolerance=st.none() | st.sampled_from([0.0, 0.1, 0.2, 0.25, 1.0]),
        max_wait=st.sampled_from([0.1, 0.5, 1.0]),
        max_items=st.integers(1, 4),
        max_bytes=st.integers(1, 12),
        lossless=st.booleans(),
    )
    def start(
        self,
        *,
        tolerance: float | None,
        max_wait: float,
        max_items: int,
        max_bytes: int,
        lossless: bool,
    ) -> None:
        self.tolerance, self.lossless = tolerance, lossless
        self.max_items, self.max_bytes = max_items, max_bytes
        match = Exact() if tolerance is None else Nearest(tolerance)
        self.guard = Fickle()
        self.pairer = make(
            match,
            max_wait=max_wait,
            max_items=max_items,
            max_bytes=max_bytes,
            lossless=lossless,
            guard=self.guard,
        )
        # Messages refused or held, by their key: no other one of it may be a duplicate for that.
        self.doubted: set[float] = set()
        self.paired: set[float] = set()
        self.now = 100.0
        self.inside: dict[str, dict[str, Thing]] = {"frames": {}, "messages": {}}
        self.count = 0

    def put(self, side: str, key: float, nbytes: int) -> Thing:
        """A new item, which is inside from now on."""
        self.count += 1
        thing = Thing(key, nbytes, f"{side} {self.count}")
        self.inside[side][thing.name] = thing
        return thing

    def call(self, method: Callable[..., Events], *args: Thing) -> Events:
        """What comes out was inside, and is so no longer; what stays is not due."""
        events = method(*args, self.now)
        for event in events:
            if isinstance(event, Paired):
                frame, message = event.frame, event.detections
                self.paired.add(frame.key)
                assert self.inside["frames"].pop(frame.name) is frame
                assert self.inside["messages"].pop(message.name) is message
                if self.tolerance is None:
                    assert frame.key == message.key
                    assert event.residual == 0
                else:
                    assert event.residual == message.key - frame.key
                    assert abs(event.residual) <= self.tolerance + 1e-9
            else:
                assert self.inside[event.side].pop(event.item.name) is event.item
        deadline = self.pairer.deadline
        assert deadline is None or deadline > self.now
        assert not (self.pairer.held and self.guard.later != Verdict.WAIT)
        assert (deadline is None) == (self.inside == {"frames": {}, "messages": {}})
        return events

    @rule(key=st.sampled_from(TIMES), nbytes=st.integers(0, 5) | st.just(13))
    def frame(self, key: float, nbytes: int) -> None:
        frame = self.put("frames", key, nbytes)
        room = self.pairer.has_room(frame)
        events = self.call(self.pairer.add_frame, frame)
        if room and self.lossless:
            full = [event for event in told(events) if event[-1] == "pairing_full"]
            assert all(event == ("frames", key, "pairing_full") for event in full)
            assert not full or nbytes > self.max_bytes

    @rule(key=st.sampled_from(TIMES), nbytes=st.integers(0, 5) | st.just(13))
    def message(self, key: float, nbytes: int) -> None:
        message = self.put("messages", key, nbytes)
        others = [thing for thing in self.inside["messages"].values() if thing is not message]
        for event in self.call(self.pairer.add_detections, message):
            if isinstance(event, Dropped) and event.reason == "duplicate":
                # A pair that was refused is never the reason for it.
                reach = self.tolerance or 0
                keys = self.paired | {other.key for other in others}
                assert any(abs(key - other) <= reach + 1e-9 for other in keys)

    @rule(verdict=st.sampled_from(Verdict), later=st.sampled_from(Verdict))
    def doubt(self, verdict: Verdict, later: Verdict) -> None:
        self.guard.verdict, self.guard.later = verdict, later
        self.call(self.pairer.expire)

    @rule(step=st.sampled_from(STEPS))
    def wait(self, step: float) -> None:
        self.now += step

    @rule()
    def expire(self) -> None:
        self.call(self.pairer.expire)
        assert self.pairer.expire(self.now) == []

    @precondition(lambda self: self.pairer.deadline is not None)
    @rule()
    def expire_at_the_deadline(self) -> None:
        deadline = self.pairer.deadline
        assert deadline is not None
        self.now = max(self.now, deadline)
        before = sum(map(len, self.inside.values()))
        self.call(self.pairer.expire)
        # What was decided at the last moment may be held.
        fewer = sum(map(len, self.inside.values())) < before
        assert fewer or (self.pairer.deadline or 0) > deadline

    @rule()
    def forget(self) -> None:
        nameless = self.put("frames", None, 1)  # type: ignore[arg-type]  # it has no key
        for event in self.call(self.pairer.add_frame, nameless):
            assert isinstance(event, Paired) or event.reason in {"ambiguous", "expired", "no_key"}
        assert self.inside == {"frames": {}, "messages": {}}
        assert not self.pairer._finished
        assert self.pairer._index["frames"].latest is None
        self.paired.clear()

    @rule()
    def close(self) -> None:
        self.call(self.pairer.close)
        assert self.inside == {"frames": {}, "messages": {}}
        assert self.pairer.close(self.now) == []
        assert self.pairer.expire(self.now + 1000) == []
        assert self.pairer.deadline is None

    @invariant()
    def conservation(self) -> None:
        """What went in and did not come out waits."""
        held = [held.pair for held in self.pairer._held]
        assert self.pairer.held == len(held)
        for side, halves in (
            ("frames", [pair.frame for pair in held]),
            ("messages", [pair.detections for pair in held]),
        ):
            kept = {entry.item.name for entry in self.pairer._room.entries[side].values()}
            assert self.pairer.waiting(side) == len(kept)
            assert kept | {half.name for half in halves} == self.inside[side].keys()

    @invariant()
    def bounds(self) -> None:
        """What waits and what is remembered stays within the bounds."""
        for side in ("frames", "messages"):
            things = [entry.item for entry in self.pairer._room.entries[side].values()]
            nbytes = sum(thing.nbytes for thing in things)
            assert len(things) <= self.max_items
            assert nbytes <= self.max_bytes
            assert self.pairer._room.nbytes[side] == nbytes
        nbytes = sum(held.pair.frame.nbytes for held in self.pairer._held)
        assert self.pairer.held <= self.max_items
        assert nbytes <= self.max_bytes
        assert self.pairer._held.nbytes == nbytes
        assert len(self.pairer._finished) <= self.max_items
        frames, messages = (indexed(self.pairer, side) for side in ("frames", "messages"))
        assert frames == len(self.inside["frames"]) + len(self.pairer._finished)
        assert messages == self.pairer.waiting("messages")

    def teardown(self) -> None:
        if hasattr(self, "pairer"):
            self.close()


def indexed(pairer: Pairer[Thing, Thing], side: str) -> int:
    """How many entries an index holds."""
    entries: Any = pairer._index[side]._entries
    return sum(map(len, entries.values())) if isinstance(entries, dict) else len(entries)


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)


@given(
    st.lists(st.integers(-1000, 1000), min_size=1, max_size=8, unique=True),
    st.none() | st.integers(0, 9),
    st.booleans(),
    st.data(),
)
def test_order_does_not_matter(
    slots: list[int], tolerance: int | None, lossless: bool, data: st.DataObject
) -> None:
    """With distinct keys, no ties, room and time, any interleaving pairs everything."""
    frames = {slot: Thing(slot * (2 * (tolerance or 0) + 1)) for slot in slots}
    shift = st.integers(-(tolerance or 0), tolerance or 0)
    messages = {slot: Thing(frame.key + data.draw(shift)) for slot, frame in frames.items()}
    calls = [
        *(("add_frame", slot) for slot in slots),
        *(("add_detections", slot) for slot in slots),
    ]
    pairer = make(Exact() if tolerance is None else Nearest(tolerance), lossless=lossless)
    events: Events = []
    for at, (method, slot) in enumerate(data.draw(st.permutations(calls))):
        item = (frames if method == "add_frame" else messages)[slot]
        events += getattr(pairer, method)(item, at / 100)
    events += pairer.close(0.5)
    assert sorted(told(events)) == sorted((frames[s].key, messages[s].key) for s in slots)
    residuals = {event.frame.key: event.residual for event in events if isinstance(event, Paired)}
    assert residuals == {frames[s].key: messages[s].key - frames[s].key for s in slots}


# --- named cases ---------------------------------------------------------------------------------

Step = tuple[str, Any, float, list[tuple[Any, ...]]]

EXACT: dict[str, list[Step]] = {
    "nothing": [("expire", None, 0.0, []), ("close", None, 1.0, [])],
    "a frame, then its message": [
        ("frame", "a", 0.0, []),
        ("message", "a", 0.5, [("a", "a")]),
        ("close", None, 0.6, []),
    ],
    "a message, then its frame": [("message", "a", 0.0, []), ("frame", "a", 0.9, [("a", "a")])],
    "crosswise": [
        ("frame", "a", 0.0, []),
        ("message", "b", 0.0, []),
        ("message", "a", 0.1, [("a", "a")]),
        ("frame", "b", 0.1, [("b", "b")]),
    ],
    "a second message for a paired frame": [
        ("frame", "a", 0.0, []),
        ("message", "a", 0.1, [("a", "a")]),
        ("message", "a", 0.2, [("messages", "a", "duplicate")]),
    ],
    "a second message for none yet": [
        ("message", "a", 0.0, []),
        ("message", "a", 0.1, [("messages", "a", "duplicate")]),
        ("frame", "a", 0.2, [("a", "a")]),
    ],
    "a message for an expired frame": [
        ("frame", "a", 0.0, []),
        ("expire", None, 1.0, [("frames", "a", "expired")]),
        ("message", "a", 1.9, [("messages", "a", "late")]),
    ],
    "a message for a forgotten frame": [
        ("frame", "a", 0.0, []),
        ("expire", None, 1.0, [("frames", "a", "expired")]),
        ("message", "a", 2.0, []),
        ("expire", None, 3.0, [("messages", "a", "expired")]),
    ],
    "twins that wait": [
        ("frame", "a", 0.0, []),
        ("frame", "a", 0.1, [("frames", "a", "ambiguous")] * 2),
        ("message", "a", 0.2, [("messages", "a", "ambiguous")]),
        ("frame", "a", 0.3, [("frames", "a", "ambiguous")]),
    ],
    "a twin of a paired frame": [
        ("frame", "a", 0.0, []),
        ("message", "a", 0.1, [("a", "a")]),
        ("frame", "a", 0.2, [("frames", "a", "ambiguous")]),
    ],
    "a twin of an expired frame": [
        ("frame", "a", 0.0, []),
        ("frame", "a", 1.5, [("frames", "a", "expired"), ("frames", "a", "ambiguous")]),
    ],
    "a key that comes again after it was forgotten": [
        ("frame", "a", 0.0, []),
        ("message", "a", 0.1, [("a", "a")]),
        ("frame", "a", 1.1, []),
        ("message", "a", 1.2, [("a", "a")]),
    ],
    "expiry at the deadline and not before": [
        ("frame", "a", 0.0, []),
        ("message", "b", 0.25, []),
        ("expire", None, 0.999, []),
        ("expire", None, 1.0, [("frames", "a", "expired")]),
        ("expire", None, 1.249, []),
        ("expire", None, 1.25, [("messages", "b", "expired")]),
    ],
    "an arrival ends what is due": [
        ("frame", "a", 0.0, []),
        ("message", "a", 1.0, [("frames", "a", "expired"), ("messages", "a", "late")]),
    ],
    "expiry in the order of arrival": [
        ("message", "b", 0.0, []),
        ("frame", "a", 0.1, []),
        ("message", "c", 0.2, []),
        (
            "expire",
            None,
            9.0,
            [
                ("messages", "b", "expired"),
                ("frames", "a", "expired"),
                ("messages", "c", "expired"),
            ],
        ),
    ],
    "closed": [
        ("frame", "a", 0.0, []),
        ("message", "b", 0.1, []),
        ("close", None, 0.2, [("frames", "a", "closed"), ("messages", "b", "closed")]),
        ("close", None, 0.3, []),
    ],
    "closed too late": [
        ("frame", "a", 0.0, []),
        ("close", None, 1.0, [("frames", "a", "expired")]),
    ],
}

NEAREST: dict[str, list[Step]] = {
    "decided by a frame beyond time + tolerance": [
        ("frame", 100, 0.0, []),
        ("message", 104, 0.1, []),
        ("frame", 114, 0.2, []),  # not yet beyond
        ("frame", 115, 0.3, [(100, 104)]),
    ],
    "decided at once where a later frame was seen": [
        ("frame", 100, 0.0, []),
        ("frame", 200, 0.1, []),
        ("message", 95, 0.2, [(100, 95)]),
    ],
    "a later frame that came too early for its message": [
        ("frame", 200, 0.0, []),
        ("message", 104, 0.1, []),
        ("frame", 100, 0.2, [(100, 104)]),
    ],
    "decided when the frame expires": [
        ("frame", 100, 0.0, []),
        ("message", 103, 0.5, []),
        ("expire", None, 1.0, [(100, 103)]),
    ],
    "decided when the message expires": [
        ("message", 103, 0.0, []),
        ("frame", 100, 0.5, []),
        ("expire", None, 1.0, [(100, 103)]),
    ],
    "decided when all ends": [
        ("frame", 100, 0.0, []),
        ("message", 103, 0.5, []),
        ("close", None, 0.6, [(100, 103)]),
    ],
    "the nearer of two": [
        ("frame", 100, 0.0, []),
        ("message", 106, 0.1, []),
        ("frame", 109, 0.2, []),
        ("frame", 150, 0.3, [(109, 106)]),
        ("close", None, 0.4, [("frames", 100, "closed"), ("frames", 150, "closed")]),
    ],
    "a tie": [
        ("frame", 100, 0.0, []),
        ("frame", 110, 0.1, []),
        ("message", 105, 0.2, []),
        ("frame", 150, 0.3, [("messages", 105, "ambiguous")]),
    ],
    "a message of an expiring frame that has a nearer one": [
        ("frame", 100, 0.0, []),
        ("message", 106, 0.1, []),
        ("frame", 107, 0.2, []),
        ("expire", None, 1.0, [("frames", 100, "expired")]),
        ("expire", None, 1.1, [(107, 106)]),
    ],
    "at the tolerance": [
        ("frame", 100, 0.0, []),
        ("message", 110, 0.1, []),
        ("message", 90, 0.2, []),
        ("frame", 121, 0.3, [(100, 90), ("messages", 110, "duplicate")]),
    ],
    "beyond the tolerance": [
        ("frame", 100, 0.0, []),
        ("message", 111, 0.1, []),
        ("message", 89, 0.2, []),
        ("frame", 150, 0.3, []),
        ("message", 111, 0.4, [("messages", 111, "duplicate")]),
        ("expire", None, 1.0, [("frames", 100, "expired")]),
        ("expire", None, 1.1, [("messages", 111, "expired")]),
    ],
    "late": [
        ("frame", 100, 0.0, []),
        ("frame", 200, 1.0, [("frames", 100, "expired")]),
        ("message", 101, 1.1, [("messages", 101, "late")]),
    ],
    "twins": [
        ("frame", 100, 0.0, []),
        ("message", 101, 0.1, []),
        ("frame", 100, 0.2, [("frames", 100, "ambiguous")] * 2),
        ("frame", 150, 0.3, [("messages", 101, "ambiguous")]),
    ],
    "equal times": [
        ("frame", 100, 0.0, []),
        ("message", 100, 0.1, []),
        ("expire", None, 1.0, [(100, 100)]),
    ],
    "forgotten: no half waits for one of another epoch": [
        ("frame", 100, 0.0, []),
        ("message", 200, 0.0, []),
        ("forget", None, 0.1, [("frames", 100, "ambiguous"), ("messages", 200, "ambiguous")]),
        ("message", 100, 0.2, []),
        ("frame", 200, 0.2, []),
        ("close", None, 0.3, [("frames", 200, "closed"), ("messages", 100, "closed")]),
    ],
    "forgotten: what could still be decided is not": [
        ("frame", 100, 0.0, []),
        ("message", 104, 0.1, []),
        ("forget", None, 0.2, [("frames", 100, "ambiguous"), ("messages", 104, "ambiguous")]),
    ],
    "forgotten: what is due ends as it would have": [
        ("frame", 100, 0.0, []),
        ("message", 104, 0.1, []),
        ("frame", 300, 0.5, [(100, 104)]),
        ("message", 400, 0.6, []),
        ("forget", None, 1.5, [("frames", 300, "expired"), ("messages", 400, "ambiguous")]),
    ],
    "forgotten: times that come again are no twins, and their messages no duplicates": [
        ("frame", 100, 0.0, []),
        ("message", 100, 0.0, []),
        ("frame", 150, 0.1, [(100, 100)]),
        ("forget", None, 0.2, [("frames", 150, "ambiguous")]),
        ("frame", 100, 0.3, []),
        ("message", 100, 0.3, []),
        ("frame", 150, 0.4, [(100, 100)]),
    ],
    "forgotten: the latest time, too": [
        ("frame", 500, 0.0, []),
        ("forget", None, 0.1, [("frames", 500, "ambiguous")]),
        ("message", 104, 0.2, []),
        ("frame", 95, 0.3, []),  # a nearer one may come
        ("frame", 103, 0.4, []),
        ("frame", 115, 0.5, [(103, 104)]),
    ],
}


def play(pairer: Pairer[Thing, Thing], steps: Sequence[Step]) -> None:
    """Make the calls, and hold what each must answer."""
    for at, (what, key, now, expected) in enumerate(steps):
        if what == "frame":
            events = pairer.add_frame(Thing(key), now)
        elif what == "message":
            events = pairer.add_detections(Thing(key), now)
        elif what == "forget":
            events = pairer.add_frame(Thing(None), now)
            assert told(events)[-1] == ("frames", None, "no_key")
            events.pop()
        else:
            events = getattr(pairer, what)(now)
        assert told(events) == expected, (at, what, key, now)


@pytest.mark.parametrize("steps", EXACT.values(), ids=EXACT.keys())
def test_equal_keys(steps: list[Step]) -> None:
    """`Exact` pairs equal keys, and says of each other item why it has no pair."""
    play(make(Exact()), steps)


@pytest.mark.parametrize("steps", NEAREST.values(), ids=NEAREST.keys())
def test_near_keys(steps: list[Step]) -> None:
    """`Nearest` pairs what is unique and near enough, as soon as nothing nearer can come."""
    play(make(Nearest(10), guard=Fickle()), steps)


def test_a_pair_says_how_far_apart_it_is() -> None:
    """The residual is message - frame, with its sign, and 0 for equal keys."""
    pairer = make(Nearest(0.25))
    pairer.add_frame(Thing(10.0), 0)
    pairer.add_detections(Thing(9.875), 0)
    [pair] = pairer.close(0)
    assert pair == Paired(Thing(10.0), Thing(9.875), -0.125)
    assert Exact().residual("a", "a") == 0.0


@pytest.mark.parametrize("order", ["frame first", "message first"])
def test_float_keys_at_the_edge_of_the_tolerance(order: str) -> None:
    """Where ``a + t`` and ``b - t`` are rounded apart, one side must not fail the other."""
    pairer = make(Nearest(0.2))
    frame, message = Thing(0.1), Thing(0.1 + 0.2)
    calls = [(pairer.add_frame, frame), (pairer.add_detections, message)]
    events: Events = []
    for call, item in calls if order == "frame first" else calls[::-1]:
        events += call(item, 0.0)
    events += pairer.expire(1.0)
    assert len({*told(events)}) == len(events)
    assert pairer.deadline is None


@pytest.mark.parametrize("tolerance", [-1, -0.001, float("nan")])
def test_a_tolerance_is_not_negative(tolerance: float) -> None:
    """A tolerance below 0 could pair nothing."""
    with pytest.raises(ValueError, match="tolerance must be 0 or more"):
        Nearest(tolerance)


@pytest.mark.parametrize("bound", ["max_wait", "max_items", "max_bytes"])
@pytest.mark.parametrize("value", [0, -1])
def test_bounds_are_positive(bound: str, value: int) -> None:
    """A pairer without room or time could pair nothing."""
    with pytest.raises(ValueError, match="must be above 0"):
        make(**{bound: value})


@pytest.mark.parametrize(
    "steps", [[("frame", "a"), ("message", "b")], [("message", "b"), ("frame", "a")]]
)
def test_the_deadline_is_that_of_what_came_first(steps: list[tuple[str, str]]) -> None:
    """`deadline` is the earliest end of anything that waits, and None while nothing does."""
    pairer = make()
    assert pairer.deadline is None
    for now, (what, key) in enumerate(steps):
        play(pairer, [(what, key, now / 4, [])])
        assert pairer.deadline == 1.0
    pairer.expire(1.0)
    assert pairer.deadline == 1.25
    pairer.expire(1.25)
    assert pairer.deadline is None


# --- room ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["frames", "messages"])
def test_the_oldest_makes_room(side: str) -> None:
    """Where too many wait, the one that has waited longest goes, on its own side alone."""
    pairer = make(max_items=2)
    add, other = pairer.add_frame, pairer.add_detections
    if side == "messages":
        add, other = other, add
    assert other(Thing("x"), 0) == []
    assert [add(Thing(key), 0) for key in "ab"] == [[], []]
    assert told(add(Thing("c"), 0)) == [(side, "a", "pairing_full")]
    assert pairer.waiting(side) == 2
    assert pairer.fill(side) == (2, 2, 2, 1000)


@pytest.mark.parametrize("side", ["frames", "messages"])
def test_the_oldest_make_room_for_bytes(side: str) -> None:
    """Where too much is held, as many of the oldest go as it takes."""
    pairer = make(max_bytes=100)
    add = pairer.add_frame if side == "frames" else pairer.add_detections
    assert [add(Thing(key, 50), 0) for key in "ab"] == [[], []]
    assert told(add(Thing("c", 1), 0)) == [(side, "a", "pairing_full")]
    assert told(add(Thing("d", 100), 0)) == [
        (side, "b", "pairing_full"),
        (side, "c", "pairing_full"),
    ]


@pytest.mark.parametrize("lossless", [False, True])
@pytest.mark.parametrize("side", ["frames", "messages"])
def test_what_is_too_large_for_all_room_goes_alone(side: str, *, lossless: bool) -> None:
    """An item beyond ``max_bytes`` is refused, and does not push out those that fit."""
    pairer = make(max_bytes=100, lossless=lossless)
    add = pairer.add_frame if side == "frames" else pairer.add_detections
    assert add(Thing("a", 100), 0) == []
    assert told(add(Thing("b", 101), 0)) == [(side, "b", "pairing_full")]
    assert pairer.waiting(side) == 1
    assert pairer.fill(side) == (1, 100, 8, 100)


def test_a_full_side_does_not_stop_a_pair() -> None:
    """An item whose other half waits needs no room."""
    pairer = make(max_items=1, max_bytes=10)
    pairer.add_frame(Thing("a", 10), 0)
    pairer.add_detections(Thing("b", 10), 0)
    assert told(pairer.add_detections(Thing("a", 10), 0)) == [("a", "a")]
    assert pairer.waiting("messages") == 1


def test_a_frame_gone_for_want_of_room_is_remembered() -> None:
    """A message for a frame that made room is late."""
    pairer = make(max_items=1)
    pairer.add_frame(Thing("a"), 0)
    pairer.add_frame(Thing("b"), 0)
    assert told(pairer.add_detections(Thing("a"), 0)) == [("messages", "a", "late")]


def test_finished_keys_are_bounded_in_number() -> None:
    """No more finished frames are remembered than may wait."""
    pairer = make(max_items=3)
    for number in range(100):
        play(pairer, [("frame", number, 0, []), ("message", number, 0, [(number, number)])])
        assert len(pairer._finished) <= 3
        assert indexed(pairer, "frames") <= 3
    assert told(pairer.add_detections(Thing(97), 0)) == [("messages", 97, "duplicate")]
    assert pairer.add_detections(Thing(96), 0) == []


@pytest.mark.parametrize("match", [Exact(), Nearest(0.25)])
def test_finished_keys_are_bounded_in_time(match: Exact | Nearest) -> None:
    """A finished frame is remembered for ``max_wait``, without its pixels."""
    pairer = make(match)
    pairer.add_frame(Thing(1), 0.0)
    pairer.expire(1.0)
    assert [entry.item for entry in pairer._finished] == [None]
    pairer.expire(1.999)
    assert indexed(pairer, "frames") == 1
    pairer.expire(2.0)
    assert indexed(pairer, "frames") == len(pairer._finished) == 0


# --- lossless ------------------------------------------------------------------------------------


def test_lossless_a_wait_counts_from_the_last_pair() -> None:
    """While pairs are made, nothing expires; after the last, all have ``max_wait`` again."""
    pairer = make(lossless=True)
    play(pairer, [("frame", key, 0.0, []) for key in "abc"])
    play(pairer, [("message", "a", 0.9, [("a", "a")])])
    assert pairer.deadline == 1.9
    play(pairer, [("message", "b", 1.8, [("b", "b")])])
    assert pairer.deadline == 2.8
    play(pairer, [("frame", "d", 2.0, []), ("expire", None, 2.75, [])])
    play(pairer, [("expire", None, 2.8, [("frames", "c", "expired")])])
    assert pairer.deadline == 3.0


def test_live_a_wait_counts_from_the_arrival() -> None:
    """On a camera a pair buys the others no time."""
    pairer = make()
    play(pairer, [("frame", key, 0.0, []) for key in "ab"])
    play(pairer, [("message", "a", 0.9, [("a", "a")])])
    assert pairer.deadline == 1.0


def test_lossless_overtaken_frames_are_let_go() -> None:
    """A full pairer lets go of frames that a later pair has overtaken, and has room for more."""
    pairer = make(max_items=3, lossless=True)
    play(pairer, [("frame", key, 0.0, []) for key in "abc"])
    assert not pairer.has_room(Thing("d"))
    play(pairer, [("message", "b", 0.1, [("b", "b")])])
    assert pairer.has_room(Thing("d"))
    play(pairer, [("frame", "d", 0.2, [])])
    assert pairer.has_room(Thing("e"))
    play(pairer, [("frame", "e", 0.3, [("frames", "a", "expired")])])
    assert not pairer.has_room(Thing("f"))
    play(pairer, [("message", "a", 0.4, [("messages", "a", "late")])])


def test_lossless_overtaken_frames_are_kept_while_there_is_room() -> None:
    """An answer may come out of order as long as nobody needs the room."""
    pairer = make(lossless=True)
    play(
        pairer,
        [
            ("frame", "a", 0.0, []),
            ("frame", "b", 0.0, []),
            ("message", "b", 0.1, [("b", "b")]),
            ("message", "a", 0.2, [("a", "a")]),
        ],
    )


def test_lossless_room_in_bytes() -> None:
    """Room is counted in bytes too, without those of overtaken frames."""
    pairer = make(max_bytes=100, lossless=True)
    for key in "abc":
        pairer.add_frame(Thing(key, 30), 0)
    assert pairer.has_room(Thing("d", 10))
    assert not pairer.has_room(Thing("d", 11))
    pairer.add_detections(Thing("b"), 0)
    assert pairer.has_room(Thing("d", 70))
    assert not pairer.has_room(Thing("d", 71))
    assert told(pairer.add_frame(Thing("d", 70), 0)) == [("frames", "a", "expired")]


def test_lossless_a_frame_too_large_does_not_wait_for_ever() -> None:
    """A frame that fits no empty pairer has room there, to be refused and counted."""
    pairer = make(max_bytes=100, lossless=True)
    assert pairer.has_room(Thing("a", 101))
    pairer.add_frame(Thing("b"), 0)
    assert not pairer.has_room(Thing("a", 101))


def test_lossless_a_frame_that_was_not_asked_about_makes_its_own_room() -> None:
    """Whoever adds without room loses the oldest, counted as such."""
    pairer = make(max_items=1, lossless=True)
    pairer.add_frame(Thing("a"), 0)
    assert told(pairer.add_frame(Thing("b"), 0)) == [("frames", "a", "pairing_full")]


@pytest.mark.parametrize("bounds", [{"max_items": 2}, {"max_bytes": 2}])
def test_lossless_messages_are_refused_when_full(bounds: dict[str, int]) -> None:
    """A message that finds no room is refused; those before it have the older claim."""
    pairer = make(**bounds, lossless=True)
    play(pairer, [("message", key, 0.0, []) for key in "ab"])
    play(
        pairer,
        [
            ("message", "c", 0.1, [("messages", "c", "pairing_full")]),
            ("frame", "a", 0.2, [("a", "a")]),
            ("message", "c", 0.3, []),
        ],
    )


def run_file(*, every: int, latency: float, frames: int = 200) -> list[tuple[Any, ...]]:
    """A file of many frames, and a detector that takes its time; what came of it all."""
    pairer = make(max_wait=0.5, max_items=16, lossless=True)
    events: Events = []
    now, free, answers = 0.0, 0.0, []
    for number in range(frames):
        while not pairer.has_room(Thing(number)):
            ends = [pairer.deadline or now, *answers[:1]]
            now = max(now, min(end if isinstance(end, float) else end[0] for end in ends))
            while answers and answers[0][0] <= now:
                events += pairer.add_detections(Thing(answers.pop(0)[1]), now)
            events += pairer.expire(now)
        events += pairer.add_frame(Thing(number), now)
        if number % every == 0:
            free = max(free, now) + latency
            answers.append((free, number))
    for at, number in answers:
        events += [*pairer.expire(min(at, pairer.deadline or at))]
        events += pairer.add_detections(Thing(number), at)
    return told([*events, *pairer.close(free)])


def test_lossless_a_slow_detector_loses_nothing() -> None:
    """A detector far slower than decoding still gets every frame paired."""
    assert run_file(every=1, latency=0.4) == [(number, number) for number in range(200)]


def test_lossless_a_detector_of_every_tenth_frame_stalls_nothing() -> None:
    """Each answer is paired; the frames between end as expired, or closed at the end."""
    ends = run_file(every=10, latency=0.4)
    assert [end for end in ends if len(end) == 2] == [(n, n) for n in range(0, 200, 10)]
    assert {end[2] for end in ends if len(end) == 3} <= {"expired", "closed"}
    assert len(ends) == 200


# --- doubt ---------------------------------------------------------------------------------------


def doubted(verdict: Verdict, later: Verdict = Verdict.WAIT, **bounds: Any) -> Any:
    """A pairer whose guard judges so, and the guard."""
    guard = Fickle()
    guard.verdict, guard.later = verdict, later
    return make(guard=guard, **bounds), guard


def test_a_pair_that_is_refused_costs_the_message_alone() -> None:
    """Another message may be right about the frame, and is no duplicate."""
    pairer, guard = doubted(Verdict.REFUSE)
    pairer.add_frame(Thing("a"), 0.0)
    [event] = pairer.add_detections(Thing("a"), 0.1)
    assert (event.side, event.reason, event.note) == ("messages", "ambiguous", guard.note)
    guard.verdict = Verdict.PAIR
    assert told(pairer.add_detections(Thing("a"), 0.2)) == [("a", "a")]
    assert told(pairer.add_detections(Thing("a"), 0.3)) == [("messages", "a", "duplicate")]


def test_a_pair_that_is_held_waits_longer_than_its_halves_would() -> None:
    """It leaves once the guard is sure; a second message cannot be told from the first so long."""
    pairer, guard = doubted(Verdict.WAIT)
    pairer.add_detections(Thing("a"), 0.0)
    assert pairer.add_frame(Thing("a"), 0.1) == []
    assert (pairer.held, pairer.waiting("frames"), pairer.waiting("messages")) == (1, 0, 0)
    assert pairer.deadline == 2.1
    assert told(pairer.add_detections(Thing("a"), 0.2)) == [("messages", "a", "ambiguous")]
    assert pairer.expire(1.9) == []
    guard.later = Verdict.PAIR
    [pair] = pairer.expire(2.0)
    assert pair.held
    assert told([pair]) == [("a", "a")]
    assert told(pairer.add_detections(Thing("a"), 2.1)) == [("messages", "a", "duplicate")]
    assert pairer.deadline is None
    assert pairer.max_wait == 1.0


@pytest.mark.parametrize(("later", "at"), [(Verdict.REFUSE, 0.5), (Verdict.WAIT, 2.0)])
def test_a_pair_that_is_held_is_refused_at_the_end(later: Verdict, at: float) -> None:
    """By the guard, or since it has waited as long as the guard says; both halves end."""
    pairer, guard = doubted(Verdict.WAIT)
    pairer.add_frame(Thing("a"), 0.0)
    pairer.add_detections(Thing("a"), 0.0)
    guard.later = later
    events = pairer.expire(at)
    assert told(events) == [("frames", "a", "ambiguous"), ("messages", "a", "ambiguous")]
    assert {event.note for event in events} == {guard.note}
    assert told(pairer.add_detections(Thing("a"), at)) == [("messages", "a", "late")]


@pytest.mark.parametrize("bounds", [{"max_items": 2}, {"max_bytes": 2}])
def test_what_is_held_is_bounded(bounds: dict[str, int]) -> None:
    """The oldest pair makes room."""
    pairer, _ = doubted(Verdict.WAIT, **bounds)
    events: Events = []
    for key in "abc":
        events += pairer.add_frame(Thing(key), 0.0)
        events += pairer.add_detections(Thing(key), 0.0)
    assert told(events) == [("frames", "a", "pairing_full"), ("messages", "a", "pairing_full")]
    assert {event.note.kind for event in events} == {"held_full"}
    assert told(pairer.close(0.1)) == [
        ("frames", "b", "closed"),
        ("messages", "b", "closed"),
        ("frames", "c", "closed"),
        ("messages", "c", "closed"),
    ]


def test_a_guard_that_fails_costs_the_pair() -> None:
    """An error that nobody expected is kept for whoever says it; the others go on."""
    pairer, guard = doubted(Verdict.PAIR)

    def fail(*_: Any) -> Any:
        raise ValueError("odd")

    guard.frame = guard.message = guard.judge = fail
    assert pairer.add_frame(Thing("a"), 0.0) == []
    assert told(pairer.add_detections(Thing("a"), 0.1)) == [("messages", "a", "failed")]
    assert [str(error) for error in pairer.failures] == ["odd"] * 3
    pairer, guard = doubted(Verdict.WAIT)
    pairer.add_frame(Thing("a"), 0.0)
    guard.again = fail
    assert told(pairer.add_detections(Thing("a"), 0.1)) == [
        ("frames", "a", "failed"),
        ("messages", "a", "failed"),
    ]


def test_what_is_held_ends_with_its_epoch() -> None:
    """Both halves, and the reason is no doubt of the clock."""
    pairer, _ = doubted(Verdict.WAIT)
    pairer.add_frame(Thing("a"), 0.0)
    pairer.add_detections(Thing("a"), 0.0)
    events = pairer.add_frame(Thing(None), 0.1)
    assert told(events[:2]) == [("frames", "a", "ambiguous"), ("messages", "a", "ambiguous")]
    assert {event.note.kind for event in events[:2]} == {"began"}


def test_a_twin_of_a_frame_that_is_held() -> None:
    """Nobody can tell which of them is meant, so the pair ends, too."""
    pairer, _ = doubted(Verdict.WAIT, later=Verdict.WAIT)
    pairer.add_frame(Thing("a"), 0.0)
    pairer.add_detections(Thing("a"), 0.0)
    assert told(pairer.add_frame(Thing("a"), 0.1)) == [
        ("frames", "a", "ambiguous"),
        ("frames", "a", "ambiguous"),
        ("messages", "a", "ambiguous"),
    ]


def test_an_item_without_a_key() -> None:
    """It ends at once; the guard hears of a frame all the same."""
    pairer, guard = doubted(Verdict.PAIR)
    assert told(pairer.add_frame(Thing(None), 0.0)) == [("frames", None, "no_key")]
    assert told(pairer.add_detections(Thing(None), 0.0)) == [("messages", None, "no_key")]
    assert [item.key for item in guard.seen] == [None]


# --- names that come again -----------------------------------------------------------------------


def test_a_message_never_meets_the_next_bearer_of_its_name() -> None:
    """Names are known for longer than items wait: 40 names at 10 a second, an answer 4.1 s late."""
    pairer = make(max_wait=2.0, max_items=100, remember=60.0, max_remembered=1000)
    events: Events = []
    for number in range(200):
        now = number / 10
        events += pairer.add_frame(Thing(number % 40, name=str(number)), now)
        if number > 40:
            events += pairer.add_detections(Thing((number - 41) % 40), now)
    assert not [event for event in events if isinstance(event, Paired)]
    again = [event for event in events if isinstance(event, Dropped) and event.note]
    assert {event.reason for event in again} == {"ambiguous"}
    assert again[0].note is not None
    assert "the frame name '0' came again within 60 s" in again[0].note.text


def test_a_second_message_for_a_name_that_came_again() -> None:
    """The one that was paired counts, whichever frame came since."""
    pairer = make(remember=60.0)
    pairer.add_frame(Thing("7"), 0.0)
    pairer.add_detections(Thing("7"), 0.1)
    assert told(pairer.add_frame(Thing("7"), 30.0)) == [("frames", "7", "ambiguous")]
    assert told(pairer.add_detections(Thing("7"), 30.1)) == [("messages", "7", "duplicate")]
    # By then the first is forgotten, and the second is not.
    assert told(pairer.add_detections(Thing("7"), 60.2)) == [("messages", "7", "late")]


def test_names_are_known_at_least_as_long_as_items_wait() -> None:
    """A shorter memory than the wait would let an answer meet the next bearer."""
    pairer = make(max_wait=1.0, remember=0.1)
    pairer.add_frame(Thing("7"), 0.0)
    pairer.add_detections(Thing("7"), 0.1)
    assert told(pairer.add_frame(Thing("7"), 1.0)) == [("frames", "7", "ambiguous")]


# --- deciding at once ----------------------------------------------------------------------------


def test_the_nearest_at_once_where_no_nearer_one_can_come() -> None:
    """Frames lie 40 apart, as ten of them have shown: two near ones are too many within 2 x 10."""
    pairer = make(Nearest(10), max_items=100)
    for number in range(8):
        pairer.add_frame(Thing(40 * number), number / 25)
    assert pairer.add_detections(Thing(283), 0.3) == []
    assert told(pairer.add_frame(Thing(320), 0.32)) == [(280, 283)]
    assert told(pairer.add_detections(Thing(321), 0.33)) == [(320, 321)]
    assert pairer.add_detections(Thing(361), 0.34) == []
    assert told(pairer.add_frame(Thing(360), 0.36)) == [(360, 361)]


def test_frames_that_come_closer_are_waited_for() -> None:
    """One interval of twice the tolerance or less, and the next frame may be the nearest."""
    pairer = make(Nearest(10), max_items=5000, max_bytes=5000, max_wait=1000)
    times = [40 * number for number in range(20)]
    times.append(times[-1] + 20)
    for time in times:
        pairer.add_frame(Thing(time), 0.0)
    assert pairer.add_detections(Thing(times[-1] + 1), 0.1) == []
    # It is believed for a while, as 1000 or 2000 intervals show no second one.
    later = [times[-1] + 40 * number for number in range(1, 2002)]
    events: Events = []
    for time in later:
        events += pairer.add_frame(Thing(time), 0.2)
    assert told(events) == [(times[-1], times[-1] + 1)]
    assert told(pairer.add_detections(Thing(later[-1] + 1), 0.3)) == [(later[-1], later[-1] + 1)]


def test_reasons_are_members() -> None:
    """A loss carries the ledger's own reason and the item itself."""
    pairer = make()
    frame = Thing("a")
    pairer.add_frame(frame, 0)
    assert pairer.close(0) == [Dropped(frame, "frames", Reason.CLOSED)]


def test_while_nobody_can_answer_bytes_alone_bound() -> None:
    """More frames than may wait are kept then, and until no more wait than may."""
    pairer = make(max_items=2, max_wait=100)
    pairer.count_items(wanted=False)
    for number in range(5):
        assert pairer.add_frame(Thing(number, 10), number) == []
    pairer.count_items(wanted=True)
    assert pairer.add_frame(Thing(5, 10), 5) == []
    for number in range(4):
        [paired] = pairer.add_detections(Thing(number), 6)
        assert isinstance(paired, Paired)
    pairer.count_items(wanted=True)
    [dropped] = pairer.add_frame(Thing(6, 10), 7)
    assert (dropped.item.key, dropped.reason) == (4, Reason.PAIRING_FULL)


def test_room_is_made_by_what_waited_longest() -> None:
    """Frames and messages by age, pairs in doubt last; their bytes are free then."""
    guard = Fickle()
    pairer = make(max_wait=100, guard=guard)
    guard.verdict = guard.later = Verdict.WAIT
    pairer.add_frame(Thing("held", 40), 0)
    pairer.add_detections(Thing("held", 5), 0)
    pairer.add_frame(Thing("a", 30), 0.1)
    pairer.add_detections(Thing("b", 20), 0.2)
    pairer.add_frame(Thing("c", 10), 0.3)
    assert pairer.nbytes == 100
    events = pairer.shed(31, 0.4)
    assert [(each.item.key, each.side, each.reason) for each in events] == [
        ("a", "frames", Reason.PAIRING_FULL),
        ("b", "messages", Reason.PAIRING_FULL),
    ]
    events = pairer.shed(11, 0.5)
    assert [each.item.key for each in events] == ["c", "held", "held"]
    assert (pairer.nbytes, pairer.shed(1, 0.6)) == (0, [])
