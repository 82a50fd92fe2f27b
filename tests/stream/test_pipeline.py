"""One stream: every way in which a frame, message, prediction or crop can end."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from fractions import Fraction
from importlib import resources
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import numpy as np
import pytest
from fakes import FakeBroker, ListSource, frame, until
from patience import PATIENCE

import streamcrop.stream.cutting
import streamcrop.stream.render
from streamcrop import config, formats
from streamcrop.build.streams import Shared, stream_of
from streamcrop.core.pixels import ArrayPixels
from streamcrop.core.values import Change, Frame, Reason
from streamcrop.errors import CorruptError, SourceError
from streamcrop.formats.events import MODES
from streamcrop.keys import KEYS
from streamcrop.sinks.files import Folder
from streamcrop.sources.container import FileSource
from streamcrop.sources.decoding import Decoder, Decoding
from streamcrop.sources.threads import Threaded
from streamcrop.stream.history import History
from streamcrop.stream.render import render_tap
from streamcrop.stream.tap import Tap

ENCODERS = ThreadPoolExecutor(1)
BOX = {"x": 30, "y": 30, "width": 20, "height": 20}


def message(frame_id: object, *predictions: object, **more: object) -> bytes:
    """A detection message."""
    return json.dumps({"frame_id": frame_id, "predictions": predictions, **more}).encode()


def stream(*, live: bool = False, **sections: dict[str, Any]) -> config.Stream:
    """A stream's settings."""
    tree = {"source": {"url": "x.mp4", "realtime": live}, "detections": {"topic": "detections"}}
    for name, section in sections.items():
        tree[name] = {**tree.get(name, {}), **section}
    return msgspec.convert(tree, config.Stream, dec_hook=lambda kind, value: kind(value))


class Run:
    """A pipeline that runs beside a test."""

    def __init__(self, source: ListSource, settings: config.Stream) -> None:
        self.broker = FakeBroker()
        self.source = source
        self.changes: list[Change] = []
        shared = Shared(node="node", broker=self.broker, encoders=ENCODERS, shutdown_timeout=0.3)
        self.pipeline = stream_of("gate", settings, shared, self.changes.append, Threaded(source))
        self.ready: Callable[[], Awaitable[None]] = lambda: asyncio.sleep(0)

    @property
    def rows(self) -> dict[str, Any]:
        return self.pipeline.outcomes.ledger.as_json()

    async def end(self) -> dict[str, Any]:
        """Wait for its end; the ledger, which adds up."""
        async with asyncio.timeout(PATIENCE):
            await self.task
        assert self.pipeline.outcomes.ledger.errors() == []
        return self.rows


@asynccontextmanager
async def running(source: ListSource, settings: config.Stream) -> AsyncIterator[Run]:
    """Run a pipeline."""
    run = Run(source, settings)
    run.task = asyncio.create_task(run.pipeline.run(run.ready))
    try:
        yield run
    finally:
        run.task.cancel()
        with suppress(asyncio.CancelledError):
            await run.task
        assert run.pipeline.outcomes.ledger.errors() == []


async def test_a_file_pairs_everything_and_ends() -> None:
    """Frames and messages of a file pair in any order, and the stream ends by itself."""
    async with running(ListSource(frame(n) for n in range(20)), stream()) as run:
        for n in reversed(range(20)):
            run.broker.send(message(n, BOX))
        rows = await run.end()
        assert rows["frames"] == {"received": 20, "paired": 20, "dropped": {}}
        assert rows["crops"] == {"made": 20, "published": 20, "dropped": {}}


async def test_message_reasons() -> None:
    """`too_large`, `malformed`, `no_key`, `duplicate`, `late` and `closed` each have their case."""
    source = ListSource(frame(n) for n in range(3))
    settings = stream(
        detections={"max_message_bytes": 500}, pairing={"max_wait": 0.4, "max_items": 10}
    )
    source.gate = threading.Semaphore(1)
    async with running(source, settings) as run:
        run.broker.send(b"x" * 501)
        run.broker.send(b"{")
        run.broker.send(message(True))
        run.broker.send(b'{"predictions": []}')
        await until(lambda: run.rows["frames"]["received"] == 1)
        await until(lambda: run.rows["frames"]["dropped"] == {"expired": 1})
        run.broker.send(message(0))
        await until(lambda: "late" in run.rows["messages"]["dropped"])
        source.gate.release(1)
        run.broker.send(message(1, BOX))
        await until(lambda: run.rows["frames"]["paired"] == 1)
        run.broker.send(message(1, BOX))
        await until(lambda: "duplicate" in run.rows["messages"]["dropped"])
        run.broker.send(message("never"))
        source.gate.release(1)
        run.broker.send(message(2))
        rows = await run.end()
        assert rows["messages"]["dropped"] == {
            "closed": 1,
            "duplicate": 1,
            "late": 1,
            "malformed": 2,
            "no_key": 1,
            "too_large": 1,
        }


