"""A node's views, as a test wants them."""

import json
from typing import Any

from streamcrop.formats.events import Event
from streamcrop.stream.ledger import ROWS
from streamcrop.web.recent import Recent
from streamcrop.web.view import NodeView, QueueView, RowView, StreamView, TimesView

EVIL = "<script>alert(1)</script>\"'\\\n&"


def rows(entered: int = 230, succeeded: int = 228, **dropped: int) -> dict[str, RowView]:
    """The ledger's rows, all alike; each loss counts where the row knows it."""
    return {
        name: RowView(
            entry,
            entered,
            {success: succeeded} | {str(r): dropped.get(str(r), 0) for r in sorted(reasons)},
        )
        for name, (entry, success, reasons) in ROWS.items()
        if name != "sink"
    }


def stream(name: str = "gate", **how: Any) -> StreamView:
    """A stream that does well."""
    chosen = {
        "state": "running",
        "reason": "connected",
        "topic": f"detections/{name}",
        "rows": rows(expired=2),
        "sinks": {"mqtt": RowView("taken", 230, {"delivered": 228, "not_acknowledged": 2})},
        "queues": {"frames": QueueView(3, 9_300_000, 32, 256 << 20)},
        "times": {
            each: TimesView((0, 0, 0, 0, 10, *[0] * 7, 1), 61.0)
            for each in ("capture_to_crop", "pair_to_publish", "message_delay")
        },
        "reconnects": 1,
    }
    return StreamView(name=name, **{**chosen, **how})


def node(*streams: StreamView, **how: Any) -> NodeView:
    """A node with these streams."""
    chosen = {"node": "edge", "version": "0.0.1", "broker": "127.0.0.1:1883", "connected": True}
    return NodeView(streams=streams, **{**chosen, **how})


class Watched:
    """A node that shows what a test puts into it."""

    def __init__(self, shown: NodeView) -> None:
        self.shown = shown
        self.asked = 0
        self.recent = Recent()

    def view(self) -> NodeView:
        self.asked += 1
        return self.shown

    def lost(self, stream: str) -> list[tuple[str, str]]:
        return [(EVIL, f"expired in {stream}")]

    def explain(self, stream: str, name: str) -> str | None:
        known = {each.name for each in self.shown.streams}
        return f"{name}: received" if stream in known else None


def crop(number: object, *, label: str = "thing", data: bytes = b"picture", **more: Any) -> Event:
    """A crop of a frame, as it is delivered."""
    metadata = {
        "stream": "gate",
        "id": f"gate/{number}/a",
        "frame_id": str(number),
        "detection_id": "a",
        "origin": [100, 50],
        "lineage": [
            {"id": "gate/1", "width": 640, "height": 480},
            {"id": "a", "origin": [100, 50]},
        ],
        "image": {"width": 60, "height": 120},
        "predictions": [
            {"x": 30, "y": 60, "width": 50, "height": 100, "confidence": 0.9, "class": label}
        ],
        **more,
    }
    attributes = {"id": f"gate/{number}/a"}
    encoded = json.dumps(metadata).encode()
    return Event(
        "crops", data, "image/png", attributes, encoded, is_crop=True, name=(str(number), "a")
    )
