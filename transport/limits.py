"""What one client may cost before any of its operations runs."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Sizes are bytes on the wire, times are seconds."""

    body_bytes: int = 1024 * 1024
    """An application/json body, and each JSON field of a multipart one. Above: 413."""
    large_body_bytes: int = 1024 * 1024
    """The same for those who may send more. Above: 413."""
    body_seconds: float = 10.0
    """From the headers to the last byte of a JSON body. Later: 408 and the connection closes."""
    upload_bytes: int = 20 * 1024 * 1024
    """A multipart/form-data body with all its files. Above: 413."""
    upload_files: int = 10
    upload_seconds: float = 120.0
    message_bytes: int = 256 * 1024
    """One WebSocket message. Above: close 1009."""
    init_seconds: float = 10.0
    """From the socket's opening to connection_init. Later: close 4408."""
    socket_operations: int = 100
    """Operations running at once on one socket. One more is answered with an `error` message."""
    sockets_per_address: int | None = None
    """Open sockets of one client address. One more is refused with 429 before it opens."""
    heartbeat_seconds: float = 5.0
    """Silence after which a streamed HTTP response sends a heartbeat."""
    stream_start_seconds: float = 0.1
    """How long a streamed HTTP response waits for its first result before its headers go out.

    An operation refused within that time is answered with a plain JSON response and its status;
    later, the refusal is the stream's only event.
    """
    close_seconds: float = 5.0
    """How long a close frame may take to reach a client that does not read."""