async def test_messages_from_before_and_those_that_cannot_be_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the broker had kept is stale; what fails while it is taken has failed. One note each."""
    source = ListSource([frame(0)])
    async with running(source, stream(pairing={"max_wait": 0.1})) as run:
        others = run.broker.others["detections"]
        others["retained"](message(0), {})
        others["retained"](message(0), {})
        with monkeypatch.context() as patched:
            patched.setattr("streamcrop.stream.pairing.BoundedQueue.put_nowait", lambda *_: 1 // 0)
            with pytest.raises(ZeroDivisionError) as caught:
                run.broker.send(message(0))
        others["failed"](caught.value)
        rows = await run.end()
    assert rows["messages"] == {"received": 3, "paired": 0, "dropped": {"stale": 2, "failed": 1}}
    notes = {note["kind"]: note for note in run.pipeline.outcomes.notes.as_json()}
    assert notes["stale"]["count"] == 2
    assert "detections: the broker had kept a message" in notes["stale"]["text"]
    assert "reading a message failed: ZeroDivisionError" in notes["failed"]["text"]


async def test_a_message_nobody_waits_for_expires() -> None:
    """A message whose frame never comes ends as `expired` after `max_wait`."""
    source = ListSource([frame(0)])
    source.gate = threading.Semaphore(0)
    async with running(source, stream(live=True, pairing={"max_wait": 0.2})) as run:
        run.broker.send(message("never"))
        await until(lambda: run.rows["messages"]["dropped"] == {"expired": 1})
        source.gate.release()
        await run.end()


async def test_a_live_stream_that_is_held_up_lets_go_of_its_oldest_pairs() -> None:
    """With a broker that hangs pairs are more than leave; the newest is kept, the rest counted."""
    settings = stream(
        live=True, output={"max_inflight": 1}, pairing={"max_items": 50, "max_wait": 30}
    )
    source = ListSource(frame(n) for n in range(300))
    source.gate = threading.Semaphore(0)
    async with running(source, settings) as run:
        run.broker.flowing.clear()
        for n in range(300):
            run.broker.send(message(n, BOX))
            source.gate.release()
            await until(lambda n=n: run.rows["frames"]["received"] == n + 1)
        await until(lambda: run.rows["frames"]["dropped"].get("overload", 0) > 200)
        assert run.rows["messages"]["dropped"] == run.rows["frames"]["dropped"]
        run.broker.flowing.set()
        rows = await run.end()
        assert rows["crops"]["published"] == rows["frames"]["paired"] > 0


async def test_a_file_waits_for_a_broker_that_hangs() -> None:
    """With a broker that hangs, a file waits: nothing expires and nothing is lost afterwards."""
    settings = stream(output={"max_inflight": 1}, pairing={"max_wait": 0.3})
    async with running(ListSource(frame(n) for n in range(50)), settings) as run:
        run.broker.flowing.clear()
        for n in range(50):
            run.broker.send(message(n, BOX))
        await asyncio.sleep(1)
        run.broker.flowing.set()
        rows = await run.end()
        assert rows["frames"] == {"received": 50, "paired": 50, "dropped": {}}


async def test_a_file_waits_while_the_broker_is_away() -> None:
    """While there is no connection nobody can answer, so a file's frames do not expire."""
    async with running(
        ListSource(frame(n) for n in range(3)), stream(pairing={"max_wait": 0.3})
    ) as run:
        run.broker.connected = False
        await asyncio.sleep(1)
        run.broker.connected = True
        for n in range(3):
            run.broker.send(message(n, BOX))
        assert (await run.end())["frames"]["paired"] == 3


