"""The kills, and what is said of them."""

import argparse
import asyncio
import json
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid
from collections import defaultdict
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
from peers import (
    Client,
    Mosquitto,
    Node,
    adds_up,
    box_of,
    free_port,
    numbered_clip,
    settings,
    wait_until,
)

from streamcrop.formats.events import Event

_RECORDER = Path(__file__).with_name("recorder.py")
_BOXES = [(0, 0, 40, 30), (100, 80, 160, 140)]
# A node begins in some 2 s, and shall not always be killed before it did anything.
_NODE_LIVES, _BROKER_AWAY = (0.5, 7.0), (0.0, 6.0)
_DRAINS = 120.0


class Recorder:
    """The broker of the crops, in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.path = folder / "recorded"
        self.path.touch()
        self.start()

    def start(self) -> None:
        """Begin to listen."""
        self.process = subprocess.Popen(
            [sys.executable, str(_RECORDER), str(self.port), str(self.path)],
            stderr=subprocess.DEVNULL,
        )

    def kill(self) -> bool:
        """End it as hard as it goes; false if it is dead."""
        if self.process.poll() is not None:
            return False
        self.process.kill()
        self.process.wait()
        return True

    def lines(self) -> list[tuple[str, bool]]:
        """Each event that was acknowledged: its ID, and whether it was spooled."""
        found = (line.split() for line in self.path.read_text().splitlines())
        return [(name, how == "spooled") for name, how in found]


async def detect(client: Client) -> None:
    """Answer each frame of the tap with two objects, which nobody had before."""
    seen = 0
    while True:
        frames = client.of("frames")
        for frame in frames[seen:]:
            boxes = [box_of(box, detection_id=uuid.uuid4().hex) for box in _BOXES]
            answer = {"frame_id": frame.properties["subject"], "predictions": boxes}
            await client.publish(answer)
        seen = len(frames)
        await asyncio.sleep(0.02)


def spooled(path: Path) -> set[str]:
    """The IDs of the crops that a node left in its spool."""
    if not path.exists():
        return set()
    events: dict[int, list[bytes]] = defaultdict(list)
    with closing(sqlite3.connect(path)) as database:
        if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'parts'").fetchone():
            return set()
        query = (
            "SELECT number, data FROM events JOIN parts ON place >> 16 = number"
            " WHERE whole = 1 AND crop = 1 ORDER BY place"
        )
        for number, data in database.execute(query):
            events[number].append(data)
    decoded = (msgspec.msgpack.decode(b"".join(parts), type=Event) for parts in events.values())
    return {event.attributes["id"] for event in decoded}


class Kills:
    """A node, its two brokers, and what was found in the spool after each kill."""

    def __init__(self, folder: Path, order: str) -> None:
        self.folder = folder
        self.local = Mosquitto(folder)
        self.cloud = Recorder(folder)
        self.spool = folder / "spool.db"
        clip = numbered_clip(folder / "clip.mp4", 300)
        self.settings = settings(
            self.local.url,
            clip,
            source={"realtime": True, "loop": True},
            tap={"quality": 50},
            output={
                "encoding": "jpeg",
                "broker": {"url": f"mqtt://127.0.0.1:{self.cloud.port}", "protocol": "5"},
                "spool": {"path": str(self.spool), "rate": 1000, "order": order},
            },
        )
        self.kept: set[str] = set()
        self.killed = {"node": 0, "broker": 0, "both": 0}
        self.runs = 0

    def begin(self) -> Node:
        """Start the node."""
        return self._node().__enter__()

    def _node(self) -> Node:
        self.runs += 1
        return Node(self.folder, self.settings)

    def look(self) -> None:
        """Take note of what a node that was killed had kept."""
        self.kept |= spooled(self.spool)

    async def play(self, times: int, chance: random.Random) -> None:
        """Kill so many times, at random."""
        node, back = self.begin(), list[asyncio.TimerHandle]()
        for count in range(times):
            await asyncio.sleep(chance.uniform(*_NODE_LIVES))
            what = chance.choice(["node", "broker", "both"])
            self.killed[what] += 1
            if what != "node" and self.cloud.kill():
                away = chance.uniform(*_BROKER_AWAY)
                back.append(asyncio.get_running_loop().call_later(away, self.cloud.start))
            if what != "broker":
                node.process.kill()
                node.process.communicate()
                self.look()
                node = self.begin()
            if count % 10 == 9:
                said = f"{count + 1} kills, {len(self.kept)} seen in the spool"
                print(said, file=sys.stderr, flush=True)
        node.process.kill()
        node.process.communicate()
        self.look()
        for each in back:
            each.cancel()
        if self.cloud.process.poll() is not None:
            self.cloud.start()

    def drain(self) -> dict[str, Any]:
        """Let a last node deliver what is left; its ledger."""
        ledger = self.folder / "ledger.json"
        ledger.unlink(missing_ok=True)
        with self._node() as node:
            # It writes its ledger now and then while it runs.
            wait_until(ledger.exists, 60)
            end = time.monotonic() + _DRAINS
            while self._waiting() and time.monotonic() < end:
                time.sleep(0.5)
            node.stop()
            node.wait()
        return dict(json.loads(ledger.read_text())["streams"]["gate"])

    def _waiting(self) -> int:
        with closing(sqlite3.connect(self.spool)) as database:
            return int(database.execute("SELECT count(*) FROM events").fetchone()[0])

    def close(self) -> None:
        """End the brokers."""
        self.local.kill()
        self.cloud.kill()


def verdict(kills: Kills, rows: dict[str, Any]) -> list[str]:
    """What is wrong; empty where nothing is."""
    recorded = kills.cloud.lines()
    arrived = {name for name, _ in recorded}
    ids: dict[str, set[str]] = defaultdict(set)
    for name in arrived | kills.kept:
        ids[name.rpartition("/")[2]].add(name)
    wrong = [f"lost: {name}" for name in sorted(kills.kept - arrived)]
    wrong += [f"under two IDs: {sorted(names)}" for names in ids.values() if len(names) > 1]
    for row in (rows["crops"], *rows["sinks"].values()):
        if not adds_up(row):
            wrong.append(f"does not add up: {row}")
    if rows["crops"]["spooled"]:
        wrong.append(f"left in the spool: {rows['crops']['spooled']}")
    live = [name for name, how in recorded if not how]
    again = len(recorded) - len(arrived)
    lost = len(kills.kept - arrived)
    print(
        f"{sum(kills.killed.values())} kills ({kills.killed}), {kills.runs} runs: "
        f"{len(kills.kept)} crops were seen in the spool, {lost} of them lost; "
        f"{len(arrived)} arrived ({len(live)} live), {again} of them once more"
    )
    return wrong


async def trial(times: int, seed: int, order: str, folder: Path) -> list[str]:
    """Kill so many times; what is wrong then."""
    kills = Kills(folder, order)
    try:
        async with Client(kills.local.port) as client:
            detecting = asyncio.create_task(detect(client))
            await kills.play(times, random.Random(seed))
            # It ends with an error if it could not answer.
            assert not detecting.done() or detecting.result() is None
            detecting.cancel()
        wait_until(lambda: kills.cloud.process.poll() is None, 5)
        return verdict(kills, await asyncio.to_thread(kills.drain))
    finally:
        kills.close()


def main() -> int:
    """Kill, and say what came of it; 1 if something is lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--order", choices=["newest", "oldest"], default="newest")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = trial(chosen.times, chosen.seed, chosen.order, Path(folder))
        wrong = asyncio.run(work)
    for line in wrong[:20]:
        print(line)
    return int(bool(wrong))
