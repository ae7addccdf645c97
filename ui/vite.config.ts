import { defineConfig } from 'vite';

// Three pages of one bundle: the controller serves operator.html, the gateway tenant.html and, at its console,
// console.html; all serve /ui/FILE.
// For `npx vite`: QANAT_TARGET=http://127.0.0.1:7480 names the controller or gateway that answers the pages.
const target = process.env.QANAT_TARGET;

export default defineConfig({
  base: '/ui/',
  server: { host: '127.0.0.1', proxy: target ? { '/v1': target, '/qanat': target } : {} },
  build: {
    target: 'es2022',
    assetsDir: '',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rollupOptions: { input: ['operator.html', 'tenant.html', 'console.html'] },
  },
});
