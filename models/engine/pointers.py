"""A pointer into llama.cpp that several threads may use and that can be closed for good."""

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from ..errors import ModelError

T = TypeVar("T")


class Pointer:
    """Owns an object of llama.cpp. Every call that takes it goes through `call`, so none reads freed memory."""

    def __init__(self, address: Any, free: Callable[[Any], None], name: str) -> None:
        """Take the object over.

        Args:
            address: the opaque pointer that llama.cpp returned; the package has no type for it.
            free: the function of llama.cpp that releases it.
            name: the model's name in the error of a closed pointer.
        """
        self._address = address
        self._free = free
        self._name = name
        self._calls = 0
        self._closed = False
        self._changed = threading.Condition()

    def call(self, function: Callable[..., T], *arguments: object) -> T:
        """Call `function(pointer, *arguments)`; the pointer stays valid until it returns.

        Returns:
            What the function returned.

        Raises:
            ModelError: it is closed.
        """
        with self._changed:
            if self._closed:
                msg = f"the model {self._name} is closed: open it again"
                raise ModelError(msg)
            self._calls += 1
        try:
            return function(self._address, *arguments)
        finally:
            with self._changed:
                self._calls -= 1
                self._changed.notify_all()

    def close(self) -> None:
        """Refuse further calls, wait for those that run, and free the object. Closing twice does nothing."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._changed.wait_for(lambda: self._calls == 0)
        self._free(self._address)
