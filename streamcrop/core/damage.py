"""Which pictures are whole: the one rule, for cameras and files, decoded at once or on demand.

A picture refers to others, so damage goes on. From the packet in which something is missing or
broken, every picture is damaged up to the next *point* from which on a decoder shows what was
meant, in the order of presentation:

* a key picture, or one of open groups (H.264, recovery_frame_cnt 0; H.265, CRA);
* where a camera has its pictures refreshed piece by piece and sends no key pictures, a *recovery
  point*, and as many pictures behind it as it says (H.264, D.2.8; H.265, D.3.8). The damage must
  lie before it: what is broken meanwhile is not refreshed.

Pictures that are shown before a point and come after it in the stream (leading ones) may refer to
what was before; nothing behind the point refers to them. So damage in one of them ends there, too.

Packets are numbered in the order of decoding; pictures come out in that of presentation.
"""

from collections import deque
from dataclasses import dataclass

# More than a decoder holds back (16, H.264, A.3.1): no later point lies before so much damage.
_REMEMBERED = 64
# So many recovery points are waited for at a time.
_RECOVERIES = 16


@dataclass(slots=True)
class Recovery:
    """A recovery point: how many pictures behind it are refreshed.

    Attributes:
        count: Of the pictures.
        by_shown: Whether all are counted as they are shown (H.265); False: those that others refer
            to, as they are decoded (H.264, frame_num).
    """

    count: int
    by_shown: bool


@dataclass(slots=True)
class _Refresh:
    start: int
    left: int
    by_shown: bool
    # The packet of the first picture that is whole again; in H.265, whether it is being counted.
    at: int | None = None


class Damage:
    """The damage of one stream; see the head of this module.

    Args:
        whole: Whether pictures count as whole before the first point: where a decoder that knows
            no better says so itself. Else they are damaged up to it.

    Example:
        >>> damage = Damage()
        >>> [damage.shown(0, key=False), damage.shown(1, key=True), damage.shown(2, key=False)]
        [False, True, True]
        >>> damage.hurt(3)
        >>> [damage.shown(n, key=n == 5) for n in (3, 4, 5)]
        [False, False, True]
    """

    def __init__(self, *, whole: bool = False) -> None:
        # Since which packet all is known, and where something is broken behind that.
        self._since = -1
        self._hurt: deque[int] = deque() if whole else deque([-1])
        self._point = -1
        self._refreshes: list[_Refresh] = []

    @property
    def goes_on(self) -> bool:
        """True if something is broken that no point has mended yet."""
        return bool(self._hurt)

    def taken(
        self,
        number: int,
        *,
        point: bool = False,
        recovery: Recovery | None = None,
        reference: bool = True,
    ) -> None:
        """A packet goes into the decoder.

        Args:
            number: Its number; numbers grow.
            point: Whether it is a key picture by what the packet says.
            recovery: The recovery point that it begins with.
            reference: Whether other pictures refer to it.
        """
        if point:
            self._point = number
        for refresh in self._refreshes:
            if not refresh.by_shown and reference and refresh.left:
                refresh.left -= 1
                refresh.at = None if refresh.left else number
        if recovery:
            at = None if recovery.count or recovery.by_shown else number
            self._refreshes.append(_Refresh(number, recovery.count, recovery.by_shown, at))
        if len(self._refreshes) > _RECOVERIES:
            self._let_go(number - _REMEMBERED)

    def hurt(self, number: int, *, leading: bool = False) -> None:
        """Something is missing or broken in a packet, or just before it.

        Args:
            number: The packet's.
            leading: Whether its picture is shown before that of the last point.
        """
        if leading and self._since < self._point:
            number = min(number, self._point - 1)
        if number < self._since or number in self._hurt:
            return
        self._hurt.append(number)
        if len(self._hurt) > _REMEMBERED:
            # The first one goes on counting.
            del self._hurt[1]

    def shown(self, number: int, *, key: bool) -> bool:
        """True if the picture of a packet is whole; once for each, in the order of presentation.

        Args:
            number: The packet's.
            key: Whether the decoder says that it is a key picture.
        """
        start = number if key else -1
        if self._refreshes:
            start = max(start, self._refreshed(number))
        if start > self._since:
            self._since = start
            self._hurt = deque(hurt for hurt in self._hurt if hurt >= start)
        return not self._hurt or all(hurt > number for hurt in self._hurt)

    def _refreshed(self, number: int) -> int:
        """The last recovery point whose pictures are refreshed with this one; -1: none."""
        done = [refresh for refresh in self._refreshes if self._is_refreshed(refresh, number)]
        if done:
            self._refreshes = [refresh for refresh in self._refreshes if refresh not in done]
        return max((refresh.start for refresh in done), default=-1)

    def _let_go(self, oldest: int) -> None:
        """Forget the refresh whose picture never came out, or else the one that lasts longest."""
        gone = (r for r in self._refreshes if (r.start if r.by_shown else r.at or oldest) < oldest)
        longest = max(self._refreshes, key=lambda refresh: refresh.left)
        self._refreshes.remove(next(gone, longest))

    @staticmethod
    def _is_refreshed(refresh: _Refresh, number: int) -> bool:
        if not refresh.by_shown:
            return refresh.at == number
        if refresh.at is not None:
            refresh.left -= 1
        elif refresh.start == number:
            refresh.at = number
        return refresh.at is not None and refresh.left <= 0
