"""Pictures over a real broker: their names, their past, and what becomes of those that are none."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import cv2
import numpy as np
import pytest
from fakes import until
from patience import PATIENCE
from peers import Client, Image, Mosquitto, number_in, numbered

from streamcrop.core.limits import Limits
from streamcrop.core.lineage import LineageEntry
from streamcrop.core.values import Change, Frame, Note, Reason
from streamcrop.formats.events import CROP_TYPE, FRAME_TYPE, MODES, Event, attributes
from streamcrop.mqtt.broker import Address, Broker
from streamcrop.sources.mqtt import MqttSource

TOPIC = "cams/front/jpg"
WIDTH, HEIGHT = 200, 40
AT = 1795341600123456
AT_TEXT = "2026-11-22T10:00:00.123456Z"


def png(number: int = 5) -> bytes:
    """A picture that carries its number."""
    done, data = cv2.imencode(".png", numbered(number, WIDTH, HEIGHT))
    assert done
    return data.tobytes()


@asynccontextmanager
async def source_at(
    mosquitto: Mosquitto, topic: str = "cams/#", **how: Any
) -> AsyncIterator[tuple[MqttSource, Client]]:
    """A source on a connection of its own, and somebody who publishes."""
    broker = Broker(Address("127.0.0.1", mosquitto.port), name="test")
    source = MqttSource(broker, topic, **how)
    running = asyncio.create_task(broker.run())
    try:
        await broker.wait_until_up()
        async with Client(mosquitto.port) as client:
            yield source, client
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def take(source: MqttSource, count: int, notes: list[Note] | None = None) -> list[Any]:
    """The next items, without the changes of the connection; notes go where they are wanted."""
    found: list[Any] = []
    async with asyncio.timeout(PATIENCE), aclosing(source.frames()) as items:
        async for item in items:
            if isinstance(item, Note) and notes is not None:
                notes.append(item)
            found += [] if isinstance(item, Change | Note) else [item]
            if len(found) == count:
                break
    return found


async def received(
    mosquitto: Mosquitto,
    payload: bytes,
    said: dict[str, str] | None = None,
    topic: str = TOPIC,
    **how: Any,
) -> Any:
    """What a source makes of one message."""
    async with source_at(mosquitto, **how) as (source, client):
        await client.publish(payload, topic, said)
        return (await take(source, 1))[0]


def entry(name: str, width: int, height: int, *origin: int) -> dict[str, Any]:
    """An image of a lineage, as messages write it."""
    return {"id": name, "width": width, "height": height, **({"origin": origin} if origin else {})}


def event(mode: str, kind: str = CROP_TYPE, **metadata: Any) -> tuple[bytes, dict[str, str]]:
    """A picture as a node publishes it: the payload, and the user properties."""
    described = attributes(
        kind=kind, node="n", stream="gate", event_id="gate/7/car", subject="car", time=AT
    )
    made = Event("", png(), "image/png", described, json.dumps(metadata).encode())
    packet = MODES[mode](made)
    return packet.payload, dict(packet.user_properties)


CROP = {
    "id": "gate/7/car",
    "frame_id": "7",
    "captured_at": AT_TEXT,
    "lineage": [entry("gate/7", 640, 480), entry("car", WIDTH, HEIGHT, 100, 50)],
}


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
async def test_a_picture_and_its_properties(broker: Mosquitto, suffix: str) -> None:
    """A plain picture: its pixels, its ID and times; it has no past and no media time."""
    data = cv2.imencode(suffix, numbered(9, WIDTH, HEIGHT))[1].tobytes()
    before = time.time_ns() // 1000
    frame = await received(broker, data, {"frame_id": "a/b 1", "captured_at": AT_TEXT})
    assert isinstance(frame, Frame)
    assert number_in(frame.pixels.bgr()) == 9
    assert frame.pixels.resolution_wh == (WIDTH, HEIGHT)
    assert (frame.frame_id, frame.captured_at) == ("a/b 1", AT)
    assert before <= (frame.arrived or 0) <= time.time_ns() // 1000
    assert (frame.lineage, frame.epoch, frame.pts, frame.sei) == (None,) * 4


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (None, "7"),
        ("property:n", "8"),
        ("property:frame_id", "7"),
        ("level:0", "cams"),
        ("level:1", "front"),
        ("level:-1", "jpg"),
        ("level:3", Reason.NO_KEY),
        ("level:-4", Reason.NO_KEY),
        ("property:missing", Reason.NO_KEY),
        ("property:long", Reason.NO_KEY),
        ("property:unprintable", Reason.NO_KEY),
        ("property:empty", Reason.NO_KEY),
    ],
)
async def test_where_the_id_stands(broker: Mosquitto, place: str | None, expected: str) -> None:
    """The ID is where the configuration says; one that cannot be one is none."""
    said = {"frame_id": "7", "n": "8", "long": "x" * 1025, "unprintable": "a\u200eb", "empty": ""}
    found = await received(broker, png(), said, frame_id=place)
    assert (found.frame_id if isinstance(found, Frame) else found) == expected


async def test_a_picture_without_an_id(broker: Mosquitto) -> None:
    """It ends as `no_key`; where IDs pair nothing, it is named by its arrival."""
    assert await received(broker, png()) == Reason.NO_KEY
    frame = await received(broker, png(), unnamed=True)
    assert frame.frame_id == str(frame.arrived)
    assert (await received(broker, png(), {"frame_id": "7"}, unnamed=True)).frame_id == "7"


@pytest.mark.parametrize("mode", MODES)
async def test_a_crop_of_another_node(broker: Mosquitto, mode: str) -> None:
    """A crop's ID is its event's, and its whole chain of images comes with it."""
    frame = await received(broker, *event(mode, **CROP))
    assert frame.frame_id == "gate/7/car"
    assert frame.captured_at == AT
    assert frame.lineage == (
        LineageEntry("gate/7", None, 640, 480),
        LineageEntry("car", (100, 50), WIDTH, HEIGHT),
    )
    assert number_in(frame.pixels.bgr()) == 5


@pytest.mark.parametrize("mode", MODES)
async def test_a_tapped_frame(broker: Mosquitto, mode: str) -> None:
    """A frame that a node tapped keeps its ID; its capture time may be the event's alone."""
    frame = await received(broker, *event(mode, FRAME_TYPE, frame_id="ab-7"))
    assert (frame.frame_id, frame.lineage, frame.captured_at) == ("ab-7", None, AT)


