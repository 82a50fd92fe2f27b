"""Reasons in words, said seldom and kept."""

import json

import msgspec
import pytest

from streamcrop.notes import Notes, excerpt, unexpected


def test_each_kind_is_logged_once_a_minute() -> None:
    """The first of each kind, then at most one a minute; all are counted."""
    now, said = 0.0, []
    notes = Notes("gate", clock=lambda: now)

    def log(*line: object) -> None:
        said.append(line[0] % line[1:])

    for now, text in ((0.0, "a"), (1.0, "b"), (59.0, "c"), (60.0, "d"), (61.0, "e")):  # noqa: B007  # `clock` reads it
        notes.say("malformed", text, log=log)
    notes.say("other", "x", log=log)
    assert said == ["stream gate: a", "stream gate: d", "stream gate: x"]
    assert notes.as_json() == [
        {"kind": "malformed", "text": "e", "count": 5},
        {"kind": "other", "text": "x", "count": 1},
    ]


def test_the_newest_ten_kinds_are_kept_and_long_texts_are_cut() -> None:
    """What is kept is bounded."""
    notes = Notes("gate")
    for number in range(12):
        notes.say(f"kind {number}", "long " * 200, log=lambda *_: None)
    kept = notes.as_json()
    assert [note["kind"] for note in kept] == [f"kind {number}" for number in range(2, 12)]
    assert {len(note["text"]) for note in kept} == {400}


def test_a_text_can_be_written(caplog: pytest.LogCaptureFixture) -> None:
    """Halves of surrogate pairs, which no status could hold, are escaped."""
    notes = Notes("gate")
    notes.say("malformed", "a \ud800")
    assert json.loads(msgspec.json.encode(notes.as_json()))[0]["text"] == r"a \ud800"
    assert r"a \ud800" in caplog.text


def broken(*, deeper: bool) -> Exception:
    """An error from one of two lines."""
    try:
        if deeper:
            {}["password"]
        json.loads("password")
    except ValueError as error:
        return error
    except KeyError as error:
        return error
    raise AssertionError


def test_a_traceback_is_logged_once_a_place(caplog: pytest.LogCaptureFixture) -> None:
    """Each line that raises is logged once; what is said of it does not repeat its text."""
    for _ in range(3):
        for deeper in (True, False):
            said = unexpected("reading a message", broken(deeper=deeper))
            assert said.startswith("reading a message failed: ")
            assert "password" not in said
    assert [record.exc_info is not None for record in caplog.records] == [True, True]
    assert "KeyError: 'password'" in caplog.text
    assert "JSONDecodeError" in caplog.text
    assert caplog.text.count("Traceback") == 2


def test_an_excerpt_is_printable_and_short() -> None:
    """80 bytes, those that are no text escaped."""
    assert excerpt(b"\x00\x1b[31m\xc3\xa9" + b"x" * 90).isprintable()
    assert excerpt(b"x" * 90) == "x" * 80


def test_an_error_that_was_never_raised() -> None:
    """A future may be given one: it has no traceback, and is said all the same."""
    said = unexpected("publishing", ValueError("x"))
    assert said == "publishing failed: ValueError in a future; the log has the traceback, once"
