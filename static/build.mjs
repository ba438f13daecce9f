// Builds the page: the entry points in src/page (scripts and style.css) into dist/, flat, plain names.
//
//   node build.mjs           dist/, what the server embeds and serves under /assets/
//   node build.mjs --tests   build/test/, the unit tests as plain modules for `node --test`
//
// xterm.js writes its colours into <style> elements and one style attribute, which our Content Security
// Policy (no 'unsafe-inline') blocks. `strictStyles` swaps those few calls for src/page/csp-styles.ts
// while bundling, and fails the build when a new version of xterm.js does it elsewhere.

import { build } from "esbuild";
import { copyFile, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const here = dirname(fileURLToPath(import.meta.url));
const shim = join(here, "src", "page", "csp-styles.ts");

/** What is swapped in xterm.js 6.0.0, and how often it must be found there. */
const SWAPS = [
  { name: "style elements", find: /[\w.]+\.createElement\("style"\)/g, put: "createSheetElement()", times: 3 },
  { name: "style attributes", find: /(\w+)\.setAttribute\("style",`[^`]*`\)/g, put: "addStyle($1,e)", times: 1 },
];

const strictStyles = {
  name: "strict-styles",
  setup(bundle) {
    bundle.onLoad({ filter: /@xterm[\\/]xterm[\\/]lib[\\/]xterm\.mjs$/ }, async ({ path }) => {
      let source = await readFile(path, "utf8");
      for (const { name, find, put, times } of SWAPS) {
        const found = source.match(find)?.length ?? 0;
        if (found !== times) {
          throw new Error(`xterm.js has ${found} ${name}, expected ${times}: look at them and change SWAPS in build.mjs`);
        }
        source = source.replace(find, put);
      }
      // The attribute's new text was the second parameter, `e`; the swap relies on that name.
      if (!/_addStyle\((\w+),e\)\{addStyle\(\1,e\)\}/.test(source)) {
        throw new Error("xterm.js's _addStyle has changed: look at SWAPS in build.mjs");
      }
      return { contents: `import { addStyle, createSheetElement } from ${JSON.stringify(shim)};\n${source}`, loader: "js" };
    });
  },
};

const common = {
  absWorkingDir: here,
  bundle: true,
  format: "esm",
  target: ["es2022"],
  plugins: [strictStyles],
  logLevel: "warning",
};

const page = {
  ...common,
  outdir: "dist",
  minify: true,
  // By our rule and xterm.js's these are private, so nobody asks for them by name: an eighth of the script.
  mangleProps: /^_[a-z]/,
  legalComments: "none",
  metafile: true,
};

async function buildPage() {
  await rm(join(here, "dist"), { recursive: true, force: true });
  const pages = await build({
    ...page,
    entryPoints: {
      landing: "src/page/landing.ts",
      early: "src/page/early-page.ts",
      terminal: "src/page/terminal-page.ts",
      admin: "src/page/admin.ts",
      style: "src/page/style.css",
    },
    mangleCache: {},
  });
  // What the terminal loads later knows its private names, so they are the same ones here.
  const parts = await build({ ...page, entryPoints: { search: "src/page/search.ts", webgl: "src/page/webgl.ts" }, mangleCache: pages.mangleCache });
  for (const [file, { bytes }] of [pages, parts].flatMap(({ metafile }) => Object.entries(metafile.outputs))) {
    console.log(`${file} ${Math.ceil(bytes / 1024)} KiB`);
  }
  await copyFile(join(here, "src", "page", "favicon.svg"), join(here, "dist", "favicon.svg"));
  await compress(join(here, "dist"));
}

/**
 * Puts X.gz in the place of each file X that is worth it; below 1 KiB the answer's head weighs as much. The server unpacks
 * it for the few who can't.
 */
async function compress(folder) {
  for (const name of await readdir(folder)) {
    const bytes = await readFile(join(folder, name));
    if (bytes.length <= 1024) continue;
    await writeFile(join(folder, `${name}.gz`), gzipSync(bytes, { level: 9 }));
    await rm(join(folder, name));
  }
}

async function buildTests() {
  const out = join(here, "build", "test");
  await rm(out, { recursive: true, force: true });
  await mkdir(out, { recursive: true });
  const names = (await readdir(join(here, "test"))).filter((name) => name.endsWith(".test.ts"));
  await build({
    ...common,
    entryPoints: [
      ...names.map((name) => ({ in: join("test", name), out: name.replace(/\.ts$/, "") })),
      // For the terminal of tests/emulator, which is to do what the page's does.
      { in: "src/page/emulation.ts", out: "emulation" },
    ],
    outdir: "build/test",
    outExtension: { ".js": ".mjs" },
    platform: "node",
    packages: "external",
    sourcemap: "inline",
  });
}

try {
  await (process.argv.includes("--tests") ? buildTests() : buildPage());
} catch (error) {
  console.error(String(error?.message ?? error));
  process.exit(1);
}
