"""What the README says is so."""

import json
import re
from pathlib import Path

import pytest

from streamcrop import config
from streamcrop.formats import inference
from streamcrop.stream import ledger as stats

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def test_the_library_example_runs() -> None:
    """The example of the library runs as it stands and its nested lineage has three images."""
    [example] = [text for text in blocks("python") if "crop_and_translate" in text]
    names: dict[str, object] = {}
    exec(compile(example, "README.md", "exec"), names)  # noqa: S102  # our own README
    assert len(names["inner"].lineage) == 3


def test_consumer_and_detector_compile_and_are_short() -> None:
    """Both are valid Python of at most 15 lines."""
    examples = [text for text in blocks("python") if "aiomqtt" in text]
    assert len(examples) == 2
    for example in examples:
        compile(example, "README.md", "exec")
        assert len([line for line in example.splitlines() if line.strip()]) <= 15


def test_the_configurations_load(monkeypatch: pytest.MonkeyPatch) -> None:
    """The minimal configuration is one, and what may stand in a stream fits in there."""
    monkeypatch.setenv("CLOUD_PASSWORD", "s3cret")
    minimal, *parts = blocks("yaml")
    assert list(config.parse(minimal).streams) == ["gate"]
    assert parts
    for part in parts:
        assert list(config.parse(f"{minimal}\n{part}").streams) == ["gate"]


def test_the_messages_are_messages() -> None:
    """Both JSON examples are valid inference responses with a frame ID."""
    examples = blocks("json")
    assert len(examples) == 2
    for example in examples:
        assert json.loads(example)["predictions"]
        assert inference.decode(example.encode()).frame_id


@pytest.mark.parametrize("row", stats.ROWS)
def test_the_reasons_are_all_there(row: str) -> None:
    """The README's list of reasons is the ledger's, closed."""
    [line] = re.findall(rf"^\| {row} \| (.*`.*) \|$", TEXT, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", line)) == {str(reason) for reason in stats.ROWS[row][2]}


def test_links_lead_somewhere() -> None:
    """Every relative link names a file of the project."""
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", TEXT) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_newest_changelog_entry_is_this_version() -> None:
    """The changelog's newest release is the package's version."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    released = re.findall(r"^## \[(\d[^\]]*)\]", changelog, re.MULTILINE)
    version = re.search(r'__version__ = "(.*)"', (ROOT / "streamcrop/__init__.py").read_text())
    assert version is not None
    assert released[0] == version[1]
