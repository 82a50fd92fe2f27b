"""What programs ask."""

import json

import pytest
from prometheus_client.parser import text_string_to_metric_families
from web.asking import asking
from web.views import EVIL, node, rows, stream


async def test_alive_and_ready() -> None:
    """Alive while it answers; ready when all is well, else 503 with the reasons."""
    async with asking(node(stream(), stream("file", state="ended"))) as ask:
        assert (await ask("/healthz"))[0] == 200
        status, _, text = await ask("/readyz")
        assert (status, json.loads(text)) == (200, {"ready": True, "reasons": []})
    ill = stream("yard", state="reconnecting", reason="no connection to the camera")
    async with asking(node(stream(), ill, connected=False)) as ask:
        assert (await ask("/healthz"))[0] == 200
        status, headers, text = await ask("/readyz")
        assert (status, headers["Content-Type"]) == (503, "application/json")
        assert json.loads(text) == {
            "ready": False,
            "reasons": [
                "the broker 127.0.0.1:1883 is not connected",
                "yard: reconnecting: no connection to the camera",
            ],
        }


async def test_metrics() -> None:
    """In the text format, as its content type says."""
    async with asking(node(stream(EVIL))) as ask:
        status, headers, text = await ask("/metrics")
        assert (status, headers["Content-Type"]) == (
            200,
            "text/plain; version=0.0.4; charset=utf-8",
        )
        names = {family.name for family in text_string_to_metric_families(text)}
        assert {"streamcrop_frames", "streamcrop_capture_to_crop_seconds"} <= names


async def test_streams() -> None:
    """State, reason, key, ledger, rates, latencies, queues and health of each."""
    guess = stream("guess", key="arrival", caveat="arrival is a guess", clock_offset=0.5)
    async with asking(node(stream(rows=rows(230, 228, expired=2)), guess)) as ask:
        found = json.loads((await ask("/api/streams"))[2])
    assert found["node"] == "edge"
    assert found["broker"] == {"address": "127.0.0.1:1883", "connected": True}
    assert list(found["streams"]) == ["gate", "guess"]
    gate = found["streams"]["gate"]
    assert (gate["state"], gate["reason"], gate["key"]) == ("running", "connected", "frame_id")
    assert gate["ledger"]["frames"] == {"received": 230, "paired": 228, "dropped": {"expired": 2}}
    assert gate["ledger"]["crops"] == {"made": 230, "published": 228, "dropped": {}}
    assert set(gate["rates"]) == {"frames", "crops"}
    assert set(gate["latency"]["capture_to_crop"]) == {"p50", "p99"}
    assert gate["queues"]["frames"] == {"items": 3, "bytes": 9_300_000, "fill": 0.094}
    assert "health" in gate
    assert "caveat" not in gate
    assert found["streams"]["guess"]["caveat"] == "arrival is a guess"
    assert found["streams"]["guess"]["clock_offset"] == 0.5


@pytest.mark.parametrize(
    ("path", "frame"),
    [("7", "7"), ("a%2Fb", "a/b"), ("%3Cscript%3E", "<script>"), ("2026-11-22T10:00:00Z", None)],
)
async def test_the_story_of_a_frame(path: str, frame: str | None) -> None:
    """Its name is percent-encoded whole; a stream that is not there is 404."""
    async with asking(node(stream())) as ask:
        status, headers, text = await ask(f"/api/streams/gate/frames/{path}")
        assert (status, headers["Content-Type"]) == (200, "application/json")
        wanted = frame or path
        assert json.loads(text) == {
            "stream": "gate",
            "frame": wanted,
            "story": f"{wanted}: received",
        }
        assert (await ask(f"/api/streams/yard/frames/{path}"))[0] == 404


@pytest.mark.parametrize("path", ["/metrics", "/api/streams", "/api/streams/gate/frames/7"])
async def test_what_needs_the_token(path: str) -> None:
    """All but health: who starts the node again has no token."""
    async with asking(node(stream()), token="s3cret") as ask:  # noqa: S106  # of this test
        assert (await ask(path))[0] == 401
        assert (await ask(path, headers={"Authorization": "Bearer s3cret"}))[0] == 200
        for public in ("/healthz", "/readyz", "/login", "/static/page.css"):
            assert (await ask(public))[0] == 200
