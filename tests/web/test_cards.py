"""A stream as a card."""

import json
import re
import shlex
from typing import Any

import pytest
from web.test_markup import read
from web.views import EVIL, node, rows, stream

from streamcrop.formats import DETECTION_FORMATS
from streamcrop.web.cards import Lately, card, cards, example, plot
from streamcrop.web.past import Figures, Took


def lately(health: float | None = 98.5, **how: Any) -> Lately:
    """What is remembered of a stream that does well."""
    took = {"capture_to_crop": Took(0.04, 1.5), "message_delay": Took(None, None)}
    return Lately(Figures(25.0, 50.0, health, took, {}), **{"losses": [], **how})


def shown(**how: Any) -> str:
    """The text of a card."""
    return read(card(stream(**how), lately(), "127.0.0.1:1883")).text


def test_what_is_ill_comes_first() -> None:
    """Then the one that is least healthy; others keep their order."""
    view = node(
        stream("a"),
        stream("b"),
        stream("sick", state="reconnecting"),
        stream("weak"),
        stream("failed", state="ended", failed=True),
    )
    remembered = {each.name: lately(40 if each.name == "weak" else 100) for each in view.streams}
    names = re.findall(r"<h3>(\w+)</h3>", cards(view, remembered))
    assert names == ["sick", "failed", "weak", "a", "b"]
    assert "5 streams: 3 running, 1 reconnecting, 1 ended" in cards(view, remembered)
    assert "streams:" not in cards(node(stream("a")), remembered)
    assert cards(node(), {}) == ""


def test_its_figures() -> None:
    """Rates, health, times, the fullest queue; what is not known is left out."""
    text = shown(clock_offset=-0.25, restarts=2, caveat="a guess")
    for said in ("25 / s", "50 / s", "98.5 %", "40 ms, p99 1.5 s", "frames, 9%", "-0.250 s"):
        assert said in text
    assert "source lostonce" in text
    assert "begun again2 times" in text
    assert "begun again" not in shown()
    silent = read(card(stream(), lately(None), "b:1")).text
    assert "no message lately" in silent
    assert "no message yet" in read(card(stream(rows=rows(0, 0)), lately(None), "b:1")).text
    assert "Caution: a guess" in text
    assert "detector" not in text
    assert "Caution" not in shown()


def test_losses_have_a_plot_and_a_meaning() -> None:
    """The four that are most; said for those who do not see it."""
    losses = [(10.0 * n, {"frames expired": n % 2, "frames corrupt": 1}) for n in range(60)]
    losses[-1][1].update({f"frames x{n}": 1 for n in range(9)})
    found = read(card(stream(), lately(losses=losses), "b:1"))
    plots = [attributes for name, attributes in found.tags if name == "svg"]
    assert len(plots) == 4
    assert plots[0]["aria-label"] == ("frames corrupt: 60 in ten minutes, at most 1 in ten seconds")
    assert "60 in 10 min" in found.text
    assert "the detector skips frames" in found.text


@pytest.mark.parametrize("counts", [[], [0], [0, 3, 0, 1], [5] * 200])
def test_a_plot(counts: list[int]) -> None:
    """Sixty steps at most; the newest on the right, none higher than the plot."""
    [path] = re.findall(r'd="([^"]*)"', plot(counts, "lost"))
    bars = [(int(at), float(high)) for at, high in re.findall(r"M(\d+) 20v-([\d.]+)", path)]
    assert len(bars) == sum(bool(count) for count in counts[-60:])
    assert all(0 <= at < 60 and 0 < high <= 20 for at, high in bars)
    if counts and counts[-1]:
        assert bars[-1][0] == 59


@pytest.mark.parametrize("key", ["frame_id", "sei", "utc", "pts", "arrival"])
def test_the_first_message_can_be_copied(key: str) -> None:
    """The shell's line publishes what the format reads, with the key that is needed."""
    silent = {"rows": rows(0, 0)}
    found = read(card(stream(key=key, tapped=True, **silent), lately(), "broker.example:1884"))
    assert "streamcrop/gate/frames" in found.text
    [line] = re.findall(r"mosquitto_pub .*}'", found.text)
    words = shlex.split(line)
    assert words[:5] == ["mosquitto_pub", "-h", "broker.example", "-p", "1884"]
    assert words[5:7] == ["-t", "detections/gate"]
    assert words[8] == example(key)
    message = DETECTION_FORMATS["inference"].decode(words[8].encode())
    named = {
        "frame_id": message.frame_id,
        "sei": message.frame_id,
        "utc": message.captured_at,
        "pts": message.pts,
        "arrival": 1,
    }
    assert named[key] is not None
    assert json.loads(words[8])["predictions"]


def test_it_is_told_only_while_it_is_needed() -> None:
    """Once a message has come, or the stream has ended, nobody needs it."""
    assert "No detection message has come yet" in shown(rows=rows(0, 0))
    assert "No detection message" not in shown()
    assert "No detection message" not in shown(rows=rows(0, 0), state="ended")


def test_nothing_breaks_out() -> None:
    """Reasons, notes, topics, caveats and IDs come from outside."""
    notes = [{"kind": EVIL, "text": EVIL, "count": 2}]
    evil = stream(EVIL, reason=EVIL, caveat=EVIL, topic=EVIL, notes=notes, rows=rows(0, 0))
    remembered = lately(lost=[(EVIL, EVIL)], losses=[(0.0, {f"{EVIL} {EVIL}": 1})])
    found = read(card(evil, remembered, EVIL))
    assert not {"script", "b>"} & {name for name, _ in found.tags}
    assert found.text.count("<script>alert(1)</script>") >= 9
    assert {"data-frame": EVIL}.items() <= next(
        attributes.items() for name, attributes in found.tags if name == "button"
    )
