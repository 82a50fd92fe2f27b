"""What a node remembers of its frames, and how it is asked."""

import asyncio
import json
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from fakes import frame
from hypothesis import given
from hypothesis import strategies as st
from peers import NUMBER_BOX, Client, Mosquitto, Node, box_of, numbered_clip, settings

from streamcrop.core.values import Message
from streamcrop.notes import Notes
from streamcrop.stream.history import Answering, History, topic_of


def test_a_frame_is_known_by_all_its_names() -> None:
    """A frame's ID, its SEI and its capture time all lead to the same story."""
    history = History()
    known = replace(frame("a-1"), sei="s1", captured_at=1_795_341_600_000_000)
    history.note(known, "received")
    history.note_message(Message(b"", captured_at=known.captured_at), "late")
    for name in ("a-1", "s1", "2026-11-22T10:00:00.000000Z"):
        assert history.explain(name) == "received; a message for it ended as late"
    assert history.explain("a-2").startswith("never received")


def test_a_message_that_names_two_frames_mixes_no_stories() -> None:
    """The ID of one frame and the time of another: each keeps its own story."""
    history = History()
    first, second = (
        replace(frame(name), captured_at=1_795_341_600_000_000 + n) for n, name in enumerate("ab")
    )
    history.note(first, "first")
    history.note(second, "second")
    history.note_message(Message(b"", frame_id="a", captured_at=second.captured_at), "expired")
    assert history.explain("a") == "first; a message for it ended as expired"
    assert history.explain("b") == "second"
    assert history.explain("2026-11-22T10:00:00.000001Z") == "second"


def test_memory_is_bounded() -> None:
    """The oldest names are forgotten, and one frame's story does not grow without end."""
    history = History()
    for _ in range(100):
        history.note(frame("first", size=2), "received")
    assert history.explain("first").count("received") < 10
    for number in range(10_000):
        history.note(frame(number, size=2), "received")
    assert history.explain("first").startswith("never received")
    assert history.explain("9999") == "received"


def test_what_is_known_of_the_stream_stands_beside_what_was_lost() -> None:
    """Its notes explain a frame that is unknown, waits or was lost, not one that was paired."""
    history, notes = History(), Notes("gate", clock=lambda: 0.0)
    history.note(frame("lost"), "expired after 2 s")
    history.note(frame("paired"), "received")
    history.note(frame("paired"), "paired by frame_id, 0 predictions: 0 crops made")
    assert history.explain("lost", notes) == "expired after 2 s"
    notes.say("malformed", "detections/gate: no JSON")
    notes.say("malformed", "detections/gate: no list")
    beside = "\nof its stream:\n  malformed (2 times): detections/gate: no list"
    assert history.explain("lost", notes) == "expired after 2 s" + beside
    assert history.explain("other", notes).endswith(beside)
    assert beside not in history.explain("paired", notes)


REPLY_TO = f"{topic_of('edge')}/abc"
QUESTION = {"stream": "gate", "frame_id": "7", "reply_to": REPLY_TO}


def asked(payload: bytes) -> bytes | None:
    """The answer of a node that knows one stream."""
    known = {"gate": "a \ud800 story"}
    answer = Answering("edge", lambda stream, _: known.get(stream)).answer(payload)
    if answer is None:
        return None
    assert (answer.topic, answer.qos, answer.retain) == (REPLY_TO, 0, False)
    return answer.payload


@given(st.binary() | st.builds(lambda n, tail: b"[" * n + tail, st.integers(0, 9000), st.binary()))
def test_any_bytes_are_one_answer_or_none(payload: bytes) -> None:
    """Nothing is raised, whatever is asked."""
    assert asked(payload) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*QUESTION, "more"]), JSON | st.just(REPLY_TO)))
def test_any_question_is_one_answer_or_none(question: dict[str, object]) -> None:
    """Values of any type, halves of surrogate pairs among them."""
    assert asked(json.dumps({**QUESTION, **question}).encode()) in {None, b"a \\ud800 story"}


@pytest.mark.parametrize(
    "reply_to",
    [
        "",
        "streamcrop/gate/crops",
        topic_of("edge"),
        f"{topic_of('edge')}/a/b",
        f"{topic_of('edge')}/a+",
        f"{topic_of('edge')}/é",
        f"{topic_of('edge')}/{'a' * 70_000}",
        f"{topic_of('edge')}/{'a' * 65}",
    ],
)
def test_nobody_has_a_node_publish_elsewhere(reply_to: str) -> None:
    """Nor where no packet could go."""
    assert asked(json.dumps({**QUESTION, "reply_to": reply_to}).encode()) is None
    assert asked(json.dumps(QUESTION).encode()) == b"a \\ud800 story"


def test_so_many_are_answered_in_a_second(caplog: pytest.LogCaptureFixture) -> None:
    """The others are not, which is said once; and the next second's are."""
    now = 0.0
    answering = Answering("edge", lambda *_: "known", clock=lambda: now)
    question = json.dumps(QUESTION).encode()
    assert [answering.answer(question) is None for _ in range(100)].count(False) == 20
    now = 1.0
    assert answering.answer(question)
    assert [answering.answer(question) is None for _ in range(100)].count(False) == 19
    assert [record.getMessage() for record in caplog.records] == [
        "explain: more than 20 questions a second are asked; the others get no answer"
    ]
    now = 100.0
    for _ in range(100):
        answering.answer(question)
    assert len(caplog.records) == 2


