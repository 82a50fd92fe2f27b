"""`streamcrop.core.choice`: which crops of a track are handed on."""

import math
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from streamcrop.core.choice import Candidate, Chooser, Chosen, NotChosen, PerTrack, Rule

MODES: list[PerTrack] = ["every", "first", "interval", "best", "best_at_end"]
# Eighths are exact, so that the plain rules below may add where the machine subtracts.
eighths = st.integers(0, 40).map(lambda steps: steps / 8)
lengths = st.integers(1, 80).map(lambda steps: steps / 8)
modes = st.sampled_from(MODES)
rules = st.builds(Rule, modes, lengths, lengths, lengths)


@dataclass(frozen=True)
class Row:
    number: int
    at: float
    track: str | None
    score: float

    def candidate(self, nbytes: int = 1) -> "Candidate[Row]":
        return Candidate(self, f"id {self.number}", self.track, self.score, nbytes)


@st.composite
def streams(draw: st.DrawFn) -> list[Row]:
    """Rows of some tracks at times that do not go back."""
    gaps = draw(st.lists(eighths, max_size=40))
    now, rows = 100.0, []
    for number, gap in enumerate(gaps):
        # Many rows of one moment, some far apart.
        now += gap if gap > 2 else gap / 8
        track = draw(st.sampled_from(["a", "b", "c", None]))
        rows.append(
            Row(number, now, track, draw(st.sampled_from([0.0, 0.4, 0.43, 0.44, 0.5, 0.9])))
        )
    return rows


def lives(rows: list[Row], lost_after: float) -> Iterator[list[Row]]:
    """The plain rule of a track's end: so long not seen, it has ended."""
    by_track = defaultdict(list)
    for row in rows:
        by_track[row.track if row.track is not None else f"row {row.number}"].append(row)
    for seen in by_track.values():
        life: list[Row] = []
        for row in seen:
            if life and row.at - life[-1].at >= lost_after:
                yield life
                life = []
            life.append(row)
        yield life


def plainly(rows: list[Row], how: Rule) -> dict[int, str | None]:
    """The plain rules: the rows that are chosen, each with the ID that it supersedes."""
    chosen: dict[int, str | None] = {}
    for life in lives(rows, how.lost_after):
        chosen |= PLAIN[how.per_track](life, how)
    return chosen


def plain_interval(life: list[Row], how: Rule) -> dict[int, str | None]:
    """Each that is so long behind the last."""
    chosen, last = [], -math.inf
    for row in life:
        if row.at - last >= how.interval:
            chosen.append(row.number)
            last = row.at
    return dict.fromkeys(chosen)


def plain_best(life: list[Row], how: Rule) -> dict[int, str | None]:
    """Each that is a tenth better than the best since the last beginning."""
    chosen: dict[int, str | None] = {}
    begun, best = life[0].at, None
    for row in life:
        if row.at - begun >= how.max_age:
            begun, best = row.at, None
        if best is None or (row.score > best.score and row.score >= 1.1 * best.score):
            chosen[row.number] = best and f"id {best.number}"
            best = row
    return chosen


def plain_end(life: list[Row], how: Rule) -> dict[int, str | None]:
    """The first of the best ones before it is too old."""
    young = [row for row in life if row.at - life[0].at < how.max_age]
    return {max(young, key=lambda row: row.score).number: None}


PLAIN = {
    "every": lambda life, _: dict.fromkeys(row.number for row in life),
    "first": lambda life, _: {life[0].number: None},
    "interval": plain_interval,
    "best": plain_best,
    "best_at_end": plain_end,
}


@settings(max_examples=400)
@given(streams(), rules)
def test_it_chooses_by_the_plain_rules(rows: list[Row], how: Rule) -> None:
    """Whatever the tracks do; and each row comes out once."""
    chooser: Chooser[Row] = Chooser(how)
    out: list[Any] = []
    for row in rows:
        out += chooser.offer(row.candidate(), row.at)
    out += chooser.close(rows[-1].at if rows else 0.0)
    chosen = {one.item.number: one.supersedes for one in out if isinstance(one, Chosen)}
    assert chosen == plainly(rows, how)
    assert sorted(one.item.number for one in out) == [row.number for row in rows]


