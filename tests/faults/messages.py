"""Poisoned and huge messages, in every format; pictures; questions."""

import json
from random import Random

import cv2
import numpy as np
from faults.row import Promise, Row
from faults.scene import Scene
from fuzz import detections, pictures
from fuzz.mutations import SHAPES, bitten

_POISONED, _PICTURES = 300, 300
_MB = 1_000_000
_FLOOD, _FLOOD_SECONDS, _ANSWERS = 1000, 3.0, 20


def _formats(scene: Scene) -> dict[str, object]:
    """Two more streams of the camera, whose messages are those of cameras."""
    source = {"url": scene.camera.url, "decode": "lazy"}
    return {
        "streams": {
            name: {
                "source": source,
                "detections": {"topic": f"detections/{name}", "format": name},
                "pairing": {"key": "utc"},
            }
            for name in ("axis", "onvif")
        }
    }


def _poisoned(scene: Scene) -> None:
    """Nearly right messages of each format, as `tests.fuzz` makes them."""
    chance = Random(len(scene.times))

    def bite(data: bytes) -> bytes:
        bites = [(chance.randrange(5000), chance.randrange(40), chance.randbytes(4))]
        return bitten(data, bites)

    with scene.fault():
        for name, topic in (("inference", "gate"), ("axis", "axis"), ("onvif", "onvif")):
            target = detections.TARGETS[name]
            for _ in range(_POISONED):
                payload = SHAPES[target.shape](chance.choice(target.seeds), chance, bite)
                scene.witness.publish(f"detections/{topic}", payload)


def _all_counted(scene: Scene) -> list[str]:
    wanted = _POISONED * len(scene.times)
    rows = {name: scene.ledger()[name]["messages"]["received"] for name in ("axis", "onvif")}
    return [f"{name}: {n} of {wanted} messages" for name, n in rows.items() if n != wanted]


def _huge(scene: Scene) -> None:
    with scene.fault():
        for size in (20 * _MB, 60 * _MB, 20 * _MB, 60 * _MB):
            scene.witness.publish("detections/gate", b'{"predictions": [], "x": "' + bytes(size))


def _dear() -> list[list[dict[str, object]]]:
    """Rows that are small and dear: many runs, crossing outlines, full frames, many values."""
    chance = Random(1)
    box: dict[str, object] = {"x": 320, "y": 240, "width": 640, "height": 480, "class": "bomb"}
    runs = {"size": [65_000, 1], "counts": [0, *[1] * 65_000]}
    outline = [{"x": chance.random() * 640, "y": chance.random() * 480} for _ in range(20_000)]
    return [
        [{**box, "rle": runs}] * 3,
        [{**box, "points": outline}] * 2,
        [box] * 1000,
        [{**box, "keypoints": [{"x": 1, "y": 1}] * 300_000}],
    ]


def _bombs(scene: Scene) -> None:
    """Each for a picture that is yet to come, so that all of the work is to be done."""
    image = {"width": 640, "height": 480}
    with scene.fault():
        for number, rows in enumerate(_dear(), 8):
            name = _name_in(scene, number)
            said = {"frame_id": name, "image": image, "predictions": rows}
            scene.witness.publish("detections/gate", json.dumps(said).encode())
        scene.wait(1)


def _name_in(scene: Scene, ahead: int) -> str:
    """The name of the picture that comes so many behind the newest, as the camera makes it."""
    run, _, number = scene.witness.newest.rpartition("-")
    return f"{run}-{int(number) + ahead}"


def _shows(_: Scene) -> dict[str, object]:
    """A stream of pictures over MQTT."""
    return {
        "streams": {
            "stills": {
                "source": {"url": "mqtt:pictures/stills"},
                "detections": {"topic": "detections/stills"},
            }
        }
    }


def _stills(scene: Scene) -> None:
    """Pictures that are nearly right, and some that claim to be large."""
    chance = Random(len(scene.times))
    large = cv2.imencode(".png", np.zeros((9000, 9000, 3), np.uint8))[1].tobytes()
    with scene.fault():
        for number in range(_PICTURES):
            payload = chance.choice([*pictures.STILLS.values(), pictures.TURNED])
            payload = bitten(payload, [(chance.randrange(500), chance.randrange(9), b"\xff")])
            scene.witness.publish("pictures/stills", payload, {"frame_id": str(number)})
        scene.witness.publish("pictures/stills", large, {"frame_id": "large"})


def _stills_counted(scene: Scene) -> list[str]:
    frames = scene.ledger()["stills"]["frames"]
    wanted = (_PICTURES + 1) * len(scene.times)
    lost = frames["dropped"]
    scene.counted.append(f"stills: {lost}")
    known = {"ambiguous"}  # the same picture again under the same name
    return [] if frames["received"] == wanted or known & {*lost} else [f"{frames} of {wanted}"]


def _asked(scene: Scene) -> None:
    """Questions: what is none, and a flood."""
    topic = "streamcrop/node/faults/explain"
    good = {"stream": "gate", "frame_id": "7", "reply_to": f"{topic}/abc"}
    with scene.fault():
        for payload in (
            b"\xff\xfe",
            b"[" * 20_000,
            b"{}",
            json.dumps({**good, "reply_to": "a/#"}).encode(),
        ):
            scene.witness.publish(topic, payload)
        before, since = scene.witness.answers, scene.watch.samples[-1].at
        for _ in range(int(_FLOOD * _FLOOD_SECONDS)):
            scene.witness.client.publish(topic, json.dumps(good), 0)
        scene.wait(_FLOOD_SECONDS)
        seconds = scene.watch.samples[-1].at - since
        # The questions themselves come back to who hears all of our topics.
        scene.counted.append(f"{scene.witness.answers - before} heard in {seconds:.1f} s")


ROWS = [
    Row(
        f"{3 * _POISONED} poisoned messages, three formats",
        "each is counted; none costs another; no traceback",
        _poisoned,
        Promise(recovers=1.0, rss=(60.0, 200.0)),
        settings=_formats,
        check=_all_counted,
    ),
    Row(
        "messages of 20 and 60 MB",
        "too_large, or dropped by the broker, which was told; memory stays",
        _huge,
        Promise(recovers=2.0, gap=3.0, rss=(80.0, 200.0), counted={"messages": ("too_large",)}),
        times=2,
    ),
    Row(
        "messages that are bombs: masks, outlines, frames, values",
        "over_limit, too_large; the other stream goes on",
        _bombs,
        Promise(
            recovers=2.0,
            rss=(60.0, 150.0),
            counted={"messages": ("too_large",), "predictions": ("over_limit",)},
        ),
    ),
    Row(
        f"{_PICTURES} damaged pictures, and one of 81 megapixels",
        "each a frame, corrupt or queue_full; the other streams go on",
        _stills,
        Promise(recovers=1.0, rss=(100.0, 500.0)),
        settings=_shows,
        check=_stills_counted,
        times=2,
    ),
    Row(
        f"questions: rubbish, and {_FLOOD} a second",
        f"at most {_ANSWERS} answers a second; crops and statuses go on",
        _asked,
        Promise(recovers=1.0, rss=(60.0, 100.0)),
        times=2,
    ),
]
