/**
 * A row of the table: what is shown, and what came out.
 *
 * @module
 */
import type { Contestant, Program } from "./contestants.ts";

export interface Scale {
  readonly idle: number;
  readonly active: number;
  readonly holdSeconds: number;
  readonly churnSeconds: number;
  readonly pings: number;
  readonly uploadMiB: number;
  readonly stalled: number;
  readonly stallSeconds: number;
  readonly outageSeconds: number;
}

export interface Bed {
  readonly folder: string;
  readonly upstream: Program & { readonly port: number };
  readonly ours: Contestant & { readonly program: Program };
  readonly direct: Contestant;
  readonly peers: readonly Contestant[];
  readonly scale: Scale;
}

export interface Verdict {
  readonly passed: boolean;
  readonly figure: string;
}

export interface Row {
  readonly id: string;
  readonly run: (bed: Bed) => Promise<Verdict>;
}
