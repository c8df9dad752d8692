/**
 * A service as AWS's model describes it: operations and the shapes of what they take and give.
 *
 * The tables are `model.json` beside each service, trimmed from botocore's models by `generate.mjs`.
 *
 * Source: botocore service-2.json format; Smithy 2.0, "Constraint traits".
 *
 * @module
 */
import { readFileSync } from "node:fs";

interface Range {
  readonly min?: number;
  readonly max?: number;
  /** Not quoted in messages. */
  readonly sensitive?: boolean;
}
export type Shape = Range &
  (
    | { readonly type: "string"; readonly pattern?: string; readonly enum?: readonly string[] }
    | { readonly type: "blob" | "boolean" | "integer" | "long" | "float" | "double" | "timestamp" }
    | { readonly type: "list"; readonly member: string }
    | { readonly type: "map"; readonly key: string; readonly value: string }
    | {
        readonly type: "structure";
        readonly required?: readonly string[];
        readonly members: Readonly<Record<string, string>>;
      }
  );

export interface OperationModel {
  readonly input?: string;
  readonly output?: string;
  /** Query protocol: the element around the output. */
  readonly resultWrapper?: string;
  /** Names of the modelled errors. */
  readonly errors: readonly string[];
}

export interface ServiceModel {
  readonly apiVersion: string;
  readonly protocol: "json" | "query";
  readonly targetPrefix?: string;
  readonly xmlNamespace?: string;
  readonly endpointPrefix: string;
  readonly operations: Readonly<Record<string, OperationModel>>;
  readonly shapes: Readonly<Record<string, Shape>>;
}

/** Reads the table in `model.json` beside a service; `url` is `import.meta.url` of the service's module. */
export function readServiceModel(url: string): ServiceModel {
  return JSON.parse(readFileSync(new URL("model.json", url), "utf8")) as ServiceModel;
}

export function shapeOf({ shapes }: ServiceModel, name: string): Shape {
  const shape = shapes[name];
  if (!shape) throw new TypeError(`no shape ${name}`);
  return shape;
}
