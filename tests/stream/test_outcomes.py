"""Each thing ends once, for the reason that counts."""

from collections import Counter
from types import SimpleNamespace

import pytest
from fakes import frame

from streamcrop.core.pairing import Dropped
from streamcrop.core.values import Message, Reason
from streamcrop.errors import CorruptError, FormatError, SourceError
from streamcrop.formats.events import Event
from streamcrop.stream.outcomes import Outcomes
from streamcrop.stream.render import Rendered


def test_sinks_that_were_not_reached() -> None:
    """What was given up before a sink's turn ends there, because the stream ends or fails."""
    for failing, reason in ((False, "closed"), (True, "failed")):
        outcomes = Outcomes("utc", 2.0)
        outcomes.failing = failing
        outcomes.account("mqtt")
        outcomes.account("files")
        outcomes.ledger.crops.enter(2)
        events = [Event("t", b"", "", {}, is_crop=True)] * 2
        outcomes.handed_on(["files", "mqtt"], events)
        outcomes.not_reached(["mqtt"], events)
        assert outcomes.ledger.sinks["mqtt"].dropped == {reason: 2}
        assert outcomes.ledger.crops.dropped == {reason: 2}
        assert outcomes.ledger.sinks["files"].missing == 2


def test_a_pair_and_its_crops() -> None:
    """A pair that is rendered adds up, and its story says what came of it."""
    outcomes = Outcomes("utc", 2.0)
    paired = frame("a-1")
    outcomes.received(paired)
    outcomes.ledger.messages.enter()
    part = Rendered([], 3, 2, Counter({Reason.OUTSIDE_FRAME: 1}), encoding_failed=1)
    outcomes.paired(paired, part)
    outcomes.rendered(part)
    first, second = outcomes.account("mqtt"), outcomes.account("files")
    events = [Event("t", b"", "", {}, is_crop=True), Event("t", b"", "", {})]
    outcomes.handed_on(["mqtt", "files"], events)
    for event, reason in zip(events, (None, Reason.TOO_LARGE), strict=True):
        first.ended(event, reason)
    second.ended(events[0], Reason.FAILED)
    assert outcomes.ledger.errors() == []
    assert outcomes.ledger.as_json()["crops"] == {
        "made": 2,
        "published": 1,
        "dropped": {"encoding_failed": 1},
    }
    assert outcomes.ledger.as_json()["sinks"] == {
        "mqtt": {"taken": 1, "delivered": 1, "spooled": 0, "dropped": {}},
        "files": {"taken": 1, "delivered": 0, "spooled": 0, "dropped": {"failed": 1}},
    }
    story = outcomes.history.explain("a-1")
    assert story.endswith("paired by utc, 3 predictions: 2 crops made, 1 outside_frame")


@pytest.mark.parametrize(
    ("ending", "failure", "reason", "expected"),
    [
        (False, None, Reason.QUEUE_FULL, Reason.QUEUE_FULL),
        (True, None, Reason.QUEUE_FULL, Reason.CLOSED),
        (True, None, Reason.NOT_TAPPED, Reason.CLOSED),
        (True, None, Reason.EXPIRED, Reason.EXPIRED),
        (True, SourceError("gone"), Reason.CLOSED, Reason.CLOSED),
    ],
)
def test_what_is_lost_at_the_end_is_lost_because_of_it(
    *, ending: bool, failure: SourceError | None, reason: Reason, expected: Reason
) -> None:
    """While a stream ends full queues are no news."""
    outcomes = Outcomes("utc", 2.0)
    outcomes.failure = failure
    if ending:
        outcomes.ending.set()
    outcomes.frame_lost(frame("1"), reason)
    assert outcomes.ledger.frames.dropped == {expected: 1}


def test_the_story_of_an_expired_frame_says_how_long() -> None:
    """What can be cured by waiting longer says how long it waited."""
    outcomes = Outcomes("utc", 2.5)
    outcomes.frame_lost(frame("1"), Reason.EXPIRED)
    assert outcomes.history.explain("1") == "expired after 2.5 s"


def said(outcomes: Outcomes) -> list[tuple[str, str]]:
    """The notes, by kind."""
    return [(note["kind"], note["text"]) for note in outcomes.notes.as_json()]