def published(topic: str, payload: bytes) -> bytes:
    """A PUBLISH at QoS 0 of MQTT 3.1.1, as it goes over the wire."""
    body = len(topic).to_bytes(2, "big") + topic.encode() + payload
    assert 127 < len(body) < 16_384
    return b"\x30" + bytes([len(body) & 127 | 128, len(body) >> 7]) + body


@pytest.mark.e2e
async def test_a_flood_of_questions_costs_no_memory(broker: Mosquitto, tmp_path: Path) -> None:
    """10,000 as fast as the broker takes them: some answers, and nothing piles up."""
    clip = numbered_clip(tmp_path / "clip.mp4", 12)
    chosen = settings(broker.url, clip, pairing={"max_wait": 60})
    reply_to = f"{topic_of('test')}/abc"
    question = {"stream": "gate", "frame_id": "3", "reply_to": reply_to, "more": "x" * 1000}
    flood = published(topic_of("test"), json.dumps(question).encode())
    async with Client(broker.port) as client:
        with Node(tmp_path, chosen) as node:
            await client.until_running()
            process = psutil.Process(node.process.pid)
            before, most = process.memory_info().rss, 0
            reader, writer = await asyncio.open_connection("127.0.0.1", broker.port)
            writer.write(b"\x10\x10\x00\x04MQTT\x04\x02\x00\x00\x00\x04evil")
            assert len(await reader.readexactly(4)) == 4
            for _ in range(20):
                writer.write(flood * 500)
                await writer.drain()
            await client.publish({"frame_id": 3, "predictions": []})
            while not client.of("metadata"):
                most = max(most, process.memory_info().rss)
                await asyncio.sleep(0.1)
            writer.close()
            node.stop()
            _, said = await asyncio.to_thread(node.wait)
    answers = [message for message in client.arrived if message.topic == reply_to]
    assert 20 <= len(answers) < 2000
    assert most - before < 32 << 20
    assert said.count("explain: more than 20") == 1


@pytest.mark.e2e
async def test_a_running_node_is_asked(broker: Mosquitto, tmp_path: Path) -> None:
    """`streamcrop explain` says why there is no crop: the node's own account, over the broker."""
    clip = numbered_clip(tmp_path / "clip.mp4", 12)

    async def explain(frame_id: str, stream: str = "gate") -> tuple[int | None, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "streamcrop",
            "explain",
            str(tmp_path / "node.yaml"),
            "--stream",
            stream,
            "--frame-id",
            frame_id,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        said, error = await process.communicate()
        return process.returncode, (said + error).decode()

    chosen = settings(broker.url, clip, pairing={"max_wait": 60})
    async with Client(broker.port) as client:
        with Node(tmp_path, chosen) as node:
            await client.until_running()
            boxes = [box_of(NUMBER_BOX), box_of((900, 900, 950, 950))]
            await client.publish({"frame_id": 3, "predictions": boxes})
            await client.publish({"frame_id": 4, "predictions": []})
            await client.publish({"frame_id": 3, "predictions": []})
            await client.until(lambda: len(client.of("metadata")) == 2)
            expected = {
                "3": "paired by frame_id, 2 predictions: 1 crops made, 1 outside_frame",
                "4": "paired by frame_id, 0 predictions: 0 crops made",
                "5": "gate/5: received, waits for its detections\n",
                "999": "never received",
            }
            for frame_id, story in expected.items():
                code, said = await explain(frame_id)
                assert code == 0, said
                assert story in said
            assert "a message for it ended as duplicate" in (await explain("3"))[1]
            assert "streams are gate" in (await explain("3", "yard"))[1]
            # Nobody has the node publish wherever he likes.
            question = {"stream": "gate", "frame_id": "3", "reply_to": "streamcrop/gate/crops"}
            await client.publish(question, "streamcrop/node/test/explain")
            await client.publish(b"rubbish", "streamcrop/node/test/explain")
            node.stop()
            await asyncio.to_thread(node.wait)
            assert len(client.of("crops")) == 1
    code, said = await explain("3")
    assert code == 1
    assert "no node 'test' answers" in said


def test_the_last_frames_that_were_lost() -> None:
    """Newest first; not those that were paired, or wait; each once, whatever names it has."""
    history = History()
    for number in range(30):
        known = replace(frame(number, size=2), sei=f"sei-{number}")
        history.note(known, "received, waits for its detections")
        if number % 3 == 0:
            history.note(known, "expired after 2 s")
        elif number % 3 == 1:
            history.note(known, "paired by frame_id, 0 predictions: 0 crops made")
    history.note_message(Message(b"", frame_id="28"), "duplicate")
    lost = history.lost(4)
    assert [name for name, _ in lost] == ["27", "24", "21", "18"]
    assert lost[0][1] == "received, waits for its detections; expired after 2 s"
    assert History().lost(4) == []
    for number in range(1000):
        history.note(frame(f"x{number}", size=2), "paired by frame_id, 0 crops made")
    assert history.lost(4) == []
