"""A stream as a card: is it well, how much it does, what it loses, and what is missing."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from streamcrop.web.markup import Markup, join, tag
from streamcrop.web.meanings import meaning
from streamcrop.web.past import Figures, Took
from streamcrop.web.view import NodeView, StreamView


@dataclass(frozen=True, slots=True)
class Lately:
    """The recent past of a stream.

    Attributes:
        figures: What it did.
        losses: Those of the last ten minutes, as `Past.losses`.
        lost: The last frames that were not paired: a name and the story of each.
    """

    figures: Figures
    losses: Sequence[tuple[float, Mapping[str, int]]]
    lost: Sequence[tuple[str, str]] = ()


# So many kinds of losses have a plot each; those with the most.
_PLOTS, _BARS = 4, 60
_TIMES = {
    "capture_to_crop": "to crop",
    "pair_to_publish": "pair to crop",
    "message_delay": "detector",
}
_NAMES: dict[str, dict[str, Any]] = {
    "sei": {"frame_id": "the ID in the frame's SEI"},
    "utc": {"captured_at": "2026-11-22T10:00:00.123456Z"},
    "pts": {"pts": 90000, "time_base": "1/90000"},
    "arrival": {},
}
_BOX = {"x": 100, "y": 80, "width": 60, "height": 120, "confidence": 0.9, "class": "person"}


def cards(view: NodeView, lately: Mapping[str, Lately]) -> Markup:
    """All streams, those that are ill first, in the configuration's order otherwise.

    Args:
        view: How the node is.
        lately: What is remembered of each stream, by name.
    """

    def ill_first(stream: StreamView) -> tuple[bool, float]:
        health = lately[stream.name].figures.health
        return stream.is_well, 100.0 if health is None else health

    ordered = sorted(view.streams, key=ill_first)
    shown = [card(each, lately[each.name], view.broker) for each in ordered]
    return join([_summary(view.streams) if len(ordered) > 1 else None, shown])


def _summary(streams: Sequence[StreamView]) -> Markup:
    states = Counter(each.state for each in streams)
    counts = ", ".join(f"{count} {state}" for state, count in states.most_common())
    return tag("p", f"{len(streams)} streams: {counts}", class_="summary soft")


def card(stream: StreamView, lately: Lately, broker: str) -> Markup:
    """One stream.

    Args:
        stream: How it is.
        lately: What is remembered of it.
        broker: The broker's host and port.
    """
    kind = "well" if stream.is_well else "ill" if stream.state == "ended" else "busy"
    messages = stream.rows.get("messages")
    waits = messages is not None and not messages.entered and stream.state != "ended"
    state = tag("span", stream.state, class_=f"state {kind}")
    return tag(
        "article",
        tag("header", tag("h3", stream.name), state),
        tag("p", stream.reason, class_="reason"),
        tag("p", "Caution: ", stream.caveat, class_="caveat") if stream.caveat else None,
        _figures(stream, lately.figures),
        _plots(lately.losses),
        first_steps(stream, broker) if waits else None,
        _lost(stream.name, lately.lost),
        _notes(stream),
        class_=f"card {kind}",
        id=f"stream-{stream.name}",
    )


def _figures(stream: StreamView, figures: Figures) -> Markup:
    asked = bool(stream.rows["messages"].entered) if "messages" in stream.rows else False
    silent = "no message lately" if asked else "no message yet"
    health = silent if figures.health is None else f"{figures.health:g} %"
    fullest = max(stream.queues.items(), key=lambda item: item[1].fill, default=None)
    rows: list[tuple[str, str]] = [
        ("frames in", f"{figures.frames:g} / s"),
        ("crops out", f"{figures.crops:g} / s"),
        ("health", health),
        ("paired by", stream.key),
    ]
    took = figures.took
    rows += [(said, _took(took[name])) for name, said in _TIMES.items() if _is_known(took, name)]
    if fullest:
        rows.append(("fullest queue", f"{fullest[0].replace('_', ' ')}, {fullest[1].fill:.0%}"))
    if stream.clock_offset is not None:
        rows.append(("camera's clock", f"{stream.clock_offset:+.3f} s"))
    if stream.reconnects:
        rows.append(("source lost", _times(stream.reconnects)))
    if stream.restarts:
        rows.append(("begun again", _times(stream.restarts)))
    return tag("dl", (tag("div", tag("dt", name), tag("dd", value)) for name, value in rows))


def _is_known(took: Mapping[str, Took], name: str) -> bool:
    return name in took and took[name].p50 is not None


def _took(took: Took) -> str:
    return f"{_short(took.p50 or 0)}, p99 {_short(took.p99 or 0)}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _short(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _plots(losses: Sequence[tuple[float, Mapping[str, int]]]) -> Markup | None:
    totals: dict[str, int] = {}
    for _, lost in losses:
        for name, count in lost.items():
            totals[name] = totals.get(name, 0) + count
    most = sorted(totals, key=lambda name: -totals[name])[:_PLOTS]
    if not most:
        return None
    return tag(
        "ul",
        (
            tag(
                "li",
                tag("span", name.replace("_", " "), class_="what"),
                tag("span", f"{totals[name]} in 10 min", class_="count"),
                plot([lost.get(name, 0) for _, lost in losses], name.replace("_", " ")),
                tag("span", meaning(*name.split(" ", 1)), class_="means"),
            )
            for name in most
        ),
        class_="losses",
        aria_label="Losses of the last ten minutes",
    )


def plot(counts: Sequence[int], what: str) -> Markup:
    """Bars, the newest on the right.

    Args:
        counts: Of each step, oldest first.
        what: Was counted, for those who do not see it.
    """
    counts = [0] * (_BARS - len(counts)) + list(counts[-_BARS:])
    most = max(*counts, 1)
    path = "".join(
        f"M{at} 20v-{max(1.0, 20 * count / most):.1f}" for at, count in enumerate(counts) if count
    )
    label = f"{what}: {sum(counts)} in ten minutes, at most {most} in ten seconds"
    line = tag("path", d=path, stroke="currentColor", stroke_width="0.8")
    return tag(
        "svg",
        line,
        viewBox="-0.5 0 60 20",
        preserveAspectRatio="none",
        role="img",
        aria_label=label,
    )


def _lost(stream: str, lost: Sequence[tuple[str, str]]) -> Markup | None:
    if not lost:
        return None
    return _folded(
        f"Frames that were lost lately ({len(lost)})",
        f"lost-{stream}",
        (
            tag(
                "li",
                tag("button", name, class_="plain", data_stream=stream, data_frame=name),
                " ",
                story,
            )
            for name, story in lost
        ),
    )


def _notes(stream: StreamView) -> Markup | None:
    if not stream.notes:
        return None
    newest = list(reversed(stream.notes))
    return _folded(
        f"Notes ({len(newest)})",
        f"notes-{stream.name}",
        (
            tag("li", tag("b", _words(note["kind"])), f" ({note['count']} times) ", note["text"])
            for note in newest
        ),
    )


def _folded(title: str, name: str, items: Iterable[Markup]) -> Markup:
    """A list that is opened; the page keeps it open under its name."""
    return tag("details", tag("summary", title), tag("ul", items), class_="notes", data_keep=name)


def _words(name: object) -> str:
    return str(name).replace("_", " ")


def first_steps(stream: StreamView, broker: str) -> Markup:
    """The steps that would connect a stream to which no detection message has come.

    Args:
        stream: The stream.
        broker: The broker's host and port.
    """
    host, _, port = broker.rpartition(":")
    message = example(stream.key)
    topic = stream.topic
    quoted = message.replace("'", "'\\''")
    line = f"mosquitto_pub -h {host} -p {port} -t '{topic}' -m '{quoted}'"
    tap = (
        "The frames for it, with their IDs, come on ",
        tag("code", f"streamcrop/{stream.name}/frames"),
        ". ",
    )
    return tag(
        "div",
        tag(
            "p",
            "No detection message has come yet. A detector publishes to ",
            tag("code", topic),
            ".",
        ),
        tag("p", tap if stream.tapped else None, "A message looks like this:"),
        tag("pre", tag("code", message), tabindex="0"),
        tag("p", "To try it from a shell:"),
        tag("pre", tag("code", line), tabindex="0"),
        class_="first",
    )


def example(key: str) -> str:
    """A detection message that has what a pairing key needs.

    Args:
        key: The key.

    Example:
        >>> example("pts")[:35]
        '{"pts":90000,"time_base":"1/90000",'
    """
    names = _NAMES.get(key, {"frame_id": "the frame's ID"})
    return msgspec.json.encode({**names, "predictions": [_BOX]}).decode()
