"""The metrics, read by Prometheus' own parser and judged by its own tool."""

import os
import shutil
import subprocess
import time

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families
from web.views import EVIL, node, rows, stream

from streamcrop.stream.ledger import ROWS
from streamcrop.web import metrics
from streamcrop.web.metrics import exposition
from streamcrop.web.view import STATES, NodeView

MANY = node(*(stream(f"s{n}") for n in range(50)), spool=7)


def read(view: NodeView) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Each sample by its name and labels."""
    found = {}
    for family in text_string_to_metric_families(exposition(view)):
        assert family.documentation
        for sample in family.samples:
            key = sample.name, tuple(sorted(sample.labels.items()))
            assert key not in found, "given twice"
            found[key] = sample.value
    return found


def test_every_count_of_the_ledger_is_there() -> None:
    """Each row's entry, success and losses, those that never came as 0; no more and no less."""
    samples = read(node(stream(rows=rows(1234, 1200, expired=30, closed=4))))
    ledger = {row: of for row, of in ROWS.items() if row != "sink"}
    for row, (entry, success, reasons) in ledger.items():
        gate = ("stream", "gate")
        assert samples[f"streamcrop_{row}_{entry}_total", (gate,)] == 1234
        counted = {
            dict(labels)["outcome"]: value
            for (name, labels), value in samples.items()
            if name == f"streamcrop_{row}_total"
        }
        assert counted.pop(success) == 1200
        assert counted == {str(r): {"expired": 30, "closed": 4}.get(str(r), 0) for r in reasons}


def test_the_names_are_the_contract_s() -> None:
    """A dashboard relies on them."""
    names = {name for name, _ in read(node(stream(clock_offset=-0.25), spool=7))}
    assert {
        "streamcrop_frames_total",
        "streamcrop_messages_total",
        "streamcrop_predictions_total",
        "streamcrop_crops_total",
        "streamcrop_frames_received_total",
        "streamcrop_messages_received_total",
        "streamcrop_predictions_received_total",
        "streamcrop_crops_made_total",
        "streamcrop_sink_events_total",
        "streamcrop_capture_to_crop_seconds_bucket",
        "streamcrop_capture_to_crop_seconds_sum",
        "streamcrop_capture_to_crop_seconds_count",
        "streamcrop_pair_to_publish_seconds_count",
        "streamcrop_message_delay_seconds_count",
        "streamcrop_queue_items",
        "streamcrop_queue_bytes",
        "streamcrop_stream_state",
        "streamcrop_spool_events",
        "streamcrop_camera_clock_offset_seconds",
        "streamcrop_reconnects_total",
        "streamcrop_restarts_total",
    } <= names
    assert {name for name in names if not name.startswith(("streamcrop_", "process_"))} == set()


def test_states_queues_sinks_and_times() -> None:
    """One state of all is 1; buckets are cumulative."""
    samples = read(node(stream(state="degraded", clock_offset=-0.25), spool=7))
    gate = ("stream", "gate")
    states = {s: samples["streamcrop_stream_state", (("state", s), gate)] for s in STATES}
    assert states == {**dict.fromkeys(STATES, 0), "degraded": 1}
    queue = (("queue", "frames"), gate)
    assert samples["streamcrop_queue_items", queue] == 3
    assert samples["streamcrop_queue_bytes", queue] == 9_300_000
    delivered = (("outcome", "delivered"), ("sink", "mqtt"), gate)
    assert samples["streamcrop_sink_events_total", delivered] == 228
    assert samples["streamcrop_sink_events_taken_total", (("sink", "mqtt"), gate)] == 230
    assert samples["streamcrop_camera_clock_offset_seconds", (gate,)] == -0.25
    assert samples["streamcrop_spool_events", ()] == 7
    name = "streamcrop_capture_to_crop_seconds"
    at_most = {
        bound: samples[f"{name}_bucket", (("le", bound), gate)] for bound in ("0.05", "0.1", "+Inf")
    }
    assert at_most == {"0.05": 0, "0.1": 10, "+Inf": 11}
    assert (samples[f"{name}_sum", (gate,)], samples[f"{name}_count", (gate,)]) == (61, 11)


def test_values_from_outside_are_escaped() -> None:
    """A label may hold anything; a configuration's names hold less."""
    samples = read(node(stream(EVIL), node=EVIL))
    assert samples["streamcrop_info", (("node", EVIL), ("version", "0.0.1"))] == 1
    assert samples["streamcrop_reconnects_total", (("stream", EVIL),)] == 1


def test_promtool_agrees() -> None:
    """Names, units, help and types are as Prometheus' guide wants them."""
    program = shutil.which("promtool")
    assert program, "the tests need promtool: apt-get install prometheus"
    for view in (MANY, node(), node(stream(EVIL, clock_offset=1e-9), connected=False)):
        checked = subprocess.run(
            [program, "check", "metrics"],
            input=exposition(view),
            capture_output=True,
            text=True,
            check=False,
        )
        assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_the_process_is_this_one() -> None:
    """Its CPU time, memory, age and descriptors, held against another reader's."""
    process = psutil.Process(os.getpid())
    samples = {name: value for (name, _), value in read(node()).items()}
    times, memory = process.cpu_times(), process.memory_info()
    assert samples["process_cpu_seconds_total"] == pytest.approx(times.user + times.system, abs=0.5)
    assert samples["process_resident_memory_bytes"] == pytest.approx(memory.rss, rel=0.2)
    assert samples["process_virtual_memory_bytes"] == pytest.approx(memory.vms, rel=0.2)
    assert samples["process_start_time_seconds"] == pytest.approx(process.create_time(), abs=1.5)
    assert samples["process_open_fds"] == pytest.approx(process.num_fds(), abs=3)
    assert samples["process_max_fds"] == process.rlimit(psutil.RLIMIT_NOFILE)[0]


def test_without_linux_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no process to tell of; the rest is there."""

    def missing(_: str) -> list[str]:
        raise FileNotFoundError

    monkeypatch.setattr(metrics.os, "listdir", missing)
    names = {name for name, _ in read(node())}
    assert "streamcrop_info" in names
    assert not [name for name in names if name.startswith("process_")]


def test_50_streams_take_less_than_100_ms() -> None:
    """Of CPU time, whatever else this machine does; 34 ms with both cores taken (2026-11-28)."""
    exposition(MANY)
    since = time.thread_time()
    text = exposition(MANY)
    assert time.thread_time() - since < 0.1
    assert text.count("\n") > 4000