async def test_a_place_for_the_id_of_an_event(broker: Mosquitto) -> None:
    """Where the configuration names a place, it holds for events, too."""
    assert (
        await received(broker, *event("json", **CROP), frame_id="property:subject")
    ).frame_id == "car"
    assert (await received(broker, *event("json", **CROP), frame_id="level:1")).frame_id == "front"


async def test_an_event_that_comes_again(broker: Mosquitto) -> None:
    """Delivery is at least once: of two equal events the second is left out, the first stays."""
    async with source_at(broker) as (source, client):
        for mode in ("binary", "json"):
            payload, said = event(mode, **CROP)
            await client.publish(payload, TOPIC, said)
        crop, again = await take(source, 2)
    assert (crop.frame_id, again) == ("gate/7/car", Reason.AMBIGUOUS)


async def test_a_plain_picture_that_comes_again(broker: Mosquitto) -> None:
    """As the broker does with one that it keeps; one that differs anywhere is another picture."""
    first = (png(), TOPIC, {"frame_id": "1", "id": "camera 1", "captured_at": AT_TEXT})
    later = {**first[2], "captured_at": "2026-11-22T10:00:01Z"}
    others = [(png(6), *first[1:]), (first[0], "cams/back/jpg", first[2]), (*first[:2], later)]
    async with source_at(broker) as (source, client):
        for picture in (first, first, *others, first):
            await client.publish(*picture)
        frame, again, *found, once_more = await take(source, 6)
    assert (again, once_more) == (Reason.AMBIGUOUS,) * 2
    assert [each.frame_id for each in (frame, *found)] == ["1"] * 4


async def test_a_plain_picture_without_a_name_is_another_each_time(broker: Mosquitto) -> None:
    """It is named by its arrival; a camera before a wall sends equal pictures."""
    async with source_at(broker, unnamed=True) as (source, client):
        for _ in range(2):
            await client.publish(png(), TOPIC)
        first, second = await take(source, 2)
    assert first.frame_id != second.frame_id


