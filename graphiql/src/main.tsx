import { explorerPlugin } from '@graphiql/plugin-explorer';
import { GraphiQL } from 'graphiql';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { Account } from './account';
import { AccountBar } from './AccountBar';
import { createFetcher } from './fetcher';
import { preparedTabs } from './tabs';
import 'graphiql/style.css';
import '@graphiql/plugin-explorer/style.css';
import './page.css';

const meta = document.querySelector<HTMLMetaElement>('meta[name="graphql-endpoint"]');
const endpoint = new URL(meta?.content || '../graphql', document.baseURI);

const account = new Account();
const fetcher = createFetcher(endpoint, account);
const plugins = [explorerPlugin()];

/** Ends the session on the server too. Its answer does not matter: here it has ended at once. */
function signOut() {
  void fetcher({ query: 'mutation Logout { logout { ok } }', operationName: 'Logout' });
  account.signOut();
}

// GraphiQL gives each prepared tab its variables, except the one that it opens first.
if (sessionStorage.getItem('graphiql:tabState') === null) {
  sessionStorage.setItem('graphiql:variables', preparedTabs[0]?.variables ?? '');
}

// Variables hold passwords, and headers and history hold tokens: GraphiQL may keep them until this
// browser tab closes, not longer. Hence sessionStorage in place of its default, localStorage.
createRoot(document.getElementById('root')!).render(
  <StrictMode>
    <AccountBar account={account} onSignOut={signOut} />
    <GraphiQL
      fetcher={fetcher}
      storage={sessionStorage}
      shouldPersistHeaders
      defaultTabs={preparedTabs}
      defaultEditorToolsVisibility="variables"
      plugins={plugins}
    />
  </StrictMode>,
);
