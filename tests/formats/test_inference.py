"""`streamcrop.formats.inference`: messages in both steps, and what other formats use of them."""

import copy
import json
from typing import Any

import pytest

from streamcrop.core.limits import Limits
from streamcrop.errors import FormatError
from streamcrop.formats.documents import convert
from streamcrop.formats.inference import between, decode, predictions, translated

BOX = {"x": 5, "y": 4, "width": 2, "height": 4}
FULL = {**BOX, "keypoints": [{"x": 3, "y": 5}], "rect": [[1, 2], [3, 4]], "unknown": {"x": 1}}


def encoded(*rows: object, **fields: Any) -> bytes:
    """A message as a detector writes it."""
    return json.dumps({"frame_id": 1, **fields, "predictions": list(rows)}).encode()


@pytest.mark.parametrize("note", [{}, {"note": float("nan")}])
def test_two_steps(note: dict[str, Any]) -> None:
    """A message is read twice: which frame, and what is in it; as far as the limit goes."""
    message = decode(encoded(BOX, 7, BOX, **note))
    assert message.strict is (not note)
    found = predictions(message, (20, 10), name="gate/1", limit=2)
    assert found.instances.xyxy[0].tolist() == [4, 2, 6, 6]
    assert dict(found.instances.refused) == {1: "malformed"}
    assert found.over_limit == 1
    assert found.said == {"prediction_malformed": "$.predictions[1]: a prediction is an object"}


def test_reading_twice() -> None:
    """A message is not modified, and says the same again."""
    message = decode(encoded(FULL, image={"width": 10, "height": 10}))
    payload, kept = bytes(message.payload), copy.deepcopy(FULL)
    first = predictions(message, (40, 30), name="gate/1", limit=9)
    again = predictions(message, (40, 30), name="gate/1", limit=9)
    assert (message.payload, first.rows) == (payload, again.rows)
    assert kept == FULL


def test_another_format() -> None:
    """Objects that are made rows are read as rows are, from 0 to 1, each on its own."""

    def row_of(value: Any) -> dict[str, Any]:
        found = convert(value, dict[str, Any])
        place = between(found["left"], 0.5, found["right"], 1)
        return {**place, "class": found.get("class"), "x-found": found}

    objects = [{"left": 0, "right": 1, "class": "a"}, 7, {"left": 0.25, "right": 0.5}]
    objects += [
        {"left": 1, "right": 0},
        {"left": float("nan"), "right": 1},
        {"left": 2, "right": 3},
    ]
    found = translated(objects, row_of, (20, 10), name="gate/1", limit=5, limits=Limits())
    assert dict(found.instances.refused) == {1: "malformed", 3: "malformed", 4: "not_finite"}
    assert found.instances.xyxy[[0, 2]].tolist() == [[0, 5, 20, 10], [5, 5, 10, 10]]
    assert found.over_limit == 1
    assert found.rows[0]["class"] == "a"
    assert found.rows[2] == {
        "x": 7.5,
        "y": 7.5,
        "width": 5,
        "height": 5,
        "x-found": {"left": 0.25, "right": 0.5},
        "detection_id": found.instances.detection_id[2],
    }
    same = predictions(decode(encoded(BOX, BOX, BOX)), (20, 10), name="gate/1", limit=9)
    assert found.instances.detection_id[2] == same.instances.detection_id[2]
    assert found.said["prediction_malformed"].startswith("object 1: ")


@pytest.mark.parametrize(
    "edges", [(0, 0, 0, 0), (-1, -2, 3, 4), (-1e308, 0, 1e308, 1), (0.1, 0.2, 0.3, 0.4)]
)
def test_edges(edges: tuple[float, float, float, float]) -> None:
    """Centre and size say the same as the edges."""
    left, top, right, bottom = edges
    found = between(*edges)
    assert (found["x"], found["y"]) == pytest.approx(((left / 2 + right / 2), (top + bottom) / 2))
    assert (found["width"], found["height"]) == (right - left, bottom - top)


@pytest.mark.parametrize("edges", [(1, 0, 0, 1), (0, 1, 1, 0), (0, 1, 1, 0.999)])
def test_edges_the_wrong_way_round(edges: tuple[float, float, float, float]) -> None:
    """They say that something else was meant."""
    with pytest.raises(FormatError, match="right of its left"):
        between(*edges)


def test_as_many_rows_as_there_may_be_values() -> None:
    """The first are read, and the rest is counted, as it is beyond the limit of rows."""
    row = {"x": 5, "y": 4, "width": 2, "height": 4, "n": [1, 2, 3]}
    payload = json.dumps({"frame_id": 1, "predictions": [row] * 50}).encode()
    limits = Limits(values=300)
    found = predictions(decode(payload, limits), (9, 9), name="g/1", limit=40, limits=limits)
    # A row has 4 + 2 commas and two brackets.
    assert (len(found.rows), found.over_limit) == (300 // 11, 50 - 300 // 11)
    assert not found.instances.refused
    found = predictions(decode(payload, limits), (9, 9), name="g/1", limit=20, limits=limits)
    assert (len(found.rows), found.over_limit) == (20, 30)
