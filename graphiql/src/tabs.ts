/** The prepared tabs, in the order of their file names: each a document and its variables. */
const documents = import.meta.glob<string>('./tabs/*.graphql', {
  query: '?raw',
  import: 'default',
  eager: true,
});
const variables = import.meta.glob<string>('./tabs/*.json', { query: '?raw', import: 'default', eager: true });

export const preparedTabs = Object.keys(documents)
  .sort()
  .map((path) => ({
    query: documents[path] ?? '',
    variables: variables[path.replace(/\.graphql$/, '.json')]?.trimEnd() ?? '',
  }));
