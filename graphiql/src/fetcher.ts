import type { Fetcher, FetcherParams, Observable } from '@graphiql/toolkit';
import { getOperationAST, GraphQLError, parse, type ExecutionResult, type OperationDefinitionNode } from 'graphql';
import { createClient } from 'graphql-ws';
import { isRecord, type Account } from './account';

/** How GraphiQL subscribes; its type allows other forms, too. */
type Sink = { next(result: ExecutionResult): void; complete(): void };

/**
 * Queries and mutations go by POST, subscriptions by WebSocket, both to `endpoint`.
 *
 * Both carry the token of the signed-in account, unless the header editor sets Authorization itself.
 * Whatever goes wrong becomes `{ errors: [{ message }] }`, so that it shows in the result pane.
 */
export function createFetcher(endpoint: URL, account: Account): Fetcher {
  return (given, options) => {
    const headers = new Headers(options?.headers);
    let token: string | undefined;
    if (!headers.has('authorization')) {
      token = account.state().session?.accessToken;
      if (token) headers.set('authorization', `Bearer ${token}`);
    }
    const operation = findOperation(given);
    const params = operation ? { ...given, operationName: operation.name?.value } : given;
    if (operation?.operation === 'subscription') {
      return subscribe(endpoint, params, headers.get('authorization'));
    }
    return execute(endpoint, params, headers, { account, token, isQuery: operation?.operation === 'query' });
  };
}

async function execute(
  endpoint: URL,
  params: FetcherParams,
  headers: Headers,
  { account, token, isQuery }: { account: Account; token?: string; isQuery: boolean },
): Promise<ExecutionResult> {
  let result = await post(endpoint, params, headers);
  if (token && isUnauthenticated(result)) {
    account.drop(token);
    // A stale token must not take the documentation away. Only a query is safe to send twice.
    if (isQuery) {
      headers.delete('authorization');
      result = await post(endpoint, params, headers);
    }
  }
  account.learnFrom(isRecord(result) ? result.data : null, token);
  return result as ExecutionResult;
}

async function post(endpoint: URL, params: FetcherParams, headers: Headers): Promise<unknown> {
  headers.set('content-type', 'application/json');
  if (!headers.has('accept')) headers.set('accept', 'application/graphql-response+json, application/json');
  let response: Response;
  let body: string;
  try {
    response = await fetch(endpoint, { method: 'POST', headers, body: JSON.stringify(params) });
    body = await response.text();
  } catch (reason) {
    return failure(`No answer from ${endpoint.href} (${reason instanceof Error ? reason.message : reason})`);
  }
  try {
    return JSON.parse(body);
  } catch {
    return failure(`${endpoint.href} answered ${response.status} without JSON: ${body.slice(0, 500)}`);
  }
}

/**
 * One connection per subscription: the token is part of the handshake, so a changed one needs a new
 * connection anyway. Nothing is retried: to subscribe to `chat` again would send the message again.
 */
function subscribe(
  endpoint: URL,
  params: FetcherParams,
  authorization: string | null,
): Observable<ExecutionResult> {
  const url = new URL(endpoint);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  return {
    subscribe(observer) {
      const { next, complete } = observer as Sink;
      const client = createClient({
        url: url.href,
        connectionParams: authorization === null ? {} : { authorization },
        retryAttempts: 0,
      });
      let stopped = false;
      const stop = client.subscribe(
        { ...params, operationName: params.operationName ?? undefined },
        {
          next: (result) => next(result as ExecutionResult),
          complete: () => complete(),
          error: (reason) => {
            if (!stopped) next(subscriptionFailure(reason));
            complete();
          },
        },
      );
      return {
        unsubscribe() {
          stopped = true;
          stop();
          void client.dispose();
        },
      };
    },
  };
}

/** graphql-ws reports a list of GraphQL errors, a CloseEvent, or an Event or Error of the socket. */
function subscriptionFailure(reason: unknown): ExecutionResult {
  if (Array.isArray(reason)) return { errors: reason as GraphQLError[] };
  if (reason instanceof CloseEvent) {
    return failure(`The server closed the subscription: ${`${reason.code} ${reason.reason}`.trim()}`);
  }
  return failure(reason instanceof Error ? reason.message : 'The subscription could not connect.');
}

function failure(message: string): ExecutionResult {
  return { errors: [new GraphQLError(message)] };
}

function isUnauthenticated(result: unknown): boolean {
  if (!isRecord(result) || !Array.isArray(result.errors)) return false;
  return result.errors.some(
    (error) => isRecord(error) && isRecord(error.extensions) && error.extensions.code === 'UNAUTHENTICATED',
  );
}

/** The operation to run, or undefined if the document has a mistake: then the server explains it. */
function findOperation({ query, operationName }: FetcherParams): OperationDefinitionNode | undefined {
  try {
    const document = parse(query);
    // Just after a change of tabs, GraphiQL still gives the name of the operation in the tab before.
    return getOperationAST(document, operationName) ?? getOperationAST(document) ?? undefined;
  } catch {
    return undefined;
  }
}
