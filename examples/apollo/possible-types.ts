/** Writes possible-types.json, which tells Apollo's cache the members of interfaces and unions. */

import { writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";

const { url } = parseArgs({
  options: { url: { type: "string", default: "http://localhost:8000/graphql" } },
}).values;
const query = "{ __schema { types { name possibleTypes { name } } } }";

const response = await fetch(url, {
  method: "POST",
  headers: { "content-type": "application/json", accept: "application/json" },
  body: JSON.stringify({ query }),
});
const { data } = (await response.json()) as {
  data: { __schema: { types: { name: string; possibleTypes: { name: string }[] | null }[] } };
};
const possibleTypes = Object.fromEntries(
  data.__schema.types
    .filter(({ possibleTypes }) => possibleTypes)
    .map(({ name, possibleTypes }) => [name, possibleTypes!.map((type) => type.name).sort()] as const)
    .sort(([one], [other]) => one.localeCompare(other)),
);
await writeFile(
  new URL("possible-types.json", import.meta.url),
  `${JSON.stringify(possibleTypes, null, 2)}\n`,
);
