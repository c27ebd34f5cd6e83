import { paraglideVitePlugin } from '@inlang/paraglide-js';
import { sveltekit } from '@sveltejs/kit/vite';
import { defineConfig } from 'vitest/config';

const words = () =>
  paraglideVitePlugin({
    project: './project.inlang',
    outdir: './src/lib/paraglide',
    strategy: ['localStorage', 'cookie', 'baseLocale'],
  });

/**
 * Each message is a module without effects: said here, so that a screen's words travel with the
 * screen, and not all of them with the first view.
 */
const apart = () => ({
  name: 'messages-apart',
  transform: (code: string, id: string) =>
    id.includes('/paraglide/messages') ? { code, map: null, moduleSideEffects: false } : null,
});

export default defineConfig({
  // Unit tests use the words that `npm run words` compiled: the plugin's watcher outlives them.
  plugins: [process.env.VITEST ? [] : [words(), apart()], sveltekit()],
  // The oldest engines that classroom panels run (DESIGN §11).
  build: { target: ['chrome86', 'firefox78', 'safari14'] },
  server: {
    host: '127.0.0.1',
    proxy: {
      '/api': process.env.YINGXUE_HUB ?? 'http://127.0.0.1:8080',
      '/media': process.env.YINGXUE_HUB ?? 'http://127.0.0.1:8080',
    },
  },
  test: { include: ['src/**/*.test.ts'], environment: 'node' },
});
