"""Adding, changing and deleting documents, and following the indexing."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, TypeAlias, cast
from uuid import UUID

import strawberry
from starlette.datastructures import UploadFile
from strawberry import UNSET
from strawberry.file_uploads import Upload

from models.user import EDITORS
from resolvers.context import Viewer
from resolvers.errors import BadUserInput
from resolvers.knowledge import documents, manifest, progress
from resolvers.knowledge.counting import IndexProgress as Progress
from resolvers.knowledge.field_mapping import Names
from resolvers.knowledge.submission import Properties
from schema.absent import given
from schema.chat import Deleted, DeleteResult
from schema.context import Info
from schema.errors import InvalidInput, NotFound, RateLimited, answers_problems
from schema.knowledge import Document
from schema.node import global_id, row_id

_TYPE = "Its kind, such as policy, faq or manual: at most 60 characters. "
_CATEGORY = "Its subject, such as shipping: at most 60 characters. "
_LANGUAGE = "ISO 639-1 code of its language, such as en. "
_KEY = (
    "The name by which an outside system knows the document, 1 to 200 characters. Sent again, it "
    "changes that document instead of adding one."
)


@strawberry.input(description="A text that becomes a document.")
class AddDocumentInput:
    title: str = strawberry.field(description="Its title, 1 to 300 characters.")
    content: str = strawberry.field(
        description="Its text, plain or Markdown: 1 to 2,000,000 characters with a word in them."
    )
    type: str | None = strawberry.field(default=UNSET, description=_TYPE + "document if not given.")
    category: str | None = strawberry.field(
        default=UNSET, description=_CATEGORY + "general if not given."
    )
    language: str | None = strawberry.field(default=UNSET, description=_LANGUAGE)
    source: str | None = strawberry.field(
        default=UNSET,
        description="Where it comes from, such as an address, or the name that syncManifest uses: "
        "at most 1,000 characters.",
    )
    key: str | None = strawberry.field(default=UNSET, description=_KEY)
    collection_id: strawberry.ID | None = strawberry.field(
        default=UNSET,
        description="The collection that it is put into; the public General if not given. What is "
        "there already stays where it is.",
    )


@strawberry.input(
    description="Which fields of the records of a JSON Lines file are what. A dot goes into an "
    "object, as in meta.language. What is not given keeps its usual names."
)
class FieldMappingInput:
    title: list[str] | None = strawberry.field(
        default=UNSET,
        description="1 to 20 names: the first field that says something is the title. If not "
        "given: title, name.",
    )
    content: list[str] | None = strawberry.field(
        default=UNSET,
        description="1 to 20 names: all that are there are the text, each as a paragraph of its "
        "own. If not given, the first of content, text, body.",
    )
    type: list[str] | None = strawberry.field(
        default=UNSET, description="1 to 20 names. If not given: type."
    )
    category: list[str] | None = strawberry.field(
        default=UNSET, description="1 to 20 names. If not given: category."
    )
    language: list[str] | None = strawberry.field(
        default=UNSET, description="1 to 20 names. If not given: language, lang."
    )

    def to_names(self) -> Names:
        return Names(
            title=given(self.title),
            content=given(self.content),
            type=given(self.type),
            category=given(self.category),
            language=given(self.language),
        )


@strawberry.input(description="A file that becomes a document.")
class UploadDocumentInput:
    file: Upload = strawberry.field(
        description="The file, as the GraphQL multipart request specification sends it: at most "
        "20 MB. The end of its name decides how it is read."
    )
    title: str | None = strawberry.field(
        default=UNSET,
        description="Its title, 1 to 300 characters; if not given, the one in the file.",
    )
    type: str | None = strawberry.field(
        default=UNSET, description=_TYPE + "If not given, what the file says."
    )
    category: str | None = strawberry.field(
        default=UNSET, description=_CATEGORY + "If not given, what the file says."
    )
    language: str | None = strawberry.field(
        default=UNSET, description=_LANGUAGE + "If not given, what the file says."
    )
    source: str | None = strawberry.field(
        default=UNSET,
        description="Where it comes from, at most 1,000 characters; the file's name if not given.",
    )
    key: str | None = strawberry.field(default=UNSET, description=_KEY)
    collection_id: strawberry.ID | None = strawberry.field(
        default=UNSET,
        description="The collection that it is put into; the public General if not given. What is "
        "there already stays where it is.",
    )
    mapping: FieldMappingInput | None = strawberry.field(
        default=UNSET,
        description="Which fields are what, for a file that ends in .jsonl or .ndjson alone. Each "
        "of its records becomes a document. Sent with the same file again, it reads it anew.",
    )


@strawberry.input(description="Changes of a document; what is left out stays.")
class UpdateDocumentInput:
    id: strawberry.ID = strawberry.field(description="The document's id.")
    title: str | None = strawberry.field(
        default=UNSET, description="A new title, 1 to 300 characters."
    )
    content: str | None = strawberry.field(
        default=UNSET,
        description="A new text, 1 to 2,000,000 characters.",
    )
    type: str | None = strawberry.field(default=UNSET, description=_TYPE)
    category: str | None = strawberry.field(default=UNSET, description=_CATEGORY)
    language: str | None = strawberry.field(default=UNSET, description=_LANGUAGE)


@strawberry.input(description="A document as a source has it now.")
class ManifestEntry:
    key: str = strawberry.field(description="Its key, 1 to 200 characters.")
    hash: str = strawberry.field(
        description="The SHA-256, in 64 hexadecimal digits, of its content in UTF-8, or of the "
        "file's bytes."
    )


@strawberry.type(description="What must happen so that the documents are as the source has them.")
class ManifestDifference:
    wanted: list[str] = strawberry.field(
        description="Keys that are new, were changed, or have failed: send them with addDocument "
        "or uploadDocument, with the same source and collection."
    )
    missing: list[str] = strawberry.field(
        description="Keys of documents of this source that the list does not have."
    )
    deleted: int = strawberry.field(
        description="How many of the missing were deleted: 0 without deleteMissing."
    )


@strawberry.type(description="How far the indexing is.")
class IndexProgress:
    documents: int = strawberry.field(
        description="How many documents there are. Those that are neither ready nor failed wait."
    )
    ready: int = strawberry.field(description="How many are indexed as they were sent last.")
    failed: int = strawberry.field(
        description="How many could not be indexed as they were sent last."
    )
    chunks: int = strawberry.field(description="How many passages can be found now.")

    warning: str | None = strawberry.field(
        description="What somebody should look at, in English: above all that most files of the "
        "folder are missing, so that their documents are kept for now. Null if there is nothing, "
        "and for everyone but EDITOR and ADMIN."
    )

    @classmethod
    def from_progress(cls, value: Progress, viewer: Viewer) -> IndexProgress:
        return cls(
            documents=value.documents,
            ready=value.ready,
            failed=value.failed,
            chunks=value.chunks,
            warning=value.warning if viewer.user.role in EDITORS else None,
        )


DocumentResult: TypeAlias = Annotated[
    Document | InvalidInput | NotFound | RateLimited,
    strawberry.union("DocumentResult", description="The outcome of a change of a document."),
]
ManifestResult: TypeAlias = Annotated[
    ManifestDifference | InvalidInput | NotFound | RateLimited,
    strawberry.union("ManifestResult", description="The outcome of comparing a manifest."),
]

_Input = AddDocumentInput | UploadDocumentInput | UpdateDocumentInput


def _collection_id(value: strawberry.ID | None) -> UUID | None:
    """An id of nothing becomes one that no row has: it is not found."""
    return None if value is None else row_id("Collection", value) or UUID(int=0)


def _properties(input: _Input) -> Properties:
    source = key = collection_id = None
    if not isinstance(input, UpdateDocumentInput):
        source, key = given(input.source), given(input.key)
        collection_id = _collection_id(given(input.collection_id))
    return Properties(
        title=given(input.title),
        type=given(input.type),
        category=given(input.category),
        language=given(input.language),
        source=source,
        key=key,
        collection_id=collection_id,
    )


@strawberry.type
class DocumentMutation:
    @strawberry.mutation(
        description="Add a text to the knowledge base, or change the one with the same key. It is "
        "stored when this answers, with status PENDING, and found once it is READY; follow it with "
        "node or indexProgress. The same content again gives the document that is there. For "
        "EDITOR and ADMIN."
    )
    @answers_problems
    async def add_document(
        self,
        info: Info,
        input: Annotated[AddDocumentInput, strawberry.argument(description="The document.")],
    ) -> DocumentResult:
        return Document.from_row(
            await documents.add_document(info.context.app, _properties(input), input.content)
        )

    @strawberry.mutation(
        description="Add a file to the knowledge base, or change the document with the same key. "
        "It is stored when this answers, and read next; a file that cannot be read ends as FAILED, "
        "with a sentence that says why. For EDITOR and ADMIN."
    )
    @answers_problems
    async def upload_document(
        self,
        info: Info,
        input: Annotated[UploadDocumentInput, strawberry.argument(description="The file.")],
    ) -> DocumentResult:
        # First, so that nobody else's file is read into memory.
        info.context.app.require_role(*EDITORS)
        file = cast(object, input.file)
        if not isinstance(file, UploadFile):
            # The scalar takes whatever JSON brings.
            raise BadUserInput(
                "file is no file: send a form as the GraphQL multipart request specification says."
            )
        mapping = given(input.mapping)
        return Document.from_row(
            await documents.upload_document(
                info.context.app,
                _properties(input),
                file.filename or "",
                await file.read(documents.max_file_bytes(info.context.app) + 1),
                mapping=None if mapping is None else mapping.to_names(),
            )
        )

    @strawberry.mutation(
        description="Change a document. The version before is found, and shown, until the new one "
        "is READY. A document from a file of KB_DIR keeps the change until its file changes. For "
        "EDITOR and ADMIN."
    )
    @answers_problems
    async def update_document(
        self,
        info: Info,
        input: Annotated[UpdateDocumentInput, strawberry.argument(description="The changes.")],
    ) -> DocumentResult:
        return Document.from_row(
            await documents.update_document(
                info.context.app,
                row_id("Document", input.id),
                _properties(input),
                given(input.content),
            )
        )

    @strawberry.mutation(
        description="Delete a document: it is found no more from now on. Replies keep what they "
        "quoted. A file of KB_DIR stays where it is, and is not indexed again until it changes. "
        "For EDITOR and ADMIN."
    )
    @answers_problems
    async def delete_document(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="The document's id.")],
    ) -> DeleteResult:
        deleted = await documents.delete_document(info.context.app, row_id("Document", id))
        return Deleted(id=global_id("Document", deleted))

    @strawberry.mutation(
        description="Cut and embed every document again, and try again what has failed. Everything "
        "is found all the while, and versions do not change. For EDITOR and ADMIN."
    )
    async def reindex_knowledge(self, info: Info) -> IndexProgress:
        context = info.context.app
        return IndexProgress.from_progress(
            await documents.reindex(context), context.require_viewer()
        )

    @strawberry.mutation(
        description="Compare the full list of a source's documents with what is here: which to "
        "send, and which are gone from the source. Only documents with a key and this source count."
        " For EDITOR and ADMIN."
    )
    @answers_problems
    async def sync_manifest(
        self,
        info: Info,
        source: Annotated[
            str,
            strawberry.argument(
                description="The source's name, as its documents have it: 1 to 1,000 characters."
            ),
        ],
        entries: Annotated[
            list[ManifestEntry],
            strawberry.argument(description="All documents of the source, at most 10,000."),
        ],
        delete_missing: Annotated[
            bool | None,
            strawberry.argument(
                description="Delete what is missing. Ask without it first. Refused with an empty "
                "list."
            ),
        ] = False,
        collection_id: Annotated[
            strawberry.ID | None,
            strawberry.argument(
                description="Compare with the documents of this collection alone; a key that "
                "another collection has is refused. With all collections if not given."
            ),
        ] = UNSET,
    ) -> ManifestResult:
        found = await manifest.sync_manifest(
            info.context.app,
            source,
            [(entry.key, entry.hash) for entry in entries],
            collection_id=_collection_id(given(collection_id)),
            delete_missing=bool(delete_missing),
        )
        return ManifestDifference(wanted=found.wanted, missing=found.missing, deleted=found.deleted)


@strawberry.type
class DocumentSubscription:
    @strawberry.subscription(
        description="How far the indexing is: now, and whenever it has changed; several changes in "
        "a short time come as one. Needs a login."
    )
    async def index_progress(self, info: Info) -> AsyncGenerator[IndexProgress, None]:
        viewer = info.context.app.require_viewer()
        async with aclosing(progress.follow(info.context.app)) as steps:
            async for step in steps:
                yield IndexProgress.from_progress(step, viewer)
