"""What a run is, and what it came to."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from accuracy.clock import Pace
from accuracy.judge import Verdict
from accuracy.proxy import Faults

if TYPE_CHECKING:
    from accuracy.stage import Stage


@dataclass(frozen=True)
class Way:
    """How messages name frames, and how the node pairs them.

    Attributes:
        key: The pairing key.
        media_time: Whether messages say the picture's media time beside its capture time.
        pairing: More of the node's settings.
    """

    key: str
    media_time: bool = True
    pairing: Mapping[str, Any] = field(default_factory=dict)


WAYS = {
    "frame_id": Way("frame_id"),
    "sei": Way("sei"),
    "utc": Way("utc"),
    "utc-confirm": Way("utc", media_time=False, pairing={"confirm": True}),
    "utc-plain": Way("utc", media_time=False),
    "pts": Way("pts"),
    "arrival": Way("arrival"),
}
UTC = ("utc", "utc-confirm", "utc-plain")
# Those that promise the right frame; `utc-plain` does while nobody sets the camera's clock.
PROMISING = ("frame_id", "sei", *UTC)
ALL = tuple(WAYS)
# Of the camera's own reports, at most, in seconds.
_REPORTS = 1.5


@dataclass(frozen=True)
class Scenario:
    """What happens in a run.

    Attributes:
        ways: The `WAYS` with which it makes sense.
        complete: Whether every picture that both sides keyed has to give a crop.
        promised: The ways by which no crop may be wrong.
        barren: Whether it is right that no frame gives a crop.
        mount: What the detector reads; the node reads ``main``.
        faults: Of the network between the camera and its clients.
        paces: How often node and detector have a report, where it is not as often as the camera's.
        camera: More of its arguments.
        detector: The same.
        pairing: More of the node's settings.
        reordered: See `Verdict.reordered`.
        rate: Pictures a second, where it is not the run's.
        pictures: The camera publishes pictures over MQTT.
        measured: Who says the ``pairing.offset`` beforehand: two readers of the ``pixels``, or
            ``streamcrop calibrate``.
        resilient: A picture may be damaged, which only the FFmpeg detector knows.
        late: Who joins five seconds after the others, ``node``, ``detector`` or, with pictures,
            ``camera``.
        span: So many times as many pictures as the run's.
        event: What happens while it runs.
    """

    ways: tuple[str, ...]
    complete: bool = True
    promised: tuple[str, ...] = PROMISING
    barren: bool = False
    transport: str = "tcp"
    mount: str = "main"
    faults: Faults | None = None
    paces: Mapping[str, Pace] = field(default_factory=dict)
    camera: tuple[str, ...] = ()
    detector: tuple[str, ...] = ()
    pairing: Mapping[str, Any] = field(default_factory=dict)
    reordered: int = 0
    rate: int = 0
    pictures: bool = False
    measured: Literal["", "pixels", "calibrate"] = ""
    resilient: bool = False
    late: str = ""
    span: float = 1.0
    event: "Callable[[Stage], Awaitable[None]] | None" = None

    @property
    def longest(self) -> float:
        """The longest time between two reports to a client, in seconds."""
        return max((pace.most for pace in self.paces.values()), default=0.0) or _REPORTS


@dataclass(frozen=True)
class Size:
    """How long a run is, how fast, and how large its pictures are."""

    frames: int = 300
    rate: int = 30
    width: int = 640


@dataclass
class Result:
    """What a run came to."""

    verdict: Verdict
    ledger: dict[str, Any]
    scenario: Scenario
    way: str
    size: Size
    exit_code: int

    @property
    def missing(self) -> int:
        """Pictures that both sides keyed and that gave no right crop."""
        return len(self.verdict.keyed - self.verdict.right)

    @property
    def allowed(self) -> int:
        """Wrong crops that are no surprise.

        Without media time and without ``confirm`` those of one interval of reports for each time
        that the clock was set.
        """
        if self.way != "utc-plain":
            return 0
        return round(len(self.verdict.turns) * self.scenario.longest * self.size.rate)

    @property
    def problems(self) -> list[str]:
        """The bars it missed; of those on frames, other ways than the promised miss none."""
        verdict, scenario = self.verdict, self.scenario
        published, arrived = self.ledger["crops"]["published"], verdict.crops.total()
        found = [f"the node ended with {self.exit_code}"] if self.exit_code else []
        if len(verdict.published) < self.size.frames:
            found.append(f"in time, {len(verdict.published)} of {self.size.frames} were spoken of")
        if arrived != published:
            found.append(f"{published} crops published, {arrived} arrived")
        if verdict.paired_by - {WAYS[self.way].key}:
            found.append(f"paired by {verdict.paired_by}")
        if self.way not in scenario.promised:
            return found
        if verdict.crops["wrong"] > self.allowed:
            found += [f"wrong: {example}" for example in verdict.examples]
        if not (verdict.right or scenario.barren):
            found.append("no crop at all is right")
        if repeated := verdict.crops["right"] - len(verdict.right):
            found.append(f"{repeated} crops came twice")
        if scenario.complete and self.missing * 1000 > len(verdict.keyed):
            found.append(f"{self.missing} of {len(verdict.keyed)} keyed frames gave no crop")
        return found
