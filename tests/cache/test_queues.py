"""Places are kept, bytes add up, and ghosts are bounded."""

from math import inf

from gateway.cache.fragments import Fragment
from gateway.cache.keys import Key
from gateway.cache.queues import VARIANT_BYTES, Ghosts, Queue, weigh


def fragment(size_bytes: int = 0) -> Fragment:
    return Fragment(b"", bytes(size_bytes), "", "", 0.0)


def filled(entries: int) -> Queue:
    queue = Queue()
    for number in range(entries):
        queue.append((1, number), fragment(), weigh((1, number), fragment()))
    return queue


def popped(queue: Queue) -> list[Key]:
    return [queue.pop()[0] for _ in range(len(queue.held))]


def test_a_key_is_weighed_with_its_text() -> None:
    plain = weigh((1, 7), fragment())
    assert weigh((1, "short"), fragment()) == plain
    assert weigh((1, 7), fragment(50)) == plain + 50
    assert plain + 900 < weigh((1, "x" * 1_000), fragment()) < plain + 1_100
    assert plain + 1_000 < weigh((1, ("x" * 500, "y" * 500)), fragment()) < plain + 1_300
    assert plain + VARIANT_BYTES <= weigh((1, 7, "[]", None), fragment()) < plain + VARIANT_BYTES + 100
    assert weigh((1, 7, "[" * 1_000, None), fragment()) > plain + VARIANT_BYTES + 900


def test_what_came_first_leaves_first_and_what_is_filled_again_keeps_its_place() -> None:
    queue = filled(4)
    assert queue.drop((1, 1)) is not None
    assert queue.drop((1, 1)) is None
    assert queue.drop((9, 9)) is None
    assert queue.drop((1, 2)) is not None
    queue.replace((1, 2), fragment(10), weigh((1, 2), fragment(10)))
    assert (len(queue), queue.size_bytes) == (3, 3 * weigh((1, 0), fragment()) + 10)
    assert queue.charged_bytes > queue.size_bytes
    assert [(key, kept is not None) for key, kept, _ in [queue.pop() for _ in range(4)]] == [
        ((1, 0), True),
        ((1, 1), False),
        ((1, 2), True),
        ((1, 3), True),
    ]
    assert (len(queue), queue.size_bytes, queue.charged_bytes) == (0, 0, 0)


def test_a_walk_sees_everything_once_also_what_comes_and_goes_meanwhile() -> None:
    queue = filled(1_000)
    queue.drop((1, 5))
    seen: list[Key] = []

    def look(key: Key, kept: Fragment) -> Fragment | None:
        seen.append(key)
        return None if key == (1, 7) else kept

    assert queue.walk(look, 0.0)
    assert 0 < len(seen) < 100
    front = queue.pop()[0]
    queue.append((2, 0), fragment(), weigh((2, 0), fragment()))
    while queue.walk(look, 0.0):
        pass
    queue.end_walk()
    assert front == (1, 0)
    assert sorted(seen) == [*[(1, number) for number in range(1_000) if number != 5], (2, 0)]
    assert len(queue.held) == 1_000 - 3 + 1
    assert queue.charged_bytes == queue.size_bytes == 998 * weigh((1, 0), fragment())
    assert popped(queue) == [*[(1, number) for number in range(1, 1_000) if number not in (5, 7)], (2, 0)]


def test_a_walk_that_is_broken_off_leaves_the_order_as_it_was() -> None:
    queue = filled(1_000)
    queue.walk(lambda _, kept: kept, 0.0)
    queue.end_walk()
    assert popped(queue) == [(1, number) for number in range(1_000)]


def test_an_emptied_queue_can_be_filled_again() -> None:
    queue = filled(10)
    assert not queue.walk(lambda _key, _kept: None, inf)
    queue.end_walk()
    assert (len(queue.held), queue.charged_bytes) == (0, 0)
    queue.append((1, 1), fragment(), weigh((1, 1), fragment()))
    assert popped(queue) == [(1, 1)]


def test_ghosts_are_remembered_for_a_while() -> None:
    ghosts = Ghosts()
    for number in range(25):
        ghosts.add((1, number), limit=10)
    assert [number for number in range(30) if (1, number) in ghosts] == list(range(10, 25))
    ghosts.clear()
    assert (1, 24) not in ghosts
    ghosts.add((1, 1), limit=0)
    assert (1, 1) in ghosts
