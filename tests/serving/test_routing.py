"""Where requests go, and when those that are refused may come again."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from stylemap.serving.service import Admission, Busy
from tests.helpers import needs

PHOTOS = [f"owner/{number:x}" for number in range(1000)]


def _order(photo: str, at_work: dict[str, int]) -> list[str]:
    needs.package("ray.serve")
    from stylemap.serving.routing import order

    return order(photo, at_work)


def test_photos_are_spread_and_stay_where_they_are() -> None:
    before = {photo: _order(photo, dict.fromkeys("abcd", 0))[0] for photo in PHOTOS}
    assert all(200 < count < 300 for count in Counter(before.values()).values())
    after = {photo: _order(photo, dict.fromkeys("abce", 0))[0] for photo in PHOTOS}
    moved = [photo for photo in PHOTOS if after[photo] != before[photo]]
    assert all(before[photo] == "d" or after[photo] == "e" for photo in moved)
    assert 200 < sum(name == "e" for name in after.values()) < 300, "one that comes has its share at once"


def test_a_busy_replica_is_asked_last() -> None:
    first, second, third = _order("photo", dict.fromkeys("abc", 0))
    assert _order("photo", {first: 3, second: 0, third: 0}) == [second, third, first]
    assert _order("photo", {first: 3, second: 3, third: 3}) == [first, second, third]
    assert _order("photo", {first: 1, second: 2, third: 3}) == [first, second, third]


def test_those_who_are_refused_come_again_one_after_the_other() -> None:
    admission, now = Admission(10), time.time()
    for _ in range(4):
        with admission.admitted(now + 60):
            time.sleep(0.02)
            admission.answered()
    entered = [admission.admitted(now + 60) for _ in range(10)]
    for one in entered:
        one.__enter__()
    waits = []
    for _ in range(200):
        with pytest.raises(Busy) as refused, admission.admitted(now + 60):
            pass
        waits.append(refused.value.seconds)
    assert waits == sorted(waits)
    assert waits[0] == 1
    assert 4 <= waits[-1] <= 60, "200 of them, at half of some 50 a second"
    for one in entered:
        one.__exit__(None, None, None)
    assert admission.inside == 0


def test_what_cannot_be_answered_in_time_is_refused_at_once() -> None:
    admission = Admission()
    with admission.admitted(time.time() + 60):
        time.sleep(0.05)
        admission.answered()
    entered = [admission.admitted(time.time() + 60) for _ in range(20)]
    for one in entered:
        one.__enter__()
    with pytest.raises(Busy), admission.admitted(time.time() + 0.2):
        pass
    with admission.admitted(time.time() + 60):
        pass
    for one in entered:
        one.__exit__(None, None, None)
