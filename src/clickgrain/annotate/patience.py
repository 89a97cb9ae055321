"""Requests that are never sent whole; of a body that the application wants, the guard takes care (`security`)."""

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from clickgrain.annotate.security import SECONDS


class PatientProtocol(H11Protocol):
    """uvicorn's protocol, which itself waits for the rest of a head, or of a body that was refused, for ever."""

    patience = SECONDS
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Take some bytes; with those that begin another head the time begins."""
        super().data_received(data)
        if not self._is_owed():
            self._stop()
        elif self._timer is None:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """The other side is gone."""
        self._stop()
        super().connection_lost(exc)

    def _is_owed(self) -> bool:
        """Whether a head is not there yet, or a body goes on after its answer."""
        return self.conn.their_state is h11.IDLE or self.conn.our_state is h11.DONE

    def _wait(self) -> None:
        self._timer = self.loop.call_later(self.patience, self._give_up)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        if self._is_owed() and not self.transport.is_closing():
            self.transport.close()
