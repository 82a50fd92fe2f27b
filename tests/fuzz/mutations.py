"""How a right input becomes a nearly right one."""

import json
from collections.abc import Callable
from random import Random
from typing import Any

# Times that RFC 3339 can write and no calendar holds in UTC, text that no encoder takes, numbers
# that no float holds.
EVIL: list[Any] = [None, True, False, 0, -1, 1, 0.5, 2**63, 10**400, 1e308, -1e301, 5e-324]
EVIL += [float("nan"), float("inf"), float("-inf"), "", " ", "a", "\x00", "\ud800", "\U0001f600"]
EVIL += ["12.5", "-3", "1e999", "null", "NaN", "9999-12-31T23:59:59-23:59", "1/0", "1e999999999"]
EVIL += ["0001-01-01T00:00:00+23:59", "0000-01-01T00:00:00Z", "2026-12-31T23:59:60Z", "x" * 3000]
EVIL += [[], {}, [[]], [None], [{}], [1, 2, 3, 4], {"x": 1}, {"": {}}, {"\ud800": 1}, [["\udfff"]]]
EVIL += [{"size": [6, 8], "counts": "\ud800"}, {"size": [6, 8], "counts": [48]}, 1790000000123]
_MOST_CHANGES, _DEEPEST = 3, 7

Mutate = Callable[[bytes], bytes]


def changed(value: Any, path: list[int], evil: Any) -> Any:
    """A copy of a JSON value with another one somewhere within; the path says where."""
    if not path or not isinstance(value, dict | list) or not value:
        return evil
    first, *rest = path
    if isinstance(value, dict):
        key = [*value][first % len(value)]
        if rest and rest[0] % 13 == 0:
            return {k: part for k, part in value.items() if k != key}
        return {**value, key: changed(value[key], rest, evil)}
    at = first % len(value)
    return [*value[:at], changed(value[at], rest, evil), *value[at + 1 :]]


def bitten(payload: bytes, bites: list[tuple[int, int, bytes]]) -> bytes:
    """Bytes of which some were taken out, and others put there."""
    for at, length, instead in bites:
        place = at % (len(payload) + 1)
        payload = payload[:place] + instead + payload[place + length :]
    return payload


def of_json(data: bytes, chance: Random, mutate: Mutate) -> bytes:
    """A message with other values, one time in two; else with other bytes."""
    if chance.random() < 0.5:
        return mutate(data)
    try:
        value = json.loads(data)
        for _ in range(chance.randint(1, _MOST_CHANGES)):
            path = [chance.randrange(40) for _ in range(chance.randint(1, _DEEPEST))]
            value = changed(value, path, chance.choice(EVIL))
        return json.dumps(value).encode()
    except (RecursionError, ValueError):
        return mutate(data)


def framed(data: bytes, chance: Random, mutate: Mutate) -> bytes:
    """A line of JSON with other values, or other bytes behind it."""
    head, _, body = data.partition(b"\n")
    if chance.random() < 0.5:
        return head + b"\n" + mutate(body)
    return of_json(head, chance, mutate).replace(b"\n", b" ") + b"\n" + body


def plain(data: bytes, _: Random, mutate: Mutate) -> bytes:
    """Other bytes."""
    return mutate(data)


SHAPES = {"bytes": plain, "json": of_json, "framed": framed}