def test_reasons_are_said() -> None:
    """Each loss whose reason is known in words says the topic, what is wrong and where."""
    outcomes = Outcomes("pts", 2.0, stream="gate")
    outcomes.ledger.messages.enter(2)
    outcomes.message_refused("det/gate", b"{'a'}\n", FormatError("no JSON: quotes", kind="no_json"))
    outcomes.message_unkeyed("det/gate", b"{}")
    faults = {"pts": "$.pts: 0.5", "captured_at": "$.captured_at: x"}
    outcomes.message_read("det/gate", b"{}", Message(b"{}", faults=faults))
    assert outcomes.ledger.messages.dropped == {"malformed": 1, "no_key": 1}
    assert said(outcomes) == [
        ("no_json", "det/gate: no JSON: quotes; it begins with {'a'}\\n"),
        ("no_key", "det/gate: a message does not say what it is paired by pts; it begins with {}"),
        ("unread_pts", "det/gate: not read: $.pts: 0.5; it is of {}"),
        ("unread_captured_at", "det/gate: not read: $.captured_at: x; it is of {}"),
    ]


def test_frames_without_a_key_are_said() -> None:
    """Of a camera once its first report ought to have come, else at once; again after a while."""
    outcomes = Outcomes("utc", 2.0)

    def lose(name: str, arrived: int, epoch: str | None) -> None:
        lost = frame(name, arrived=arrived * 1_000_000, epoch=epoch)
        outcomes.received(lost)
        outcomes.dropped(Dropped(SimpleNamespace(value=lost), "frames", Reason.NO_KEY))

    for second in range(10):
        lose(f"a-{second}", 100 + second, "a")
    lose("b-0", 111, "b")
    assert said(outcomes) == []
    lose("b-1", 121, "b")
    [(kind, text)] = said(outcomes)
    assert kind == "frame_no_key"
    assert text.startswith("a frame has no capture time: cameras say it in sender reports")
    pictures = Outcomes("sei", 2.0)
    outcomes = pictures
    lose("7", 1, None)
    assert said(pictures) == [("frame_no_key", "a frame has no ID in its bitstream")]
    assert pictures.ledger.frames.dropped == {"no_key": 1}


def test_a_damaged_frame_says_so() -> None:
    """What the decoder said is said."""
    outcomes = Outcomes("pts", 2.0)
    outcomes.pair_corrupt(frame("7"), CorruptError("cut off"))
    assert said(outcomes) == [("corrupt", "frame '7': cut off")]


def caught() -> Exception:
    """An error as it is caught."""
    with pytest.raises(ZeroDivisionError) as info:
        divmod(1, 0)
    return info.value


def test_what_nobody_expected_costs_what_it_stood_in() -> None:
    """It is counted as `failed`, once for each that is lost, and said."""
    outcomes = Outcomes("utc", 2.0)
    outcomes.ledger.messages.enter(2)
    outcomes.message_failed(caught())
    for name in ("a", "b"):
        outcomes.received(frame(name))
    outcomes.frame_failed(frame("a"), "reading a frame's key", caught())
    outcomes.pair_failed(frame("b"), caught())
    part = Rendered([], 3, 3, Counter(), failed=1, unexpected=[caught()])
    outcomes.rendered(part)
    outcomes.crops_failed(2, caught())
    rows = outcomes.ledger.as_json()
    assert rows["messages"]["dropped"] == rows["frames"]["dropped"] == {"failed": 2}
    assert rows["crops"] == {"made": 3, "published": 0, "dropped": {"failed": 3}}
    assert outcomes.ledger.errors() == []
    [(kind, text)] = said(outcomes)
    assert kind == "failed"
    assert text.startswith("handing on a frame's crops failed: ZeroDivisionError in caught; ")


def test_a_story_that_cannot_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """It costs nothing but the story."""
    outcomes = Outcomes("utc", 2.0)

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(outcomes.history, "note", broken)
    monkeypatch.setattr(outcomes.history, "note_message", broken)
    outcomes.received(frame("a"))
    outcomes.frame_lost(frame("a"), Reason.EXPIRED)
    message = SimpleNamespace(value=Message(b""))
    outcomes.ledger.messages.enter()
    outcomes.dropped(Dropped(message, "messages", Reason.LATE))
    assert outcomes.ledger.errors() == []
    assert [note["count"] for note in outcomes.notes.as_json()] == [3]


def test_what_an_unexpected_error_left_without_an_end() -> None:
    """At the stream's end it has failed, also what was lost before it was counted as received."""
    outcomes = Outcomes("frame_id", 2.0)
    outcomes.ledger.frames.enter(3)
    outcomes.ledger.crops.enter(2)
    outcomes.ledger.predictions.enter(2)
    outcomes.ledger.predictions.succeed(2)
    outcomes.ledger.crops.succeed()
    outcomes.settle()
    assert len(outcomes.ledger.errors()) == 2  # nothing excuses it
    outcomes.message_failed(RuntimeError())
    outcomes.settle()
    assert outcomes.ledger.errors() == []
    rows = outcomes.ledger.as_json()
    assert {name: rows[name]["dropped"] for name in ("frames", "messages", "crops")} == {
        "frames": {"failed": 3},
        "messages": {"failed": 1},
        "crops": {"failed": 1},
    }
