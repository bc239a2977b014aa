"""A result that comes later: who waits for it is called the moment it is there.

A future of asyncio calls back a turn of the loop later and makes a handle for each call: in a
decision, where three stages wait for one another, that was a tenth of the time.
"""

import asyncio
from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")
Next = TypeVar("Next")


class Pending(Generic[Result]):
    """Settled once, by `resolve` or `fail`; has one listener, or is awaited once."""

    __slots__ = ("_error", "_is_settled", "_listener", "_result")

    def __init__(self) -> None:
        self._is_settled = False
        self._result: Result | None = None
        self._error: BaseException | None = None
        self._listener: Callable[[Pending[Result]], None] | None = None

    @property
    def is_settled(self) -> bool:
        return self._is_settled

    def resolve(self, result: Result) -> None:
        """The result; later ones are ignored."""
        self._settle(result, None)

    def fail(self, error: BaseException) -> None:
        """The error in place of a result."""
        self._settle(None, error)

    def result(self) -> Result:
        """The result, or raises the error; only once settled."""
        if self._error is not None:
            raise self._error
        result: Any = self._result
        return result  # type: ignore[no-any-return]

    def follow(self, result: "Result | Pending[Result]") -> None:
        """Settle with a result, or as another one is settled."""
        if isinstance(result, Pending):
            result.listen(lambda done: self._settle(done._result, done._error))
        else:
            self.resolve(result)

    def listen(self, listener: "Callable[[Pending[Result]], None]") -> None:
        """Call with this once it is settled; now, if it is already."""
        if self._is_settled:
            listener(self)
        else:
            self._listener = listener

    def then(
        self,
        answer: "Callable[[Result], Next | Pending[Next]]",
        fail: Callable[[BaseException], Next | None],
    ) -> "Pending[Next]":
        """What `answer` makes of the result, `fail` of the error; None of it stays an error.

        Where an answer has to be waited for itself, what is returned is settled with it.
        What they raise becomes the error of what is returned.
        """
        following: Pending[Next] = Pending()

        def settle(done: Pending[Result]) -> None:
            try:
                if done._error is None:
                    following.follow(answer(done.result()))
                    return
                made = fail(done._error)
                if made is not None:
                    following.resolve(made)
                else:
                    following.fail(done._error)
            # Not handled here: result() raises it in the outer shell that waits for this. Let out,
            # it would end whoever resolved, and leave the one who waits without an answer.
            except Exception as error:  # noqa: BLE001
                following.fail(error)

        self.listen(settle)
        return following

    def __await__(self) -> Generator[Any, None, Result]:
        if not self._is_settled:
            future = asyncio.get_running_loop().create_future()

            def wake(_settled: Pending[Result]) -> None:
                if not future.done():  # the waiting task may have been cancelled
                    future.set_result(None)

            self.listen(wake)
            yield from future
        return self.result()

    def _settle(self, result: Result | None, error: BaseException | None) -> None:
        if self._is_settled:
            return
        self._is_settled, self._result, self._error = True, result, error
        listener, self._listener = self._listener, None
        if listener is not None:
            listener(self)


def pending_of(future: "asyncio.Future[Result]") -> Pending[Result]:
    """The result of a task or of work on a thread; never settled where that is cancelled."""
    pending: Pending[Result] = Pending()

    def settle(done: "asyncio.Future[Result]") -> None:
        if done.cancelled():
            return
        error = done.exception()
        if error is None:
            pending.resolve(done.result())
        else:
            pending.fail(error)

    future.add_done_callback(settle)
    return pending
