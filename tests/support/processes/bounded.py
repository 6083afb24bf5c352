"""Calls in a child process of bounded memory and processor time, so that neither a crash nor a loop
ends the tests.

The bound is processor time: a loaded machine gives a child less of it, and makes it no less right.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import resource
import signal
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

T = TypeVar("T")

ADDRESS_SPACE = 512 << 20
"""Bytes that a child may map, its interpreter included."""
PROCESSOR_SECONDS = 30
"""Of processor time that a child may use: several times what the longest case takes."""
PATIENCE = 20
"""Seconds on the clock, for each of processor time, after which a child is taken to wait for ever:
only what never ends gets there, for a machine this slow would fail everything else first.
"""

# Children are forked from a server that has imported what they need and nothing else: a case costs
# milliseconds, and not a byte of what the tests have loaded counts as its own.
_CONTEXT = multiprocessing.get_context("forkserver")
_PRELOADED = ["pytest", "tests.support.images.surveyed"]


def preload(module: str) -> None:
    """Import a module once, in the server, for all children; call this before the first."""
    _PRELOADED.append(module)
    _CONTEXT.set_forkserver_preload(_PRELOADED)


class ChildFailedError(AssertionError):
    """The child did not come back: it crashed, or its time was over."""


def in_child(
    function: Callable[..., T],
    *arguments: object,
    seconds: int = PROCESSOR_SECONDS,
    patience: float = PATIENCE,
) -> T:
    """What `function`, a module's own, returns or raises when a child calls it.

    Raises ChildFailedError where the child dies, or uses more than `seconds` of processor time.
    """
    receiver, sender = _CONTEXT.Pipe(duplex=False)
    arguments = (sender, function, arguments, seconds)
    process = _CONTEXT.Process(target=_run, args=arguments, daemon=True)
    process.start()
    sender.close()
    try:
        if not receiver.poll(seconds * patience):
            raise ChildFailedError(f"{function.__name__} waits for ever")
        value, error = receiver.recv()
    except EOFError:
        process.join()
        what = _cause(process.exitcode)
        if process.exitcode == -signal.SIGXCPU:
            what = f"it takes more than {seconds} s of processor time"
        raise ChildFailedError(f"{function.__name__} died: {what}") from None
    finally:
        receiver.close()
        process.kill()
        process.join()
        process.close()
    if error is not None:
        raise error
    result: T = value
    return result


def _cause(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        return signal.Signals(-exit_code).name
    return f"exit code {exit_code}"


def _run(
    sender: Connection,
    function: Callable[..., object],
    arguments: tuple[Any, ...],
    seconds: int,
) -> None:
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's affair
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    value: object = None
    error: BaseException | None = None
    try:
        value = function(*arguments)
    except BaseException as caught:  # noqa: BLE001 -- it is raised again, in the parent
        error = caught
    sender.send((value, error))
