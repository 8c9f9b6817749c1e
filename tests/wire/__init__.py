"""Local servers that speak the wire protocols of language-model vendors, for tests and by hand.

Usage::

    from tests.wire import openai_server as wire

    with wire.OpenAIWireServer() as server:
        server.enqueue(wire.rate_limited(retry_after="1"), wire.answer("It is ", "blue [1]."))
        ...                                     # point OPENAI_BASE_URL at server.base_url
        server.requests[0].json["messages"]     # what was sent
        server.wait_for_disconnect(1.0)         # the client has closed a reply before its end

A reply is taken from the queue for each request; when the queue is empty, `server.default`
answers. By hand: ``python -m tests.wire.openai_server --port 9999``.
"""
