import { readFileSync } from 'node:fs';
import { defineConfig, type Plugin } from 'vite';

/** GraphiQL's stylesheet embeds two font families (300 kB). The page uses the system's fonts instead. */
const withoutFonts: Plugin = {
  name: 'without-fonts',
  enforce: 'pre',
  transform: {
    filter: { id: /\.css$/ },
    handler: (css) => ({ code: css.replace(/@font-face\s*\{[^}]*\}/g, ''), map: null }),
  },
};

/** Packages that say "MIT" and ship no licence text, with the copyright line of their repository or author. */
const COPYRIGHT: Record<string, string> = {
  '@graphiql/plugin-doc-explorer': 'Copyright (c) 2021 GraphQL Contributors',
  '@graphiql/plugin-explorer': 'Copyright (c) 2021 GraphQL Contributors',
  '@graphiql/plugin-history': 'Copyright (c) 2021 GraphQL Contributors',
  'react-compiler-runtime': 'Copyright (c) Meta Platforms, Inc. and affiliates.',
  'react-remove-scroll-bar': 'Copyright (c) 2025 Anton Korzunov <thekashey@gmail.com>',
  'toggle-selection': 'Copyright (c) sudodoki <smd.deluzion@gmail.com>',
};

/** Turns Vite's list of the bundled packages into LICENSES.txt, in which no licence may be missing. */
const licences: Plugin = {
  name: 'licences',
  generateBundle: {
    order: 'post',
    handler(_options, bundle) {
      const list = bundle['licenses.json'];
      if (list?.type !== 'asset') return this.error('Vite did not list the bundled packages.');
      delete bundle['licenses.json'];

      const mit = readFileSync('node_modules/graphiql/LICENSE', 'utf8');
      const packages: { name: string; version: string; identifier: string; text?: string }[] = JSON.parse(
        String(list.source),
      );
      const sections = packages.map(({ name, version, identifier, text }) => {
        const copyright = COPYRIGHT[name];
        if (!text && copyright && identifier === 'MIT') text = mit.replace(/^Copyright.*$/m, copyright);
        if (!text) this.error(`${name} has no licence text: add its copyright line to vite.config.ts.`);
        return `${name} ${version} (${identifier})\n\n${text.trim()}\n`;
      });
      const head = 'The files in this folder contain code of these packages, each under its own licence.\n';
      this.emitFile({
        type: 'asset',
        fileName: 'LICENSES.txt',
        source: [head, ...sections].join(`\n${'-'.repeat(80)}\n\n`),
      });
    },
  },
};

export default defineConfig({
  base: './', // the page works under every path prefix
  plugins: [withoutFonts, licences],
  build: {
    license: { fileName: 'licenses.json' },
    sourcemap: false,
    chunkSizeWarningLimit: 1500,
    rolldownOptions: {
      onwarn(warning, log) {
        if (warning.code !== 'MODULE_LEVEL_DIRECTIVE') log(warning); // "use client" means nothing here
      },
    },
  },
});
