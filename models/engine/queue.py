"""One thread that owns the model, and the bounded queue before it."""

import ctypes
import heapq
import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ..errors import CancelledError, ModelError

T = TypeVar("T")

QUEUE_LENGTH = 256
"""Requests that may wait; the next caller waits for a place."""

_TICK = 0.05  # seconds between two looks at deadlines and cancellations by a caller who waits
_GRACE = 2.0  # seconds a caller who gave up waits for the work to let go; it takes 0.3 at most


@dataclass(order=True)
class Job:
    """A piece of work: lower priority numbers first, then the order of arrival."""

    priority: int
    number: int
    work: "Callable[[Job], Any]" = field(compare=False)  # returns whatever the caller's future holds
    deadline: float | None = field(compare=False, default=None)  # on the monotonic clock
    cancel: threading.Event | None = field(compare=False, default=None)
    future: "Future[Any]" = field(compare=False, default_factory=Future)
    flag: "ctypes.Array[ctypes.c_char]" = field(
        compare=False, default_factory=lambda: ctypes.create_string_buffer(2)
    )
    """A C string: not empty once the job should stop, which code without Python can see."""
    _reason: str = field(compare=False, default="")

    def stop(self, reason: str) -> None:
        """Have the job stop soon, wherever it is. The first reason holds."""
        self._reason = self._reason or reason
        self.flag[0] = b"!"

    def check(self) -> None:
        """Raise CancelledError if the job should stop. Cheap: asked between tokens."""
        if self.deadline is not None and time.monotonic() > self.deadline:
            self.stop("its deadline passed")
        if self.cancel is not None and self.cancel.is_set():
            self.stop("the caller gave up")
        if self._reason:
            msg = f"the model was stopped: {self._reason}"
            raise CancelledError(msg)

    def run(self) -> None:
        """Do the work and hand over what comes of it; does nothing if the caller has left."""
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            self.check()
            result = self.work(self)
        except BaseException as error:  # whatever it is, the caller gets it
            self.future.set_exception(error)
        else:
            self.future.set_result(result)


class ModelThread:
    """Runs jobs one after another, the most urgent first. Safe to use from any thread."""

    def __init__(self, name: str) -> None:
        """Start the thread of the model `name`."""
        self._name = name
        self._waiting: list[Job] = []  # a heap
        self._running: Job | None = None
        self._numbers = itertools.count()
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._serve, name=f"tanqu-{name}", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many jobs wait for the one that runs."""
        return len(self._waiting)

    def run(
        self,
        work: Callable[[Job], T],
        *,
        priority: int,
        deadline: float | None = None,
        cancel: threading.Event | None = None,
    ) -> T:
        """Do `work` on the thread; on an exception here (Ctrl-C) it is stopped before this call ends.

        Args:
            work: what to do; it calls `Job.check` often.
            priority: lower numbers go first, equal ones in order of arrival.
            deadline: seconds from now, waiting included, after which the work is stopped.
            cancel: stops the work soon after it is set.

        Returns:
            What `work` returned; what it raises is raised here.

        Raises:
            CancelledError: it was stopped.
            ModelError: the thread is closed, or this is the thread itself, which would wait for itself.
        """
        self._refuse_own_thread("call")
        until = None if deadline is None else time.monotonic() + deadline
        job = Job(priority, next(self._numbers), work, until, cancel)
        try:
            self._enter(job)
            while not wait([job.future], _TICK).done:
                job.check()
        except BaseException:
            job.stop("the caller gave up")
            self._leave(job)
            raise
        result: T = job.future.result()
        return result

    def close(self) -> None:
        """Stop the running job, refuse those that wait, and end the thread.

        Raises:
            ModelError: this is the thread itself, which would wait for itself.
        """
        self._refuse_own_thread("close")
        with self._changed:
            self._closed = True
            for job in self._waiting:
                job.stop("it was closed")
            if self._running:
                self._running.stop("it was closed")
            self._changed.notify_all()
        self._thread.join()

    def _refuse_own_thread(self, what: str) -> None:
        if threading.current_thread() is self._thread:
            msg = f"the model's own thread cannot {what} it: do not {what} it within on_text"
            raise ModelError(msg)

    def _enter(self, job: Job) -> None:
        """Put a job into the queue as soon as there is a place."""
        with self._changed:
            while not self._closed and len(self._waiting) >= QUEUE_LENGTH:
                self._changed.wait(_TICK)
                job.check()
            if self._closed:
                msg = f"the model {self._name} is closed: open it again"
                raise ModelError(msg)
            heapq.heappush(self._waiting, job)
            self._changed.notify_all()

    def _leave(self, job: Job) -> None:
        """Take a job out of the queue, or wait until it has let go of the model."""
        with self._changed:
            if job in self._waiting:
                self._waiting.remove(job)
                heapq.heapify(self._waiting)
                job.future.cancel()
                self._changed.notify_all()
        if job is self._running:
            wait([job.future], _GRACE)

    def _serve(self) -> None:
        while job := self._next():
            job.run()
            self._running = None
            del job  # what it holds is the caller's

    def _next(self) -> Job | None:
        """The most urgent job, as soon as there is one; None at the end."""
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            if not self._waiting:
                return None
            self._running = heapq.heappop(self._waiting)
            self._changed.notify_all()
            return self._running
