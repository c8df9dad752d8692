// Puts the addons that were built beside the compiled modules that load them; none is needed in mock mode.
import { cpSync, existsSync } from "node:fs";

const from = new URL("prebuilds/", import.meta.url);
if (existsSync(from)) cpSync(from, new URL("../dist/native/prebuilds/", import.meta.url), { recursive: true });
