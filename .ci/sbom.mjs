// What the binary is made of, as a CycloneDX 1.5 list: the crates that are linked into it and the packages in its page.
//
//   cargo metadata … | node .ci/sbom.mjs Cargo.lock static/package-lock.json
//
// Without a time and a number of its own, so that the same sources give the same list.

import { readFileSync } from "node:fs";

const [lockFile, packageLock] = process.argv.slice(2);
const { packages, resolve, workspace_members: members } = JSON.parse(readFileSync(0, "utf8"));

/** Checksums of the registry, by `name version`. */
const checksums = new Map(
  readFileSync(lockFile, "utf8")
    .split("[[package]]")
    .map((entry) => Object.fromEntries([...entry.matchAll(/^(name|version|checksum) = "(.*)"$/gm)].map(([, key, value]) => [key, value])))
    .filter(({ checksum }) => checksum !== undefined)
    .map(({ name, version, checksum }) => [`${name} ${version}`, checksum]),
);

const byId = new Map(packages.map((one) => [one.id, one]));
const root = packages.find(({ id, name }) => members.includes(id) && name === "shellcraft");
const nodes = new Map(resolve.nodes.map((node) => [node.id, node]));

/** What is linked: not what only tests and build scripts need, and no macros, which run in the compiler. */
const linked = new Set();
const queue = [root.id];
for (let id = queue.pop(); id !== undefined; id = queue.pop()) {
  const isMacro = byId.get(id).targets.some(({ kind }) => kind.includes("proc-macro"));
  if (linked.has(id) || isMacro) continue;
  linked.add(id);
  const normal = nodes.get(id).deps.filter(({ dep_kinds: kinds }) => kinds.some(({ kind }) => kind === null));
  queue.push(...normal.map(({ pkg }) => pkg));
}

const licences = (text) => (text ? { licenses: [{ expression: text.replaceAll("/", " OR ") }] } : {});

const crates = [...linked]
  .filter((id) => id !== root.id)
  .map((id) => {
    const { name, version, license, source } = byId.get(id);
    const checksum = checksums.get(`${name} ${version}`);
    const purl = source === null ? {} : { purl: `pkg:cargo/${name}@${version}` };
    const hashes = checksum === undefined ? {} : { hashes: [{ alg: "SHA-256", content: checksum }] };
    return { type: "library", "bom-ref": `cargo:${name}@${version}`, name, version, ...hashes, ...licences(license), ...purl };
  });

const page = Object.entries(JSON.parse(readFileSync(packageLock, "utf8")).packages)
  .filter(([path, { dev }]) => path !== "" && !dev)
  .map(([path, { version, license, integrity = "" }]) => {
    const name = path.replace(/^.*node_modules\//, "");
    const [, content] = /^sha512-(.*)$/.exec(integrity) ?? [];
    const hashes =
      content === undefined ? {} : { hashes: [{ alg: "SHA-512", content: Buffer.from(content, "base64").toString("hex") }] };
    const purl = `pkg:npm/${name.replace("@", "%40")}@${version}`;
    return { type: "library", "bom-ref": `npm:${name}@${version}`, name, version, ...hashes, ...licences(license), purl };
  });

const components = [...crates, ...page].sort((a, b) => (a["bom-ref"] < b["bom-ref"] ? -1 : 1));
const { name, version, license } = root;
const component = { type: "application", "bom-ref": "shellcraft", name, version, ...licences(license) };
const bom = { bomFormat: "CycloneDX", specVersion: "1.5", version: 1, metadata: { component }, components };
process.stdout.write(`${JSON.stringify(bom, null, 1)}\n`);
