// Puts the service models beside the compiled modules that read them.
import { cpSync, existsSync, readdirSync } from "node:fs";

const services = new URL("../", import.meta.url);
for (const name of readdirSync(services)) {
  const model = new URL(`${name}/model.json`, services);
  if (existsSync(model)) cpSync(model, new URL(`../../../dist/mock/aws/${name}/model.json`, import.meta.url));
}