async def test_pairing_full() -> None:
    """Live frames and messages beyond `max_items` end as `pairing_full`, the oldest first."""
    source = ListSource(frame(n) for n in range(8))
    source.gate = threading.Semaphore(0)
    async with running(source, stream(live=True, pairing={"max_items": 3, "max_wait": 30})) as run:
        for n in range(5):
            run.broker.send(message(f"never {n}"))
            await asyncio.sleep(0.01)
        source.gate.release(8)
        await until(lambda: run.rows["frames"]["received"] == 8)
        await until(lambda: run.rows["frames"]["dropped"] == {"pairing_full": 5})
        assert run.rows["messages"]["dropped"] == {"pairing_full": 2}
        run.pipeline.stop()
        rows = await run.end()
        assert rows["frames"]["dropped"] == {"pairing_full": 5, "closed": 3}


async def test_frame_reasons() -> None:
    """`corrupt`, `no_key` and `ambiguous` frames are counted, and an ambiguous key refuses."""
    base = Fraction(1, 25)
    frames = [
        Reason.CORRUPT,
        frame(0),
        frame(1, pts=7, time_base=base),
        frame(2, pts=7, time_base=base),
        frame(3, pts=8, time_base=base),
    ]
    settings = stream(pairing={"key": "pts", "max_wait": 5})
    async with running(ListSource(frames), settings) as run:
        await until(lambda: run.rows["frames"]["received"] == 5)
        await until(lambda: run.rows["frames"]["dropped"].get("ambiguous") == 2)
        run.broker.send(message(1, pts=7, time_base="1/25"))
        run.broker.send(message(3, pts=16, time_base="1/50"))
        rows = await run.end()
        assert rows["frames"] == {
            "received": 5,
            "paired": 1,
            "dropped": {"ambiguous": 2, "corrupt": 1, "no_key": 1},
        }
        assert rows["messages"]["dropped"] == {"ambiguous": 1}


async def test_prediction_reasons_and_survivors() -> None:
    """Each bad prediction is refused with its reason, and its neighbours are cut."""
    settings = stream(detections={"max_predictions": 6}, crop={"mask_opacity": 1})
    bad = [
        BOX,
        {**BOX, "x": "left"},
        {**BOX, "x": float("nan")},
        {**BOX, "x": 500},
        {**BOX, "rle": {"size": [40000, 25000], "counts": [10**9]}},
        BOX,
        BOX,
        BOX,
    ]
    async with running(ListSource([frame(0)]), settings) as run:
        run.broker.send(message(0, *bad))
        rows = await run.end()
        assert rows["predictions"] == {
            "received": 8,
            "cropped": 2,
            "dropped": {
                "bad_mask": 1,
                "malformed": 1,
                "not_finite": 1,
                "outside_frame": 1,
                "over_limit": 2,
            },
        }
        [metadata] = [m for m in run.broker.published if m.topic.endswith("/metadata")]
        refused = json.loads(metadata.payload)["refused"]
        assert [(entry["index"], entry["reason"]) for entry in refused] == [
            (1, "malformed"),
            (2, "not_finite"),
            (3, "outside_frame"),
            (4, "bad_mask"),
            (6, "over_limit"),
            (7, "over_limit"),
        ]


async def test_crops_that_cannot_be_encoded_or_sent() -> None:
    """`encoding_failed` where the encoder refuses, `too_large` where the broker does."""
    wide = frame(0)
    wide = type(wide)("0", type(wide.pixels)(wide.pixels.array.repeat(300, axis=1)))
    settings = stream(output={"encoding": "webp"})
    async with running(ListSource([wide]), settings) as run:
        run.broker.max_packet = 4000
        whole = {"x": 9600, "y": 32, "width": 19200, "height": 64}
        half = {"x": 8000, "y": 32, "width": 16000, "height": 64, "class": "x" * 4000}
        run.broker.send(message(0, whole, half, BOX))
        rows = await run.end()
        assert rows["crops"] == {
            "made": 3,
            "published": 1,
            "dropped": {"encoding_failed": 1, "too_large": 1},
        }


class Damaged(ArrayPixels):
    """A picture of which looking at it shows that it is damaged."""

    def decode(self) -> NoReturn:
        raise CorruptError("damaged")

    region = bgr = jfif = resized = decode


