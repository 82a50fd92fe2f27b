"""Reasons in words, said seldom and kept."""

from streamcrop.notes import Notes, excerpt


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


def test_an_excerpt_is_printable_and_short() -> None:
    """80 bytes, those that are no text escaped."""
    assert excerpt(b"\x00\x1b[31m\xc3\xa9" + b"x" * 90).isprintable()
    assert excerpt(b"x" * 90) == "x" * 80