@given(streams(), rules)
def test_the_best_speaks_when_its_track_ends(rows: list[Row], how: Rule) -> None:
    """Called at each deadline, a held crop comes at the end of its track, or at its largest age."""
    how = Rule("best_at_end", how.interval, how.lost_after, how.max_age)
    chooser: Chooser[Row] = Chooser(how)
    came: dict[int, float] = {}

    def note(decided: list[Any], now: float) -> None:
        came.update({one.item.number: now for one in decided if isinstance(one, Chosen)})

    for row in [*rows, None]:
        until = math.inf if row is None else row.at
        while (deadline := chooser.deadline) is not None and deadline <= until:
            note(chooser.expire(deadline), deadline)
        if row is not None:
            note(chooser.offer(row.candidate(), row.at), row.at)
    for life in lives(rows, how.lost_after):
        [number] = [row.number for row in life if row.number in came]
        ends = min(life[-1].at + how.lost_after, life[0].at + how.max_age)
        assert came[number] == (life[0].at if life[0].track is None else ends)
    assert (chooser.held, chooser.nbytes, chooser.deadline) == (0, 0, None)


class Machine(RuleBasedStateMachine):
    """Any calls in any order, with next to no room."""

    @initialize(how=rules, tracks=st.integers(1, 4), items=st.integers(1, 3))
    def begin(self, how: Rule, tracks: int, items: int) -> None:
        self.bounds = (tracks, items, 10)
        self.chooser: Chooser[Row] = Chooser(how, max_tracks=tracks, max_items=items, max_bytes=10)
        self.now, self.offered = 0.0, 0
        self.out: Counter[int] = Counter()
        self.scores: dict[str, float] = {}

    def take(self, decided: list[Any]) -> None:
        for one in decided:
            self.out[one.item.number] += 1
            if isinstance(one, Chosen):
                if one.supersedes is not None:
                    before = self.scores[one.supersedes]
                    assert one.item.score > before
                    assert one.item.score >= 1.1 * before
                    assert self.chooser.rule.per_track == "best"
                self.scores[f"id {one.item.number}"] = one.item.score
            else:
                assert isinstance(one, NotChosen)
        deadline = self.chooser.deadline
        assert deadline is None or deadline > self.now

    @rule(track=st.sampled_from(["a", "b", "c", "d", "e", None]), nbytes=st.integers(0, 12),
          score=st.floats(0, 1), gap=st.sampled_from([0, 0, 0.25, 1, 5]))  # fmt: skip
    def offer(self, track: str | None, nbytes: int, score: float, gap: float) -> None:
        self.now += gap
        row = Row(self.offered, self.now, track, score)
        self.offered += 1
        self.take(self.chooser.offer(row.candidate(nbytes), self.now))

    @rule(gap=eighths)
    def expire(self, gap: float) -> None:
        self.now += gap
        self.take(self.chooser.expire(self.now))

    @rule(gap=eighths)
    def expire_by_a_clock_that_went_back(self, gap: float) -> None:
        assert self.chooser.expire(self.now - gap - 1) == []

    @rule(how=rules)
    def change(self, how: Rule) -> None:
        self.take(self.chooser.change(how, self.now))
        assert self.chooser.rule == how

    @rule()
    @precondition(lambda self: self.offered % 7 == 6)
    def close(self) -> None:
        self.take(self.chooser.close(self.now))
        assert (self.chooser.held, self.chooser.tracks) == (0, 0)
        assert set(self.out) == set(range(self.offered))

    @invariant()
    def within_bounds(self) -> None:
        if not self.offered:
            return
        chooser, (tracks, items, nbytes) = self.chooser, self.bounds
        assert chooser.tracks <= tracks
        assert chooser.held <= items
        assert 0 <= chooser.nbytes <= nbytes
        assert chooser.held + len(self.out) == self.offered
        assert set(self.out.values()) <= {1}


TestMachine = Machine.TestCase


