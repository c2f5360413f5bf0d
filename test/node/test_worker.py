import threading
import time

from vi_fusion_ros.node.worker import Worker

DEADLINE_S = 10.0


class Recorder:
    def __init__(self):
        self.items, self.errors, self.changed = [], [], threading.Condition()

    def add(self, collection, item):
        with self.changed:
            collection.append(item)
            self.changed.notify_all()

    def wait_for(self, condition):
        with self.changed:
            assert self.changed.wait_for(condition, DEADLINE_S)


def test_items_are_handled_in_order():
    seen = Recorder()
    worker = Worker(lambda item: seen.add(seen.items, item), lambda: None, seen.errors.append, depth=100)
    worker.start()
    for item in range(50):
        worker.submit(item)
    seen.wait_for(lambda: len(seen.items) == 50)
    worker.stop()
    assert seen.items == list(range(50))
    assert worker.dropped == 0


def test_a_slow_handler_gets_the_newest_and_the_rest_are_counted():
    seen, entered, release = Recorder(), threading.Event(), threading.Event()

    def handle(item):
        entered.set()
        assert release.wait(DEADLINE_S)
        seen.add(seen.items, item)

    worker = Worker(handle, lambda: None, seen.errors.append, depth=2)
    worker.start()
    worker.submit(0)
    assert entered.wait(DEADLINE_S)
    for item in range(1, 10):
        worker.submit(item)
    release.set()
    seen.wait_for(lambda: len(seen.items) == 3)
    worker.stop()
    assert seen.items == [0, 8, 9]
    assert worker.dropped == 7


def test_exceptions_are_reported_and_the_thread_goes_on():
    seen = Recorder()

    def handle(item):
        if item == "bad":
            raise ValueError("bad item")
        seen.add(seen.items, item)

    worker = Worker(handle, lambda: None, seen.errors.append, depth=10)
    worker.start()
    worker.submit("bad")
    worker.submit("good")
    seen.wait_for(lambda: seen.items == ["good"])
    worker.stop()
    assert [str(error) for error in seen.errors] == ["bad item"]


def test_poll_is_called_at_its_deadline_and_on_wake():
    seen = Recorder()

    def poll():
        seen.add(seen.items, time.monotonic_ns())
        return seen.items[0] + 20_000_000 if len(seen.items) == 1 else None

    worker = Worker(lambda item: None, poll, seen.errors.append, depth=1)
    worker.start()
    seen.wait_for(lambda: len(seen.items) == 2)
    assert seen.items[1] - seen.items[0] >= 20_000_000
    worker.wake()
    seen.wait_for(lambda: len(seen.items) == 3)
    worker.stop()


def test_stop_ends_an_idle_thread_and_one_that_never_ran():
    worker = Worker(lambda item: None, lambda: None, lambda error: None, depth=1)
    worker.start()
    worker.stop()
    assert not worker._thread.is_alive()
    Worker(lambda item: None, lambda: None, lambda error: None, depth=1).stop()
