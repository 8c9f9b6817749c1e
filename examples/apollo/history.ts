/** Pages through Relay connections. The cache joins the pages: see the type policies in client.ts. */

import type { ApolloClient, TypedDocumentNode } from "@apollo/client";
import { filter, firstValueFrom } from "rxjs";
import type { Connection, PageVariables } from "./operations.js";

export type Direction = "forward" | "backward";

/** Load a whole list page by page, and return its nodes as the cache has joined them. */
export async function loadAll<Data, Variables extends PageVariables, Node>(
  apollo: ApolloClient,
  query: TypedDocumentNode<Data, Variables>,
  variables: Omit<Variables, keyof PageVariables>,
  select: (data: Data) => Connection<Node>,
  { direction, size, onPage }: { direction: Direction; size: number; onPage?: (page: Node[]) => void },
): Promise<Node[]> {
  const page = (cursor?: string) =>
    ({
      ...variables,
      ...(direction === "forward"
        ? { first: size, ...(cursor && { after: cursor }) }
        : { last: size, ...(cursor && { before: cursor }) }),
    }) as Variables;

  const list = apollo.watchQuery({ query, variables: page(), fetchPolicy: "network-only" });
  const watching = list.subscribe({});
  try {
    const first = await firstValueFrom(list.pipe(filter(({ loading }) => !loading)));
    if (first.error) throw first.error;
    let { edges, pageInfo } = select(first.data as Data);
    for (;;) {
      onPage?.(edges.map((edge) => edge.node));
      const more = direction === "forward" ? pageInfo.hasNextPage : pageInfo.hasPreviousPage;
      const cursor = direction === "forward" ? pageInfo.endCursor : pageInfo.startCursor;
      if (!more || !cursor) break;
      const next = await list.fetchMore({ variables: page(cursor) });
      ({ edges, pageInfo } = select(next.data as Data));
    }
    const joined = select(apollo.readQuery({ query, variables: page() }) as Data);
    return joined.edges.map((edge) => edge.node);
  } finally {
    watching.unsubscribe();
  }
}
