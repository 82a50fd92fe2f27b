"""The examples in configs/: each is right, and the reference is complete and says the defaults."""

import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import msgspec
import pytest
import yaml
from click.testing import CliRunner
from peers import Mosquitto

from streamcrop import config
from streamcrop.cli import main

CONFIGS = Path(__file__).parents[1] / "configs"
EXAMPLES = (
    "minimal",
    "reference",
    "tap",
    "camera",
    "sub-to-main",
    "onvif",
    "nested",
    "mqtt-images",
    "whip",
    "dataset",
    "secure-broker",
    "many-streams",
)
# Its default is this host's name, which no file can say.
OF_THIS_HOST = {"node"}
# One name in the reference stands for all of a mapping's.
ANY = "*"

Keys = Iterator[tuple[tuple[str, ...], msgspec.structs.FieldInfo]]


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the examples take from the environment."""
    monkeypatch.setenv("MQTT_USER", "gate")
    monkeypatch.setenv("MQTT_PASSWORD", "s3cret")
    monkeypatch.setenv("CAM_USER", "gate")
    monkeypatch.setenv("CAM_PASSWORD", "s3cret")
    monkeypatch.setenv("CAMERA_PASSWORD", "s3cret")
    monkeypatch.setenv("WHIP_TOKEN", "s3cret")
    monkeypatch.setenv("WHEP_TOKEN", "s3cret")


def example(name: str) -> Path:
    """Where an example lies."""
    return CONFIGS / f"{name}.yaml"


def section_of(kind: Any) -> tuple[tuple[str, ...], type[msgspec.Struct]] | None:
    """The struct in ``Struct``, ``Struct | None`` or ``dict[str, Struct]``, and the way to it."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return (), kind
    if get_origin(kind) is dict:
        inner = section_of(get_args(kind)[1])
        return inner and ((ANY, *inner[0]), inner[1])
    if isinstance(kind, types.UnionType):
        return next(filter(None, map(section_of, get_args(kind))), None)
    return None


def keys_of(struct: type[msgspec.Struct], *path: str) -> Keys:
    """Every key that the structs know, sections included, with what they know of it."""
    for field in msgspec.structs.fields(struct):
        here = (*path, field.encode_name)
        yield here, field
        if section := section_of(field.type):
            way, inner = section
            yield from keys_of(inner, *here, *way)


def values_in(tree: Any, path: tuple[str, ...]) -> list[Any]:
    """What stands at a path in a tree of mappings or structs; empty if nothing does."""
    if not path:
        return [tree]
    if isinstance(tree, msgspec.Struct):
        tree = msgspec.structs.asdict(tree)
    if not isinstance(tree, dict):
        return []
    found = tree.values() if path[0] == ANY else [tree[path[0]]] if path[0] in tree else []
    return [value for part in found for value in values_in(part, path[1:])]


def test_no_example_is_untested() -> None:
    """Whatever lies in configs/ is held by a test of this file."""
    tested = {example(name).name for name in EXAMPLES} | {"mosquitto.conf"}
    assert {path.name for path in CONFIGS.iterdir()} == tested


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_loads(name: str) -> None:
    """Each example is a configuration that this version accepts."""
    assert config.load(example(name)).streams


@pytest.mark.parametrize("name", EXAMPLES)
def test_check_says_ok(name: str) -> None:
    """Each example passes ``streamcrop check``, which shows no secret."""
    result = CliRunner().invoke(main, ["check", str(example(name))])
    assert result.exit_code == 0, result.output
    assert result.output.endswith(f"{example(name)}: ok\n")
    assert "s3cret" not in result.output


def test_minimal_has_only_what_is_required() -> None:
    """The minimal example shows no key that has a default."""
    tree = yaml.safe_load(example("minimal").read_text(encoding="utf-8"))
    shown = {path for path, _ in keys_of(config.Config) if values_in(tree, path)}
    optional = {path for path, field in keys_of(config.Config) if not field.required}
    # A key that a section needs is not needed where the section is not.
    required = {
        path
        for path, _ in keys_of(config.Config)
        if not optional & {path[: end + 1] for end in range(len(path))}
    }
    assert shown == required


def test_keys_are_found_at_every_depth() -> None:
    """The walk below reaches sections that are plain, optional and in a mapping."""
    keys = {path for path, _ in keys_of(config.Config)}
    assert {
        ("node",),
        ("broker", "url"),
        ("streams", ANY, "source", "loop"),
        ("streams", ANY, "tap", "rate"),
    } <= keys


@pytest.mark.parametrize("path", [path for path, _ in keys_of(config.Config)], ids=".".join)
def test_reference_names_every_key(path: tuple[str, ...]) -> None:
    """A key that the configuration knows stands in the reference."""
    tree = yaml.safe_load(example("reference").read_text(encoding="utf-8"))
    assert values_in(tree, path)


@pytest.mark.parametrize(
    ("path", "field"),
    [
        pytest.param(path, field, id=".".join(path))
        for path, field in keys_of(config.Config)
        if not (field.required or section_of(field.type) or path[-1] in OF_THIS_HOST)
    ],
)
def test_reference_says_the_default(
    path: tuple[str, ...], field: msgspec.structs.FieldInfo
) -> None:
    """A value in the reference is the one that holds without it."""
    read = config.load(example("reference"))
    factory = field.default_factory
    default = field.default if factory is msgspec.NODEFAULT else factory()
    assert values_in(read, path) == [default]


def test_reference_explains_every_key() -> None:
    """A key that holds a value has its comment on its own line."""
    lines = example("reference").read_text(encoding="utf-8").splitlines()
    keys = [line for line in lines if not line.lstrip().startswith("#") and ": " in line]
    assert keys
    assert [line for line in keys if " # " not in line] == []


def test_secrets_come_from_the_environment() -> None:
    """The example of a password holds none."""
    broker = config.load(example("secure-broker")).broker
    assert broker.address() == ("broker.example", 8883, True, "gate", "s3cret")
    assert "s3cret" not in example("secure-broker").read_text(encoding="utf-8")


def test_mosquitto_takes_its_configuration(broker: Mosquitto) -> None:
    """The broker starts with the shipped file; only port and user are the test's."""
    text = (CONFIGS / "mosquitto.conf").read_text(encoding="utf-8")
    assert text.count("\nlistener 1883\n") == 1
    ours = text.replace("\nlistener 1883\n", f"\nlistener {broker.port} 127.0.0.1\n")
    user = [line for line in broker._config.read_text().splitlines() if line.startswith("user ")]
    broker.kill()
    broker._config.write_text("\n".join([ours, *user, ""]), encoding="utf-8")
    broker.start()
    assert broker.process.poll() is None
