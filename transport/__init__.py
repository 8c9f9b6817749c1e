"""GraphQL over HTTP, multipart and WebSockets, on top of a Strawberry schema's public methods."""
