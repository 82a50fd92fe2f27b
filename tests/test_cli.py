"""The command line: help that teaches, and exit codes."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from streamcrop.cli import main

GOOD = """
broker: {url: "mqtt://127.0.0.1:1"}
streams: {gate: {source: {url: /nowhere/clip.mp4}, detections: {topic: d}}}
"""


def invoke(*arguments: str) -> tuple[int, str]:
    """The exit code and what was said."""
    result = CliRunner().invoke(main, list(arguments))
    return result.exit_code, result.output


@pytest.mark.parametrize("command", [(), ("run",), ("check",), ("demo",), ("calibrate",)])
def test_help_teaches(command: tuple[str, ...]) -> None:
    """Every command explains itself."""
    code, said = invoke(*command, "--help")
    assert code == 0
    assert len(said) > 200


def test_check_opens_nothing(tmp_path: Path) -> None:
    """`check` accepts a configuration whose file and broker do not exist."""
    path = tmp_path / "node.yaml"
    path.write_text(GOOD)
    code, said = invoke("check", str(path))
    assert code == 0
    assert "gate: decodes eager: only decoding says which picture" in said
    assert said.endswith("ok\n")


@pytest.mark.parametrize(
    ("hwaccel", "expected"),
    [
        ("cuda:1", "gate: decodes on cuda:1 if it can be opened\n"),
        ("qsv", "gate: decodes in software: this PyAV decodes on cuda, not on qsv\n"),
    ],
)
def test_check_says_what_hardware_could_be_used(
    tmp_path: Path, hwaccel: str, expected: str
) -> None:
    """`check` knows what PyAV was built with, and opens no device."""
    path = tmp_path / "node.yaml"
    path.write_text(GOOD.replace(".mp4", f".mp4, hwaccel: '{hwaccel}'"))
    code, said = invoke("check", str(path))
    assert code == 0
    assert expected in said


@pytest.mark.parametrize("command", ["check", "run"])
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("gate:", "ga te:"), "$.streams"),
        (("topic: d", "topic: d, colour: red"), "$.streams.gate.detections"),
        (("/nowhere/clip.mp4", "rtsp:/stream"), "$.streams.gate.source.url"),
        (("/nowhere/clip.mp4", "rtsp://camera/stream"), "$.streams.gate.pairing.key"),
        (("topic: d}", "topic: d}, pairing: {key: utc}"), "$.streams.gate.pairing.key"),
        (("topic: d}", "topic: d}, output: {topic: 'x/{colour}'}"), "$.streams.gate.output.topic"),
        (("mqtt:", "http:"), "$.broker.url"),
        (("broker:", "node: a#b\nbroker:"), "$.node"),
    ],
)
def test_a_wrong_configuration_is_2_and_names_the_key(
    tmp_path: Path, command: str, change: tuple[str, str], expected: str
) -> None:
    """A wrong configuration ends with 2 and one line that names file and key path."""
    path = tmp_path / "node.yaml"
    path.write_text(GOOD.replace(*change))
    code, said = invoke(command, str(path))
    assert code == 2
    [line] = said.splitlines()
    assert str(path) in line
    assert expected in line


def test_a_missing_configuration_is_2(tmp_path: Path) -> None:
    """A file that is not there ends with 2 and says so."""
    code, said = invoke("run", str(tmp_path / "missing.yaml"))
    assert code == 2
    assert "missing.yaml" in said


def test_a_ledger_that_cannot_be_written_is_2_at_once(tmp_path: Path) -> None:
    """`--ledger` into nowhere is refused before the run, not after it."""
    path = tmp_path / "node.yaml"
    path.write_text(GOOD)
    code, said = invoke("run", str(path), "--ledger", str(tmp_path / "nowhere/ledger.json"))
    assert code == 2
    assert "cannot be written" in said


@pytest.mark.parametrize(
    ("only", "unknown"), [("gate,yard", "yard"), ("", ""), ("gate, gate", " gate")]
)
def test_an_unknown_stream_is_2_and_says_what_there_is(
    tmp_path: Path, only: str, unknown: str
) -> None:
    """`--only` and `--stream` name streams of the configuration, each of them."""
    path = tmp_path / "node.yaml"
    path.write_text(GOOD)
    for command in (("run", "--only", only), ("explain", "--frame-id", "1", "--stream", unknown)):
        code, said = invoke(command[0], str(path), *command[1:])
        assert code == 2
        assert said.endswith(f"no stream {unknown!r}: streams are gate\n")


@pytest.mark.parametrize(
    ("url", "stream", "detector", "code", "expected"),
    [
        ("rtsp://127.0.0.1:1/main", "gate", "clip.mp4", 2, "--detector-url: capture times"),
        ("/nowhere/clip.mp4", "gate", "rtsp://127.0.0.1:1/sub", 2, "source.url: capture times"),
        ("rtsp://127.0.0.1:1/main", "yard", "rtsp://127.0.0.1:1/sub", 2, "--stream: no stream"),
        ("rtsp://u:s3cret@127.0.0.1:1/main", "gate", "rtsp://127.0.0.1:1/sub", 1, "ended: no conn"),
        (
            "rtsp://127.0.0.1:1/main",
            "gate",
            "rtsp:${UNSET}@a",
            2,
            "--detector-url: the environment",
        ),
    ],
)
def test_what_cannot_be_calibrated(
    tmp_path: Path, url: str, stream: str, detector: str, code: int, expected: str
) -> None:
    """A wrong address ends with 2, a camera that does not answer with 1; no password is said."""
    path = tmp_path / "node.yaml"
    key = "pairing: {key: utc}" if "rtsp" in url else "pairing: {key: frame_id}"
    path.write_text(
        GOOD.replace("/nowhere/clip.mp4", url).replace("topic: d}", "topic: d}, " + key)
    )
    result = invoke("calibrate", str(path), "--stream", stream, "--detector-url", detector)
    assert result[0] == code, result[1]
    assert expected in result[1]
    assert "s3cret" not in result[1]
