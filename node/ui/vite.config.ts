import { fileURLToPath } from 'node:url';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  plugins: [svelte()],
  build: {
    // The build of the node chooses the folder; `--outDir` on the command line wins over both.
    outDir: process.env.ARCHIPEL_UI_OUT ?? 'dist',
    emptyOutDir: true,
    // Nothing becomes a data: address, because the pages allow their own origin only.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: 'es2022',
    rolldownOptions: { input: { index: here('index.html'), stage: here('stage.html') } },
  },
  server: {
    proxy: {
      '/api': { target: process.env.ARCHIPEL_NODE ?? 'http://127.0.0.1:8101', ws: true },
      '/stage/': process.env.ARCHIPEL_STAGE ?? 'http://127.0.0.1:8100',
    },
  },
  test: { include: ['tests/**/*.test.ts'], environment: 'node' },
});
