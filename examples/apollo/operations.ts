/** The GraphQL documents of the example, each with the types of its result and variables. */

import { gql, type TypedDocumentNode } from "@apollo/client";

/** Members of a result union that the user should be told about. */
export type Problem<Name extends string> = { __typename: Name; message: string };

// ---- accounts ----

export type Tokens = { accessToken: string; refreshToken: string };

export const REGISTER: TypedDocumentNode<
  {
    register:
      | { __typename: "Registration"; verificationRequired: boolean }
      | Problem<"InvalidInput" | "RateLimited">;
  },
  { email: string; password: string }
> = gql`
  mutation Register($email: String!, $password: String!) {
    register(input: { email: $email, password: $password }) {
      ... on Registration {
        verificationRequired
      }
      ... on Problem {
        message
      }
    }
  }
`;

export const LOGIN: TypedDocumentNode<
  {
    login:
      | ({ __typename: "AuthTokens" } & Tokens)
      | Problem<"InvalidCredentials" | "EmailNotVerified" | "RateLimited">;
  },
  { email: string; password: string }
> = gql`
  mutation Login($email: String!, $password: String!) {
    login(input: { email: $email, password: $password }) {
      ... on AuthTokens {
        accessToken
        refreshToken
      }
      ... on Problem {
        message
      }
    }
  }
`;

export const REFRESH: TypedDocumentNode<
  { refreshTokens: ({ __typename: "AuthTokens" } & Tokens) | Problem<"InvalidToken"> },
  { refreshToken: string }
> = gql`
  mutation Refresh($refreshToken: String!) {
    refreshTokens(refreshToken: $refreshToken) {
      ... on AuthTokens {
        accessToken
        refreshToken
      }
      ... on Problem {
        message
      }
    }
  }
`;

// ---- chat ----

export type Citation = { number: number; title: string; quote: string };

export type Message = {
  __typename: "ChatMessage";
  id: string;
  role: "USER" | "ASSISTANT";
  status: "PENDING" | "STREAMING" | "COMPLETE" | "STOPPED" | "INTERRUPTED" | "FAILED";
  content: string;
  grounded: boolean | null;
  failure: string | null;
  citations: Citation[];
};

export const MESSAGE: TypedDocumentNode<Message> = gql`
  fragment MessageParts on ChatMessage {
    id
    role
    status
    content
    grounded
    failure
    citations {
      number
      title
      quote
    }
  }
`;

export type SendResult =
  | { __typename: "SendMessagePayload"; session: { id: string }; reply: { id: string } }
  | Problem<"InvalidInput" | "NotFound">
  | (Problem<"RateLimited"> & { retryAfterSeconds: number });

export const SEND: TypedDocumentNode<
  { sendMessage: SendResult },
  { input: { content: string; clientKey: string; sessionId?: string } }
> = gql`
  mutation Send($input: SendMessageInput!) {
    sendMessage(input: $input) {
      ... on SendMessagePayload {
        session {
          id
        }
        reply {
          id
        }
      }
      ... on Problem {
        message
      }
      ... on RateLimited {
        retryAfterSeconds
      }
    }
  }
`;

export type ReplyEvent = { seq: number } & (
  | { __typename: "ReplyStarted" }
  | { __typename: "SourcesFound"; hits: { document: { id: string; title: string } }[] }
  | { __typename: "TextDelta"; text: string }
  | { __typename: "ReplyEnded"; reply: Message }
);

export const REPLY: TypedDocumentNode<{ reply: ReplyEvent }, { id: string; after: number }> = gql`
  subscription Reply($id: ID!, $after: Int!) {
    reply(id: $id, after: $after) {
      seq
      ... on SourcesFound {
        hits {
          document {
            id
            title
          }
        }
      }
      ... on TextDelta {
        text
      }
      ... on ReplyEnded {
        reply {
          ...MessageParts
        }
      }
    }
  }
  ${MESSAGE}
`;

// ---- history ----

export type Connection<Node> = {
  edges: { cursor: string; node: Node }[];
  pageInfo: {
    hasNextPage: boolean;
    hasPreviousPage: boolean;
    startCursor: string | null;
    endCursor: string | null;
  };
};

/** `first` and `after` lead forward, `last` and `before` lead backward. */
export type PageVariables = { first?: number; after?: string; last?: number; before?: string };

export type Session = { __typename: "ChatSession"; id: string; title: string; updatedAt: string };

export const SESSIONS: TypedDocumentNode<{ sessions: Connection<Session> }, PageVariables> = gql`
  query Sessions($first: Int, $after: String, $last: Int, $before: String) {
    sessions(first: $first, after: $after, last: $last, before: $before) {
      edges {
        cursor
        node {
          id
          title
          updatedAt
        }
      }
      pageInfo {
        hasNextPage
        hasPreviousPage
        startCursor
        endCursor
      }
    }
  }
`;

export const MESSAGES: TypedDocumentNode<
  { session: { id: string; messages: Connection<Message> } | null },
  PageVariables & { id: string }
> = gql`
  query Messages($id: ID!, $first: Int, $after: String, $last: Int, $before: String) {
    session(id: $id) {
      id
      messages(first: $first, after: $after, last: $last, before: $before) {
        edges {
          cursor
          node {
            ...MessageParts
          }
        }
        pageInfo {
          hasNextPage
          hasPreviousPage
          startCursor
          endCursor
        }
      }
    }
  }
  ${MESSAGE}
`;