def _with(**changed: Any) -> dict[str, Any]:
    return {**CROP, **changed}


BROKEN: dict[str, tuple[bytes, dict[str, str], str]] = {
    "nothing": (b"", {}, "no JPEG, PNG or WebP, but nothing"),
    "text": (b"a text", {}, "no JPEG, PNG or WebP; it begins with a text"),
    "cut off": (png()[:-200], {}, "no whole picture"),
    "broken JSON": (b'{"specversion":', {}, "no event of a streamcrop node"),
    "no picture in the event": (b'{"specversion": "1.0"}', {}, "no event of a streamcrop node"),
    "no metadata": (png(), {"specversion": "1.0", "type": CROP_TYPE}, "no event of a streamcrop"),
    "no lineage": (*event("binary", **_with(lineage=7)), "no lineage: Expected `array`"),
    "a root alone": (*event("json", **_with(lineage=CROP["lineage"][:1])), "no lineage"),
    "another size": (
        *event("binary", **_with(lineage=[entry("r", 640, 480), entry("car", 9, 9, 1, 1)])),
        "another size than its lineage ends with",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
async def test_what_is_no_picture_is_corrupt(broker: Mosquitto, case: str) -> None:
    """Broken pictures, events and pasts end as `corrupt`; it is said why; the next one is read."""
    payload, said, why = BROKEN[case]
    notes: list[Note] = []
    async with source_at(broker) as (source, client):
        await client.publish(payload, TOPIC, {"frame_id": "1", **said})
        await client.publish(png(), TOPIC, {"frame_id": "2"})
        broken, frame = await take(source, 2, notes)
    assert broken == Reason.CORRUPT
    assert frame.frame_id == "2"
    [note] = notes
    assert note.kind == "corrupt"
    assert note.text.startswith("cams/#: ")
    assert why in note.text


@pytest.mark.parametrize("time", ["yesterday", "9999-12-31T23:59:59-23:59", "1790000000123"])
@pytest.mark.parametrize("name", ["captured_at", "time"])
async def test_a_time_that_is_none(broker: Mosquitto, name: str, time: str) -> None:
    """A capture time that cannot be read is not known, which is said; the picture is."""
    notes: list[Note] = []
    async with source_at(broker) as (source, client):
        await client.publish(png(), TOPIC, {"frame_id": "1", name: time})
        [frame] = await take(source, 1, notes)
    assert (frame.frame_id, frame.captured_at) == ("1", None)
    [note] = notes
    assert note.kind == "unread"
    assert f"{name}: a time is RFC 3339 text" in note.text


@pytest.mark.parametrize("mode", MODES)
async def test_null_says_nothing(broker: Mosquitto, mode: str) -> None:
    """A key that is null is one that is not there."""
    said = {"frame_id": "7", "captured_at": None, "lineage": None}
    frame = await received(broker, *event(mode, FRAME_TYPE, **said))
    assert (frame.frame_id, frame.captured_at, frame.lineage) == ("7", AT, None)


async def test_what_nobody_expected_costs_one_picture(
    broker: Mosquitto, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It ends as `failed`, its traceback is logged, and the next picture is read."""
    monkeypatch.setattr("streamcrop.notes._logged_places", set())
    notes: list[Note] = []

    def broken(data: bytes, _: object) -> Any:
        monkeypatch.undo()
        raise ZeroDivisionError(data)

    monkeypatch.setattr("streamcrop.sources.mqtt.still", broken)
    async with source_at(broker) as (source, client):
        await client.publish(png(), TOPIC, {"frame_id": "1"})
        await client.publish(png(), TOPIC, {"frame_id": "2"})
        failed, frame = await take(source, 2, notes)
    assert failed == Reason.FAILED
    assert frame.frame_id == "2"
    assert [note.kind for note in notes] == ["failed"]
    assert caplog.text.count("Traceback") == 1


async def test_a_burst_is_bounded_and_counted(broker: Mosquitto) -> None:
    """Where pictures come faster than they are read, the oldest go, each as `queue_full`."""
    async with source_at(broker) as (source, client):
        await asyncio.gather(
            *(client.publish(png(n), TOPIC, {"frame_id": str(n)}) for n in range(100))
        )
        await asyncio.sleep(0.5)
        found = await take(source, 100)
    reasons = [item for item in found if isinstance(item, Reason)]
    frames = [item for item in found if isinstance(item, Frame)]
    assert Counter(reasons) == {Reason.QUEUE_FULL: 36}
    assert len(frames) == 64
    assert all(number_in(frame.pixels.bgr()) == int(frame.frame_id) for frame in frames)


async def test_waiting_pictures_are_bounded_in_bytes(broker: Mosquitto) -> None:
    """Few large payloads are too many before many small ones are."""
    large = bytes(30 << 20)
    async with source_at(broker) as (source, client):
        for _ in range(4):
            await client.publish(large, TOPIC)
        await asyncio.sleep(0.5)
        assert Counter(await take(source, 4)) == {Reason.QUEUE_FULL: 2, Reason.NO_KEY: 2}


async def test_a_picture_that_asks_for_too_much(broker: Mosquitto) -> None:
    """It is `corrupt`, the note says which limit it was, and of a large one little is kept."""
    limits = Limits(picture_bytes=100_000, picture_pixels=WIDTH * HEIGHT, values=50)
    larger = cv2.imencode(".png", np.zeros((HEIGHT + 1, WIDTH)))[1].tobytes()
    notes: list[Note] = []
    async with source_at(broker, limits=limits) as (source, client):
        await client.publish(bytes(100_001), TOPIC, {"frame_id": "1"})
        await client.publish(larger, TOPIC, {"frame_id": "2"})
        event = {"metadata": "[" + "0," * 50 + "0]", "data_base64": ""}
        await client.publish(json.dumps(event).encode(), TOPIC)
        await client.publish(png(), TOPIC, {"frame_id": "4"})
        *refused, frame = await take(source, 4, notes)
    assert refused == [Reason.CORRUPT] * 3
    assert frame.frame_id == "4"
    for note, name in zip(notes, ("picture_bytes", "picture_pixels", "values"), strict=True):
        assert name in note.text


async def test_what_waits_at_the_end_is_closed(broker: Mosquitto) -> None:
    """`stop` ends the stream; pictures that wait are handed out as `closed`, none vanishes."""
    found: list[Any] = []
    async with source_at(broker) as (source, client):
        for n in range(5):
            await client.publish(png(n), TOPIC, {"frame_id": str(n)})
        await asyncio.sleep(0.5)
        async with asyncio.timeout(PATIENCE), aclosing(source.frames()) as items:
            async for item in items:
                found.append(item)
                if isinstance(item, Frame):
                    source.stop()
    change, frame, *rest = found
    assert change == Change("running", "subscribed")
    assert frame.frame_id == "0"
    assert rest == [Reason.CLOSED] * 4


async def test_pixels_are_the_very_pixels(broker: Mosquitto) -> None:
    """A lossless picture arrives bit by bit."""
    image: Image = np.random.default_rng(3).integers(0, 256, (33, 47, 3), np.uint8)
    data = cv2.imencode(".png", image)[1].tobytes()
    assert np.array_equal((await received(broker, data, {"frame_id": "1"})).pixels.bgr(), image)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_a_picture_that_was_kept_is_taken(broker: Mosquitto, protocol: str) -> None:
    """It is a camera's newest; and what fails on its way in has failed, alone."""
    connection = Broker(Address("127.0.0.1", broker.port, protocol=protocol), name="test")
    source = MqttSource(connection, "cams/#", unnamed=True)
    async with Client(broker.port) as client:
        await client.publish(png(1), TOPIC, retain=True)
        async with connection.opened():
            [kept] = await take(source, 1)
            assert number_in(kept.pixels.bgr()) == 1
            with pytest.MonkeyPatch.context() as patched:
                patched.setattr(source._waiting, "put_nowait", lambda _: 1 // 0)
                await client.publish(png(2), TOPIC)
                await until(lambda: source._lost)
            await client.publish(png(3), TOPIC)
            failed, good = await take(source, 2)
    assert failed == Reason.FAILED
    assert number_in(good.pixels.bgr()) == 3
