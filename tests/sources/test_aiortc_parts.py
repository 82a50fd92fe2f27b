"""What aiortc leaves undone: reassembly, what a sender may send; and the check at start."""

import random
from collections.abc import Iterator

import pytest
from aiortc import RTCRtpReceiver
from aiortc.jitterbuffer import JitterBuffer
from aiortc.rate import RemoteBitrateEstimator
from aiortc.rtp import RtpPacket

from streamcrop.errors import LibraryError
from streamcrop.sources import aiortc_parts as module
from streamcrop.sources.aiortc_parts import BEGIN, Estimate, Reassembly, check
from streamcrop.sources.webrtc import WhipSource

_EACH_MS, _NBYTES, _SSRC = 10, 1000, 7


def told(estimate: RemoteBitrateEstimator, seconds: int, growing: float = 0.0) -> list[int]:
    """What is said of a steady stream whose packets take longer by a part of each interval."""
    said = []
    for number in range(seconds * 1000 // _EACH_MS):
        sent = number * _EACH_MS
        came = sent + round(number * _EACH_MS * growing)
        # Seconds in 6.18 bits.
        send_time = (sent << 18) // 1000 & 0xFFFFFF
        if found := estimate.add(came, send_time, _NBYTES, _SSRC):
            bitrate, ssrcs = found
            assert ssrcs == [_SSRC]
            said.append(bitrate)
    return said


def test_it_begins_with_what_720p_takes() -> None:
    """Said with the first packet, and kept while nothing is delayed; aiortc's is far below."""
    first, *others = told(Estimate(), 10)
    assert BEGIN <= first < 1.01 * BEGIN
    assert len(others) >= 15
    assert min(others) >= BEGIN
    assert max(told(RemoteBitrateEstimator(), 10)) < BEGIN / 2


def test_it_gives_way_when_packets_are_delayed() -> None:
    """Where delays grow, it falls below what comes, as aiortc's does."""
    sent = 8 * _NBYTES * 1000 / _EACH_MS
    for estimate in (Estimate(), RemoteBitrateEstimator()):
        assert told(estimate, 20, growing=0.2)[-1] < sent


def _packets(chance: random.Random) -> Iterator[tuple[int, RtpPacket]]:
    """Pictures of random sizes as packets, with the number of the picture."""
    number, timestamp = chance.randrange(2**16), chance.randrange(2**32)
    for picture in range(150):
        for part in range(size := chance.choice([1, 1, 3, 10, 40])):
            packet = RtpPacket(sequence_number=number, timestamp=timestamp)
            packet._data = b"%d/%d/%d " % (picture, part, size)
            number = (number + 1) % 2**16
            yield picture, packet
        timestamp = (timestamp + 3000) % 2**32


@pytest.mark.parametrize("seed", range(40))
def test_reassembly_says_what_is_missing(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture that is not flagged is whole and follows the one before; nothing waits for long.

    Packets are lost, come late and in another order; numbers and times wrap.
    """
    chance, clock = random.Random(seed), [0.0]  # no secret
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    loss, jitter = chance.choice([0, 0.01, 0.1]), chance.choice([0, 0.01])
    sent = [(n * 0.002, picture, packet) for n, (picture, packet) in enumerate(_packets(chance))]
    begins = {picture: at for at, picture, _ in reversed(sent)}
    came = []
    for at, _, packet in sent:
        repaired = chance.random() < loss
        if not repaired or chance.random() < 0.7:
            late = chance.uniform(0, 0.7) if repaired else chance.uniform(0, jitter)
            came.append((at + late, packet))
    if seed % 4 == 0:
        del came[len(came) // 2 : len(came) // 2 + 30]
    reassembly, found = Reassembly(), []
    for now, packet in sorted(came, key=lambda each: each[0]):
        clock[0] = now
        reassembly.add(packet)
        found += [(now, *picture) for picture in reassembly.complete]
        reassembly.complete.clear()
    assert len(found) > 10
    first = previous = int(found[0][1].split(b"/")[0])
    # The very first may lack its beginning, which nobody can know: it has to be a key picture.
    for now, data, pts, lost in found[1:]:
        parts = [tuple(map(int, part.split(b"/"))) for part in data.split()]
        picture, _, size = parts[0]
        if not lost:
            assert parts == [(picture, part, size) for part in range(size)]
            assert picture == previous + 1
        assert pts == (picture - first) * 3000
        assert now - begins[picture] < 0.5 + 0.7 + 0.2
        previous = picture


@pytest.fixture
def _tried_anew() -> Iterator[None]:
    check.cache_clear()
    yield
    check.cache_clear()


@pytest.mark.usefixtures("_tried_anew")
async def test_the_version_that_is_here_passes() -> None:
    """With a running event loop as well; the second time nothing is tried."""
    check()
    assert check.cache_info().currsize == 1


@pytest.mark.usefixtures("_tried_anew")
@pytest.mark.parametrize(
    ("kind", "part"),
    [
        (JitterBuffer, "smart_remove"),
        (JitterBuffer, "_remove_frame"),
        (RTCRtpReceiver, "_handle_rtp_packet"),
        (RTCRtpReceiver, "_send_rtcp_pli"),
        (RemoteBitrateEstimator, "add"),
    ],
)
def test_a_part_that_is_gone(kind: type, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the version, and says it when a source is made."""
    monkeypatch.setattr(module, "_CHECK_SECONDS", 2)
    monkeypatch.delattr(kind, part)
    if part == "smart_remove":
        monkeypatch.setattr(module, "_MAX_PACKETS", 2)
    with pytest.raises(LibraryError, match=r"aiortc \S+ \(known to work: 1.16.0\): "):
        WhipSource()
