/** Apollo Client for GroundQL: HTTP, WebSocket, the login's tokens, and the cache. */

import { ApolloClient, ApolloLink, HttpLink, InMemoryCache } from "@apollo/client";
import { CombinedGraphQLErrors } from "@apollo/client/errors";
import { SetContextLink } from "@apollo/client/link/context";
import { ErrorLink } from "@apollo/client/link/error";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { relayStylePagination } from "@apollo/client/utilities";
import { createClient } from "graphql-ws";
import { OperationTypeNode } from "graphql";
import WebSocket from "ws";
import { REFRESH, type Tokens } from "./operations.js";
import possibleTypes from "./possible-types.json" with { type: "json" };

// Browsers have a WebSocket, and so has Node from version 22 on; Apollo's link looks for it there.
globalThis.WebSocket ??= WebSocket as unknown as typeof globalThis.WebSocket;

export type ChatClient = {
  apollo: ApolloClient;
  login: Login;
  /** Cut the WebSocket without a farewell, as a lost network does. */
  cutConnection(): void;
  close(): void;
};

export function createChatClient(url: string): ChatClient {
  const login = new Login(async (refreshToken) => {
    const { data } = await apollo.mutate({
      mutation: REFRESH,
      variables: { refreshToken },
      context: { anonymous: true },
    });
    const result = data!.refreshTokens;
    return result.__typename === "AuthTokens" ? result : undefined;
  });

  const addToken = new SetContextLink(async ({ anonymous, headers }) => {
    const token = anonymous ? undefined : await login.token();
    return token ? { sentToken: token, headers: { ...headers, authorization: `Bearer ${token}` } } : {};
  });

  // An access token lives for 15 minutes. When the server no longer takes it, get another and send
  // the operation again, once. A refused operation has changed nothing, so that this is safe.
  const renewToken = new ErrorLink(({ error, operation, forward }) => {
    if (!isUnauthenticated(error) || !login.canRefresh || operation.getContext().anonymous) return;
    login.expire(operation.getContext().sentToken);
    // A socket keeps the token of its handshake: a new token needs a new socket.
    if (operation.operationType === OperationTypeNode.SUBSCRIPTION) socket.terminate();
    return forward(operation);
  });

  let pongIsLate: NodeJS.Timeout | undefined;
  let openSocket: WebSocket | undefined;
  const socket = createClient({
    url: url.replace(/^http/, "ws"),
    connectionParams: async () => {
      const token = await login.token();
      return token ? { authorization: token } : {};
    },
    // graphql-ws would subscribe again with the same variables, and the reply would begin anew.
    // followReply subscribes again with `after` instead.
    retryAttempts: 0,
    // A network that vanishes closes no socket; only a missing pong tells.
    keepAlive: 10_000,
    on: {
      connected: (opened) => (openSocket = opened as WebSocket),
      ping: (received) => {
        if (!received) pongIsLate = setTimeout(() => socket.terminate(), 5_000);
      },
      pong: (received) => {
        if (received) clearTimeout(pongIsLate);
      },
      closed: (event) => {
        clearTimeout(pongIsLate);
        // 4403: the server did not accept the token of the handshake.
        if ((event as CloseEvent).code === 4403) login.expire();
      },
    },
  });

  const apollo = new ApolloClient({
    link: ApolloLink.from([
      renewToken,
      ApolloLink.split(
        ({ operationType }) => operationType === OperationTypeNode.SUBSCRIPTION,
        new GraphQLWsLink(socket),
        addToken.concat(new HttpLink({ uri: url })),
      ),
    ]),
    cache: new InMemoryCache({
      // Which types stand behind `Problem`, `ReplyEvent` and the unions: `npm run possible-types`.
      possibleTypes,
      typePolicies: {
        // Pages of one list join into one list. Each filter is a list of its own.
        Query: { fields: { sessions: relayStylePagination(["archived"]) } },
        ChatSession: { fields: { messages: relayStylePagination() } },
      },
    }),
  });

  return {
    apollo,
    login,
    cutConnection: () => {
      if (openSocket) openSocket.onmessage = null; // what is under way is lost, too
      openSocket?.terminate();
    },
    close: () => {
      void socket.dispose();
      apollo.stop();
    },
  };
}

/** The tokens of one login. A browser keeps the refresh token where scripts of others cannot read it. */
export class Login {
  #access: string | undefined;
  #refresh: string | undefined;
  #running: Promise<string> | undefined;
  readonly #exchange: (refreshToken: string) => Promise<Tokens | undefined>;

  /** `exchange` gives undefined if the refresh token is no longer taken, and throws otherwise. */
  constructor(exchange: (refreshToken: string) => Promise<Tokens | undefined>) {
    this.#exchange = exchange;
  }

  begin({ accessToken, refreshToken }: Tokens): void {
    this.#access = accessToken;
    this.#refresh = refreshToken;
  }

  get canRefresh(): boolean {
    return this.#refresh !== undefined;
  }

  /** The access token, renewed if need be; undefined before the login. */
  async token(): Promise<string | undefined> {
    if (this.#access !== undefined || this.#refresh === undefined) return this.#access;
    // A refresh token works once, and its second use ends the login: all callers share one exchange.
    this.#running ??= this.#renew(this.#refresh).finally(() => (this.#running = undefined));
    return this.#running;
  }

  /** Forget the access token; one that is no longer the current one was renewed already. */
  expire(token = this.#access): void {
    if (token === this.#access) this.#access = undefined;
  }

  /** Make the server refuse the access token, as it does when its time is over. */
  spoil(): void {
    this.#access = "expired";
  }

  async #renew(refreshToken: string): Promise<string> {
    const tokens = await this.#exchange(refreshToken);
    if (tokens === undefined) {
      // The server refused it for good. What follows is anonymous, and told to log in.
      this.#refresh = undefined;
      throw new Error("The login has ended.");
    }
    this.begin(tokens);
    return tokens.accessToken;
  }
}

export function isUnauthenticated(error: unknown): boolean {
  return (
    CombinedGraphQLErrors.is(error) &&
    error.errors.some(({ extensions }) => extensions?.["code"] === "UNAUTHENTICATED")
  );
}