def damaged(frame_id: object) -> Frame:
    """A frame that looks like one until somebody looks."""
    return Frame(str(frame_id), Damaged(np.zeros((64, 64, 3), np.uint8)))


async def test_a_frame_that_turns_out_to_be_damaged() -> None:
    """It ends as `corrupt` and its message as `failed`; one that nobody crops is no matter."""
    source = ListSource([frame(0), damaged(1), damaged(2), frame(3)])
    async with running(source, stream()) as run:
        for n in (0, 1, 3):
            run.broker.send(message(n, BOX))
        run.broker.send(message(2))
        rows = await run.end()
        assert rows["frames"] == {"received": 4, "paired": 3, "dropped": {"corrupt": 1}}
        assert rows["messages"] == {"received": 4, "paired": 3, "dropped": {"failed": 1}}
        assert rows["crops"] == {"made": 2, "published": 2, "dropped": {}}
        assert run.pipeline.outcomes.history.explain("1").endswith("corrupt")


@pytest.mark.parametrize("key", ["frame_id", "pts"])
async def test_a_damaged_frame_is_not_shown(key: str) -> None:
    """The tap leaves it out; with the key `frame_id` that is its end, as `corrupt`."""
    settings = stream(tap={}, pairing={"key": key, "max_wait": 0.5})
    times = {"pts": 1, "time_base": Fraction(1, 25)} if key == "pts" else {}
    source = ListSource([replace(damaged(0), **times), frame(1)])
    async with running(source, settings) as run:
        await until(lambda: run.pipeline.tap.counts["published"] == 1)
        run.broker.send(message(1, BOX))
        rows = await run.end()
        lost = "corrupt" if key == "frame_id" else "expired"
        assert rows["frames"]["dropped"][lost] == 1
        assert run.pipeline.tap.counts["dropped"] == (key == "pts")


async def test_giving_up_leaves_a_ledger_that_adds_up() -> None:
    """Cancelled with pairs everywhere, each of them still ends once."""
    settings = stream(output={"max_inflight": 2}, pairing={"max_wait": 30})
    async with running(ListSource(frame(n) for n in range(40)), settings) as run:
        run.broker.flowing.clear()
        for n in range(40):
            run.broker.send(message(n, BOX, BOX, BOX))
        await until(lambda: run.rows["frames"]["paired"] == 1)
        await asyncio.sleep(0.2)
        run.pipeline.stop()
        await asyncio.sleep(0.1)
        run.task.cancel()
        with suppress(asyncio.CancelledError):
            await run.task
        assert run.pipeline.outcomes.ledger.errors() == []
        assert run.rows["crops"]["dropped"] == {"not_acknowledged": 2, "closed": 1}
        assert set(run.rows["messages"]["dropped"]) == {"closed"}


@pytest.mark.parametrize("key", ["frame_id", "pts"])
@pytest.mark.parametrize("live", [False, True])
async def test_giving_up_while_frames_are_shown(key: str, *, live: bool) -> None:
    """A frame in the tap's hand, or in front of it, ends once, too."""
    settings = stream(live=live, tap={}, pairing={"key": key, "max_wait": 30})
    frames = [frame(n, pts=n, time_base=Fraction(1, 30)) for n in range(40)]
    async with running(ListSource(frames), settings) as run:
        run.broker.flowing.clear()
        await until(lambda: run.rows["frames"]["received"] > 3)
        await asyncio.sleep(0.1)
        run.task.cancel()
        with suppress(asyncio.CancelledError):
            await run.task
        assert run.pipeline.outcomes.ledger.errors() == []
        assert "closed" in run.rows["frames"]["dropped"]


async def test_a_folder_that_cannot_be_written_harms_nothing_else(tmp_path: Path) -> None:
    """The broker gets its crops all the same, and a note says what is wrong."""
    blocked = tmp_path / "file"
    blocked.touch()
    settings = stream(output={"files": str(blocked)}, pairing={"max_wait": 30})
    async with running(ListSource(frame(n) for n in range(3)), settings) as run:
        for n in range(3):
            run.broker.send(message(n, BOX))
        rows = await run.end()
    assert rows["crops"] == {"made": 3, "published": 3, "dropped": {}}
    assert rows["sinks"]["files"] == {
        "taken": 3,
        "delivered": 0,
        "spooled": 0,
        "dropped": {"failed": 3},
    }
    [note] = run.pipeline.outcomes.notes.as_json()
    assert note["kind"] == "files"
    assert "cannot be written" in note["text"]


