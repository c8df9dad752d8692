/**
 * What stands around the code of a new project: the package, the parent, what git leaves out, and a page.
 *
 * Versions are exact: what is bundled is measured, so another version is another image.
 *
 * @module
 */

/** What a project takes of this toolkit. */
export interface Toolkit {
  /** For `dependencies`: a version, or where the toolkit lies on this machine. */
  readonly specifier: string;
  /** Of the tools that projects use as well. */
  readonly versions: Readonly<Record<string, string>>;
}

const TOOLS = ["@types/node", "esbuild", "typescript", "vitest"];

/** CommonJS that was bundled asks for `require`. */
const BANNER = "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);";
const BUNDLE =
  "esbuild app.ts --bundle --platform=node --format=esm --target=node20 --log-level=warning --legal-comments=none";

export function packageJson(name: string, { specifier, versions }: Toolkit): string {
  const manifest = {
    name,
    version: "0.0.0",
    private: true,
    type: "module",
    engines: { node: ">=20.19" },
    scripts: {
      build: `${BUNDLE} --banner:js="${BANNER}" --outfile=dist/app.mjs`,
      start: "npm run build && cloister parent up --config parent.yaml --build dist",
      test: "npm run build && tsc && vitest run",
    },
    dependencies: { cloister: specifier },
    devDependencies: Object.fromEntries(TOOLS.map((tool) => [tool, versionOf(tool, versions)])),
  };
  return `${JSON.stringify(manifest, null, 2)}\n`;
}

function versionOf(tool: string, versions: Toolkit["versions"]): string {
  const version = versions[tool];
  if (version === undefined) throw new TypeError(`the toolkit names the version of ${tool}`);
  return version;
}

export const TSCONFIG_JSON: string = `${JSON.stringify(
  {
    compilerOptions: {
      target: "ES2023",
      lib: ["ES2023", "ESNext.Disposable"],
      module: "NodeNext",
      types: ["node"],
      strict: true,
      noUncheckedIndexedAccess: true,
      exactOptionalPropertyTypes: true,
      verbatimModuleSyntax: true,
      skipLibCheck: true,
      noEmit: true,
    },
    include: ["*.ts"],
  },
  null,
  2,
)}\n`;

export function parentYaml(name: string): string {
  return `enclave:
  platform: mock # emulated boots the same code in QEMU
  image: ${name}.eif
  mockRoot: mock-root.json # signs its documents; made by the first build, a secret
egress:
  allowlist:
    - kms.eu-central-1.amazonaws.com:443
ingress:
  listen: tcp://127.0.0.1:8443
logs:
  to: stdout
`;
}

export const GITIGNORE = `node_modules/
dist/
*.eif
*.eif.*
mock-root.json
`;

export function readme(name: string): string {
  return `# ${name}

    npm install
    npm test       # builds the image, runs it, asks it; another image is refused
    npm start      # the same, until Ctrl-C

- \`app.ts\` is the enclave's code, bundled into \`dist/app.mjs\` with all it imports: that is what the image measures.
- \`parent.yaml\` is what runs beside it: the way out (\`egress\`), the way in (\`ingress\`), the log.
- \`${name}.eif.policy.json\` comes with each build: what a client demands of this very image, for \`attestedFetch\`.

In mock mode the enclave is a process of this machine and protects nothing. \`platform: emulated\` boots it in QEMU.
`;
}
