"""What messages consist of beside their text, as GraphQL types."""

from __future__ import annotations

import strawberry


@strawberry.type(description="What a reply cost.")
class Usage:
    provider: str = strawberry.field(
        description="Who generated it: offline, openai, gemini, or approved for an answer that an "
        "editor has approved."
    )
    model: str = strawberry.field(description="The model's name at the provider.")
    prompt_tokens: int = strawberry.field(
        description="Tokens of the prompt; estimated where the provider does not say."
    )
    completion_tokens: int = strawberry.field(
        description="Tokens of the reply; estimated where the provider does not say."
    )
    first_token_ms: int = strawberry.field(
        description="Milliseconds from the question to the first text."
    )
    total_ms: int = strawberry.field(description="Milliseconds from the question to the end.")


@strawberry.type(description="A part of a text, in Unicode code points.")
class TextRange:
    start: int = strawberry.field(description="Its begin, counted from 0.")
    end: int = strawberry.field(description="Its end; the character there is the first behind it.")


@strawberry.type(description="The part of a message where most of what was searched for stands.")
class MessageSnippet:
    text: str = strawberry.field(
        description="At most 240 characters of the content, as they stand there: plain text, "
        "neither HTML nor ellipses."
    )
    start_offset: int = strawberry.field(
        description="Where it begins in the content, in Unicode code points."
    )
    highlights: list[TextRange] = strawberry.field(
        description="What was searched for, as ranges of `text`, in order and without overlaps."
    )
