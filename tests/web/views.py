"""A node's views, as a test wants them."""

from typing import Any

from streamcrop.stream.ledger import ROWS
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
    }


def stream(name: str = "gate", **how: Any) -> StreamView:
    """A stream that does well."""
    chosen = {
        "state": "running",
        "reason": "connected",
        "topic": f"detections/{name}",
        "rows": rows(expired=2),
        "sinks": {"mqtt": {"delivered": 228, "not_acknowledged": 0}},
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

    def view(self) -> NodeView:
        self.asked += 1
        return self.shown

    def explain(self, stream: str, name: str) -> str | None:
        known = {each.name for each in self.shown.streams}
        return f"{name}: received" if stream in known else None
