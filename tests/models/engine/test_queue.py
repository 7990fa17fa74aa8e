"""The thread that owns the model: order, bounds, deadlines, and callers who leave."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tanqu.models.engine import queue
from tanqu.models.engine.queue import Job, ModelThread
from tanqu.models.errors import CancelledError, ModelError


@pytest.fixture
def thread() -> Iterator[ModelThread]:
    made = ModelThread("test")
    yield made
    made.close()


class Gate:
    """Holds the thread until it is opened; notices when its job should stop."""

    def __init__(self, thread: ModelThread) -> None:
        self._open = threading.Event()
        self._inside = threading.Event()
        self.pool = ThreadPoolExecutor(300)
        self.result = self.pool.submit(thread.run, self._hold, priority=0)
        assert self._inside.wait(5)

    def _hold(self, job: Job) -> str:
        self._inside.set()
        while not self._open.wait(0.01):
            job.check()
        return "held"

    def open(self) -> None:
        self._open.set()


def _until(condition: object) -> None:
    """Wait until a function of no arguments is true."""
    assert callable(condition)
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_result_and_an_error_come_back(thread: ModelThread) -> None:
    assert thread.run(lambda _job: 7, priority=0) == 7
    with pytest.raises(ZeroDivisionError):
        thread.run(lambda _job: 1 // 0, priority=0)
    assert thread.run(lambda _job: threading.current_thread().name, priority=0) == "tanqu-test"


def test_the_urgent_go_first_and_the_rest_in_order_of_arrival(thread: ModelThread) -> None:
    gate, done = Gate(thread), list[str]()
    for name, priority in (("batch 1", 9), ("batch 2", 9), ("chat", 0), ("page", 5)):
        waiting = thread.waiting
        gate.pool.submit(thread.run, lambda _job, name=name: done.append(name), priority=priority)
        _until(lambda waiting=waiting: thread.waiting == waiting + 1)
    gate.open()
    gate.pool.shutdown()
    assert done == ["chat", "page", "batch 1", "batch 2"]


def test_a_deadline_counts_the_waiting(thread: ModelThread) -> None:
    gate = Gate(thread)
    started = time.monotonic()
    with pytest.raises(CancelledError, match="its deadline passed"):
        thread.run(lambda _job: 1, priority=0, deadline=0.05)
    assert time.monotonic() - started < 1.0
    assert thread.waiting == 0
    gate.open()
    assert gate.result.result() == "held"


def test_work_past_its_deadline_is_stopped_before_the_call_ends(thread: ModelThread) -> None:
    ended = threading.Event()

    def work(job: Job) -> None:
        try:
            while True:
                time.sleep(0.005)
                job.check()
        finally:
            ended.set()

    with pytest.raises(CancelledError):
        thread.run(work, priority=0, deadline=0.05)
    assert ended.is_set()
    assert thread.run(lambda _job: 1, priority=0) == 1


def test_code_without_python_sees_that_a_job_should_stop() -> None:
    job = Job(0, 0, lambda _job: None)
    assert job.flag.value == b""
    job.stop("it was closed")
    job.stop("a second reason")
    assert job.flag.value != b""
    with pytest.raises(CancelledError, match="it was closed"):
        job.check()


def test_an_event_takes_a_waiting_job_out_of_the_queue(thread: ModelThread) -> None:
    gate, cancel = Gate(thread), threading.Event()
    waiting = gate.pool.submit(thread.run, lambda _job: 1, priority=0, cancel=cancel)
    _until(lambda: thread.waiting == 1)
    cancel.set()
    with pytest.raises(CancelledError, match="gave up"):
        waiting.result(5)
    assert thread.waiting == 0
    gate.open()


def test_a_full_queue_lets_the_next_caller_wait_for_a_place(thread: ModelThread) -> None:
    gate = Gate(thread)
    calls = [gate.pool.submit(thread.run, lambda _job, at=at: at, priority=5) for at in range(280)]
    _until(lambda: thread.waiting == queue.QUEUE_LENGTH)
    with pytest.raises(CancelledError):
        thread.run(lambda _job: 1, priority=0, deadline=0.05)
    assert thread.waiting == queue.QUEUE_LENGTH
    gate.open()
    assert [call.result() for call in calls] == list(range(280))


def test_closing_refuses_what_waits_and_stops_what_runs() -> None:
    thread = ModelThread("test")
    gate = Gate(thread)
    waiting = gate.pool.submit(thread.run, lambda _job: 1, priority=0)
    _until(lambda: thread.waiting == 1)
    thread.close()
    thread.close()
    for call in (gate.result, waiting):
        with pytest.raises(CancelledError, match="closed"):
            call.result(5)
    with pytest.raises(ModelError, match="the model test is closed"):
        thread.run(lambda _job: 1, priority=0)


def test_the_thread_does_not_wait_for_itself(thread: ModelThread) -> None:
    with pytest.raises(ModelError, match="own thread"):
        thread.run(lambda _job: thread.run(lambda _inner: 1, priority=0), priority=0)


def test_no_request_of_many_threads_is_lost_or_mixed_up(thread: ModelThread) -> None:
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(thread.run, lambda _job, at=at: at, priority=at % 7) for at in range(2000)]
        assert [call.result() for call in calls] == list(range(2000))