async def test_a_source_that_breaks_off_still_gets_its_answers() -> None:
    """What was read before a source failed is paired and published; the failure is kept."""
    source = ListSource([frame(0)], SourceError("x.mp4: breaks off"))
    async with running(source, stream()) as run:
        await asyncio.sleep(0.1)
        run.broker.send(message(0, BOX))
        rows = await run.end()
        assert rows["crops"]["published"] == 1
        assert "breaks off" in str(run.pipeline.outcomes.failure)


async def test_a_large_message_is_read_in_a_thread() -> None:
    """A message above 64 KiB pairs like any other, and a broken one is counted."""
    async with running(ListSource([frame(0)]), stream()) as run:
        run.broker.send(b"[" * 50 + b" " * 70_000)
        run.broker.send(message(0, *[BOX] * 900, padding="x" * 70_000))
        rows = await run.end()
        assert rows["messages"]["dropped"] == {"malformed": 1}
        assert rows["crops"]["published"] == 900


def failing(times: int, work: Callable[..., Any]) -> Callable[..., Any]:
    """Work that fails as nobody expects, so many times."""
    left = iter(range(times))

    def call(*args: Any, **named: Any) -> Any:
        if next(left, None) is not None:
            raise ZeroDivisionError
        return work(*args, **named)

    return call


FAILED = {"failed": 1}
INFERENCE = formats.DETECTION_FORMATS["inference"]
BY_FRAME_ID = KEYS["frame_id"]
BUGS: dict[str, tuple[Any, dict[str, Any], dict[str, dict[str, int]]]] = {
    "decode": (
        lambda patch: patch.setitem(
            formats.DETECTION_FORMATS,
            "inference",
            replace(INFERENCE, decode=failing(1, INFERENCE.decode)),
        ),
        {},
        {"messages": FAILED, "frames": {"expired": 1}},
    ),
    "a message's key": (
        lambda patch: patch.setitem(
            KEYS, "frame_id", replace(BY_FRAME_ID, of_message=failing(1, BY_FRAME_ID.of_message))
        ),
        {},
        {"messages": FAILED, "frames": {"expired": 1}},
    ),
    "a frame's key": (
        lambda patch: patch.setitem(
            KEYS, "frame_id", replace(BY_FRAME_ID, of_frame=failing(1, BY_FRAME_ID.of_frame))
        ),
        {},
        {"frames": FAILED},
    ),
    "predictions": (
        lambda patch: patch.setitem(
            formats.DETECTION_FORMATS,
            "inference",
            replace(INFERENCE, predictions=failing(1, INFERENCE.predictions)),
        ),
        {},
        {"messages": FAILED, "frames": FAILED},
    ),
    "cut": (
        lambda patch: patch.setattr(
            "streamcrop.stream.cutting.cut", failing(1, streamcrop.stream.cutting.cut)
        ),
        {},
        {"messages": FAILED, "frames": FAILED},
    ),
    "encode": (
        lambda patch: patch.setattr(
            "streamcrop.stream.render.encode", failing(1, streamcrop.stream.render.encode)
        ),
        {},
        {"crops": {"encoding_failed": 1}},
    ),
    "a crop's metadata": (
        lambda patch: patch.setattr(
            "streamcrop.stream.render.crop_metadata",
            failing(1, streamcrop.stream.render.crop_metadata),
        ),
        {},
        {"crops": FAILED},
    ),
    "a frame's metadata": (
        lambda patch: patch.setattr(
            "streamcrop.stream.render.frame_metadata",
            failing(1, streamcrop.stream.render.frame_metadata),
        ),
        {},
        {"messages": FAILED, "frames": FAILED},
    ),
    "files": (
        lambda patch: patch.setattr(Folder, "write", failing(1, Folder.write)),
        {"output": {"files": "crops"}},
        {},
    ),
    "an envelope": (
        lambda patch: patch.setitem(MODES, "binary", failing(1, MODES["binary"])),
        {},
        {"crops": FAILED},
    ),
    "the broker, at once": (
        lambda patch: patch.setattr(FakeBroker, "begin", failing(1, FakeBroker.begin)),
        {},
        {"crops": FAILED},
    ),
    "the broker, later": (
        lambda patch: patch.setattr(FakeBroker, "publish", failing(1, FakeBroker.publish)),
        {},
        {"crops": FAILED},
    ),
    "a story": (lambda patch: patch.setattr(History, "note", failing(1, History.note)), {}, {}),
    "a message's story": (
        lambda patch: patch.setattr(History, "note_message", failing(1, History.note_message)),
        {},
        {},
    ),
    "the tap's choice": (
        lambda patch: patch.setattr(Tap, "is_due", failing(1, Tap.is_due)),
        {"tap": {}},
        {"frames": FAILED},
    ),
    "the tap": (
        lambda patch: patch.setattr("streamcrop.stream.tap.render_tap", failing(1, render_tap)),
        {"tap": {}},
        {"frames": FAILED},
    ),
    "the tap's envelope": (
        lambda patch: patch.setitem(MODES, "binary", failing(1, MODES["binary"])),
        {"tap": {}},
        {"frames": FAILED},
    ),
}