@given(streams(), st.integers(1, 3), st.integers(1, 3), lengths)
def test_at_most_one_best_at_end_a_track(
    rows: list[Row], items: int, nbytes: int, lost_after: float
) -> None:
    """Also of a track that had to speak early, for want of room."""
    how = Rule("best_at_end", lost_after=lost_after)
    chooser: Chooser[Row] = Chooser(how, max_items=items, max_bytes=2)
    out: list[Any] = []
    for row in rows:
        out += chooser.offer(row.candidate(nbytes), row.at)
    out += chooser.close(1e6)
    chosen = {one.item.number for one in out if isinstance(one, Chosen)}
    assert all(len(chosen & {row.number for row in life}) == 1 for life in lives(rows, lost_after))


@pytest.mark.parametrize("mode", MODES)
def test_a_hundred_thousand_tracks(mode: PerTrack) -> None:
    """In one stream: no more are known and held than are allowed, and it is quick."""
    chooser: Chooser[Row] = Chooser(Rule(mode), max_tracks=500, max_items=200, max_bytes=1 << 20)
    chosen, most, began = 0, 0, time.process_time()
    for number in range(100_000):
        row = Row(number, number / 1e6, f"track {number}", 0.5)
        out = chooser.offer(row.candidate(10_000), row.at)
        chosen += sum(isinstance(one, Chosen) for one in out)
        most = max(most, chooser.tracks, chooser.held)
    assert most <= 500
    assert chooser.held <= 104
    assert chosen + chooser.held == 100_000
    assert time.process_time() - began < 20


def test_a_track_that_never_ends() -> None:
    """Speaks once by best_at_end; begins anew by best, without a word of what it was."""
    rows = [Row(number, number / 2, "a", 1 / (1 + number)) for number in range(1000)]
    at_end: Chooser[Row] = Chooser(Rule("best_at_end", max_age=10))
    best: Chooser[Row] = Chooser(Rule("best", max_age=10))
    first = [one for row in rows for one in at_end.offer(row.candidate(), row.at)]
    again = [one for row in rows for one in best.offer(row.candidate(), row.at)]
    assert [one.item.number for one in first if isinstance(one, Chosen)] == [0]
    chosen = [one for one in again if isinstance(one, Chosen)]
    assert [one.item.number for one in chosen] == list(range(0, 1000, 20))
    assert {one.supersedes for one in chosen} == {None}


def test_a_change_of_the_rule() -> None:
    """Another time counts at once; another choice ends all tracks, and what is held is chosen."""
    chooser: Chooser[str] = Chooser(Rule("best_at_end", lost_after=5))
    assert chooser.offer(Candidate("x", "1", 7, 0.5), 0.0) == []
    assert chooser.change(Rule("best_at_end", lost_after=3), 1.0) == []
    assert chooser.deadline == 3.0
    assert chooser.change(Rule("best_at_end", lost_after=0.5), 1.0) == [Chosen("x")]
    assert chooser.offer(Candidate("y", "2", 7, 0.5), 2.0) == []
    assert chooser.change(Rule("first"), 2.0) == [Chosen("y")]
    assert chooser.offer(Candidate("z", "3", 7, 0.5), 2.0) == [Chosen("z")]
    assert chooser.offer(Candidate("w", "4", 7, 0.5), 2.0) == [NotChosen("w")]


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"per_track": "worst"}, "per_track must be one of every, first"),
        ({"interval": 0}, "interval must be"),
        ({"lost_after": math.nan}, "lost_after must be"),
        ({"max_age": math.inf}, "max_age must be"),
    ],
)
def test_what_no_rule_is(wrong: dict[str, Any], text: str) -> None:
    """It is refused, by name."""
    with pytest.raises(ValueError, match=text):
        Rule(**wrong)


@pytest.mark.parametrize("bound", ["max_tracks", "max_items", "max_bytes"])
def test_bounds_are_positive(bound: str) -> None:
    """Without room there is no choice."""
    with pytest.raises(ValueError, match="above 0"):
        Chooser(Rule(), **{bound: 0})
