"""Parsl's pool of workers, able to end when a part of it was killed."""

from __future__ import annotations

import contextlib
import socket
from typing import Any

import zmq
from parsl.addresses import address_by_interface
from parsl.executors import HighThroughputExecutor

_ANSWER_MS = 10_000


class Pool(HighThroughputExecutor):
    """Asks its interchange with patience but not for ever: Parsl's own waits for the answer of a dead one."""

    def listen_everywhere(self) -> None:
        """Let workers of other machines come, by any address of this one; Parsl's own search asks the internet."""
        self.address = None
        self.all_addresses = set()
        for _, name in socket.if_nameindex():
            with contextlib.suppress(OSError):  # it has none
                self.all_addresses.add(address_by_interface(name))

    def start(self) -> None:
        """Start the interchange and the first workers."""
        super().start()  # type: ignore[no-untyped-call]
        client = self.command_client.zmq_socket
        for option in (zmq.RCVTIMEO, zmq.SNDTIMEO):
            client.setsockopt(option, _ANSWER_MS)
        for option in (zmq.REQ_RELAXED, zmq.REQ_CORRELATE):  # a question may follow one that had no answer
            client.setsockopt(option, 1)

    def has_interchange(self) -> bool:
        """Whether results can still come."""
        return self.interchange_proc is not None and self.interchange_proc.poll() is None

    def connected_managers(self) -> list[dict[str, Any]]:
        """Managers as the interchange knows them; of a dead one none, so that its jobs can be ended without it."""
        return super().connected_managers() if self.has_interchange() else []
