"""What the knowledge base tells about itself."""

from __future__ import annotations


class NotReady(Exception):
    """The knowledge base cannot be searched, and will not be: the message says why."""