@pytest.mark.parametrize("bug", BUGS)
async def test_an_error_that_nobody_expected_costs_what_was_in_hand(
    bug: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """It is counted as `failed`, said, logged with its traceback; the stream goes on."""
    breaks, sections, dropped = BUGS[bug]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("streamcrop.notes._logged_places", set())
    breaks(monkeypatch)
    source = ListSource(frame(n) for n in range(2))
    source.gate = threading.Semaphore(1)
    settings = stream(**sections, pairing={"max_wait": 0.5})
    async with running(source, settings) as run:
        if bug == "a message's story":
            run.broker.send(message(0, BOX))
        run.broker.send(message(0, BOX))
        await until(lambda: run.rows["frames"]["received"] == 1)
        await asyncio.sleep(0.2)
        run.broker.send(message(1, BOX))
        source.gate.release()
        rows = await run.end()
        assert rows["frames"]["received"] == 2
        assert rows["frames"]["dropped"] == dropped.get("frames", {})
        assert rows["crops"]["dropped"] == dropped.get("crops", {})
        # A message whose frame is lost so ends as one without a frame does.
        lost = {"failed", "expired", "closed", "duplicate"} & set(rows["messages"]["dropped"])
        assert ("failed" in lost) == ("messages" in dropped)
        assert rows["messages"]["received"] - rows["messages"]["paired"] == len(lost)
        assert rows["crops"]["published"] >= 1
        assert "failed" in [note["kind"] for note in run.pipeline.outcomes.notes.as_json()] or (
            bug == "the broker, later"
        )
    assert caplog.text.count("Traceback") == 1
    assert "ZeroDivisionError" in caplog.text


async def test_a_tap_beside_another_key_never_holds_up_frames() -> None:
    """With another key than frame_id, frames are paired whether or not the tap keeps up."""
    frames = [frame(n, pts=n, time_base=Fraction(1, 25)) for n in range(40)]
    settings = stream(live=True, tap={"longest_side": 32}, pairing={"key": "pts"})
    async with running(ListSource(frames), settings) as run:
        run.broker.flowing.clear()
        for n in range(40):
            run.broker.send(message(n, pts=n, time_base="1/25"))
        await until(lambda: run.rows["frames"]["received"] == 40)
        assert run.pipeline.tap.counts["dropped"] > 0
        run.broker.flowing.set()
        rows = await run.end()
        assert rows["frames"]["paired"] + rows["frames"]["dropped"].get("queue_full", 0) == 40


async def test_a_frame_that_the_broker_does_not_show_is_not_tapped() -> None:
    """No detector can answer it, so it does not wait for an answer."""
    settings = stream(live=True, tap={}, pairing={"max_wait": 30})
    async with running(ListSource([frame(0)]), settings) as run:
        run.broker.max_packet = 10
        rows = await run.end()
        assert rows["frames"] == {"received": 1, "paired": 0, "dropped": {"not_tapped": 1}}
        assert run.pipeline.tap.counts == {"too_large": 1}


async def test_a_picture_that_takes_long_to_decode_holds_up_no_other_stream() -> None:
    """Streams that share their threads to encode in decode each in their own."""
    looked, let = threading.Event(), threading.Event()

    class Undecoded(ArrayPixels):
        @property
        def is_decoded(self) -> bool:
            return False

        def decode(self) -> ArrayPixels:
            looked.set()
            let.wait(20)
            return ArrayPixels(self.array)

    slow = replace(frame(0), pixels=Undecoded(np.zeros((64, 64, 3), np.uint8)))
    async with running(ListSource([slow]), stream()) as waiting:
        waiting.broker.send(message(0, BOX))
        await until(looked.is_set)
        try:
            async with running(ListSource(map(frame, range(5))), stream()) as run:
                for n in range(5):
                    run.broker.send(message(n, BOX))
                assert (await run.end())["crops"]["published"] == 5
            assert waiting.rows["crops"]["published"] == 0
        finally:
            let.set()
        assert (await waiting.end())["crops"]["published"] == 1


async def test_a_message_fetches_the_picture_that_it_speaks_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that was read while nobody looked, and would be fetched by and by, is at once."""
    monkeypatch.setattr("streamcrop.sources.threads._POLL", 60)
    monkeypatch.setattr("streamcrop.sources.threads._AHEAD_UNDECODED", 10_000)
    monkeypatch.setattr(Decoder, "is_idle", property(lambda _: True))
    path = resources.files("streamcrop.demo") / "clip.mp4"
    decoding = Decoding(mode="lazy")
    source = FileSource(str(path), realtime=True, loop=True, decoding=decoding)
    async with running(source, stream(live=True, pairing={"max_wait": 60})) as run:
        await until(lambda: run.rows["frames"]["received"])
        # What came behind it waits in the reader's hand.
        await asyncio.sleep(0.3)
        run.broker.send(message(3, {**BOX, "x": 300, "y": 300}))
        await until(lambda: run.rows["crops"]["published"] == 1)
        run.pipeline.stop()
        await run.end()


def track(frame_id: object, name: object, **more: object) -> bytes:
    """A message with one row of a track."""
    return message(frame_id, {**BOX, "tracker_id": name, "detection_id": f"d{frame_id}", **more})


def published(run: Run) -> list[dict[str, Any]]:
    """The metadata of all crops."""
    return [json.loads(dict(crop.user_properties)["metadata"]) for crop in run.broker.crops()]


async def test_a_live_track_that_ends_hands_on_its_best() -> None:
    """Without any further frame, after `lost_after`; the others of the track are `not_chosen`."""
    source = ListSource(frame(n) for n in range(4))
    source.gate = threading.Semaphore(3)
    select = {"per_track": "best_at_end", "lost_after": 0.5}
    async with running(source, stream(live=True, select=select)) as run:
        for n, confidence in enumerate((0.5, 0.9, 0.7)):
            run.broker.send(track(n, 7, confidence=confidence))
            await until(lambda n=n: run.rows["frames"]["paired"] == n + 1)
        assert run.broker.crops() == []
        await until(lambda: len(run.broker.crops()) == 1)
        [said] = published(run)
        assert (said["frame_id"], said["detection_id"]) == ("1", "d1")
        assert said["predictions"][0]["score_parts"]["confidence"] == 0.9
        source.gate.release()
        rows = await run.end()
    assert rows["predictions"] == {"received": 3, "cropped": 1, "dropped": {"not_chosen": 2}}
    assert rows["crops"] == {"made": 1, "published": 1, "dropped": {}}


async def test_a_file_has_one_crop_a_track_by_its_own_time() -> None:
    """However fast it is read; the end of the file ends all tracks."""
    known = {"time_base": Fraction(1, 10)}
    frames = [frame(n, pts=n, **known) for n in range(100)]
    select = {"per_track": "best_at_end", "lost_after": 2.0}
    async with running(ListSource(frames), stream(select=select)) as run:
        for n in range(100):
            # The first track is away for 2.5 seconds in between, and so another one then.
            rows = [] if 30 <= n < 55 else [{**BOX, "tracker_id": 1}]
            run.broker.send(message(n, *rows, {**BOX, "tracker_id": "other", "x": 50}))
        rows = await run.end()
    assert rows["predictions"]["cropped"] == rows["crops"]["published"] == 3
    assert rows["predictions"]["received"] == 175
    assert rows["predictions"]["dropped"] == {"not_chosen": 172}
    metadata = [m for m in run.broker.published if m.topic.endswith("/metadata")]
    assert len(metadata) == 100
    first = json.loads(metadata[0].payload)
    assert (len(first["held"]), first["crops"], first["refused"]) == (2, [], [])


async def test_filters_zones_and_what_supersedes_stand_in_the_messages() -> None:
    """Each where the README says it."""
    select = {
        "classes": ["car"],
        "zones": {"left": [[0, 0], [0.6, 0], [0.6, 1], [0, 1]]},
        "per_track": "best",
    }
    async with running(ListSource(frame(n) for n in range(3)), stream(select=select)) as run:
        run.broker.send(track(0, 7, **{"class": "car"}, confidence=0.5))
        run.broker.send(message(1, {**BOX, "class": "dog"}, {**BOX, "class": "car", "x": 60}))
        run.broker.send(track(2, 7, **{"class": "car"}, confidence=0.9))
        rows = await run.end()
    assert rows["predictions"] == {"received": 4, "cropped": 2, "dropped": {"filtered": 2}}
    first, second = published(run)
    assert "supersedes" not in first
    assert second["supersedes"] == first["id"] == "gate/0/d0"
    assert second["predictions"][0]["zones"] == ["left"]
    assert second["predictions"][0]["score"] > first["predictions"][0]["score"]


async def test_what_is_held_when_a_stream_is_given_up_is_counted() -> None:
    """Each prediction ends, and so does its crop: `closed`."""
    source = ListSource(frame(n) for n in range(9))
    source.gate = threading.Semaphore(2)
    select = {"per_track": "best_at_end", "lost_after": 60}
    async with running(source, stream(live=True, select=select)) as run:
        for n in range(2):
            run.broker.send(track(n, n))
        await until(lambda: run.rows["frames"]["paired"] == 2)
        run.task.cancel()
        with suppress(asyncio.CancelledError):
            await run.task
    assert run.rows["predictions"] == {"received": 2, "cropped": 2, "dropped": {}}
    assert run.rows["crops"] == {"made": 2, "published": 0, "dropped": {"closed": 2}}


async def test_many_that_were_held_come_in_parts() -> None:
    """So that no more than a part of them is encoded and waits."""
    select = {"per_track": "best_at_end", "lost_after": 60}
    rows = [{**BOX, "tracker_id": n, "detection_id": str(n)} for n in range(100)]
    async with running(ListSource([frame(0)]), stream(select=select)) as run:
        run.broker.send(message(0, *rows))
        found = await run.end()
    assert found["crops"] == {"made": 100, "published": 100, "dropped": {}}
    assert [said["detection_id"] for said in published(run)] == [str(n) for n in range(100)]


async def test_a_stop_hands_on_what_is_held() -> None:
    """As pairs in hand."""
    source = ListSource(frame(n) for n in range(9))
    source.gate = threading.Semaphore(2)
    select = {"per_track": "best_at_end", "lost_after": 60}
    async with running(source, stream(live=True, select=select)) as run:
        for n in range(2):
            run.broker.send(track(n, n))
        await until(lambda: run.rows["frames"]["paired"] == 2)
        run.pipeline.stop()
        rows = await run.end()
    assert rows["crops"] == {"made": 2, "published": 2, "dropped": {}}


async def test_an_encoder_that_fails_costs_the_crops_that_were_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And is said; the stream goes on."""

    def broken(*_: object, **__: object) -> NoReturn:
        raise ZeroDivisionError

    select = {"per_track": "best_at_end", "lost_after": 0.3}
    known = {"time_base": Fraction(1, 1)}
    frames = [frame(n, pts=n, **known) for n in range(3)]
    async with running(ListSource(frames), stream(select=select)) as run:
        monkeypatch.setattr("streamcrop.stream.rendering.encode_late", broken)
        for n in range(3):
            run.broker.send(track(n, n))
        rows = await run.end()
    assert rows["predictions"]["received"] == rows["predictions"]["cropped"] == 3
    assert rows["crops"]["dropped"] == {"failed": 3}
    assert rows["frames"]["paired"] == 3
    kinds = {note["kind"]: note["text"] for note in run.pipeline.outcomes.notes.as_json()}
    assert "handing on crops that were held failed" in kinds["failed"]
