/**
 * Log lines to a file of bounded size: `parent.log`, and behind it `parent.log.1`, the newest, to `parent.log.<keep>`.
 *
 * The files have mode 0600 and are plain files: a link, a pipe or a device at the path is refused. A full disk makes
 * lines wait, then drop, until there is room again; what was written in part is taken back, so that no line is torn.
 *
 * @module
 */
import { ConfigError } from "../../shared/errors/index.ts";
import { type DeliveryOptions, deliverTo, type LogDestination, type Place } from "./delivery.ts";
import { codeOf } from "./observe.ts";
import { RotatingFile, type WriteBytes } from "./rotating-file.ts";
import { fitting, textOf } from "./to-stdout.ts";

export interface FileOptions extends DeliveryOptions {
  /** No file grows beyond this. Default 64 MiB, at least 4 096. */
  readonly maxBytes?: number;
  /** How many older files stay. Default 5. */
  readonly keep?: number;
  /** Writes to a descriptor. For tests. */
  readonly writeBytes?: WriteBytes;
}

const BATCH_BYTES_MAX = 262_144;
const FILE_BYTES_MIN = 4_096;

/** @throws {ConfigError} `ERR_CONFIG_FILE`: the file can not be made or is not a plain file */
export function toFile(path: string, options: FileOptions = {}): LogDestination {
  const { maxBytes = 64 * 1_048_576, keep = 5, writeBytes, ...delivery } = options;
  if (!Number.isSafeInteger(maxBytes) || maxBytes < FILE_BYTES_MIN) {
    throw new RangeError(`maxBytes must be an integer of at least ${FILE_BYTES_MIN}`);
  }
  if (!Number.isInteger(keep) || keep < 0 || keep > 1_000) throw new RangeError("keep must be 0 to 1 000");
  const batchBytesMax = Math.min(BATCH_BYTES_MAX, maxBytes);
  const file = openFile(path, { maxBytes, keep, ...(writeBytes && { writeBytes }) });
  const place: Place = {
    lingerMs: 0,
    lineBytesMax: batchBytesMax - 1,
    cut: (lines) => fitting(lines, batchBytesMax),
    deliver: async (batch) => {
      await file.append(Buffer.from(textOf(batch)));
      return 0;
    },
    end: async () => file.close(),
  };
  return deliverTo(place, delivery);
}

function openFile(path: string, limits: ConstructorParameters<typeof RotatingFile>[1]): RotatingFile {
  try {
    return new RotatingFile(path, limits);
  } catch (cause) {
    throw new ConfigError("ERR_CONFIG_FILE", { path, reason: codeOf(cause) }, { cause });
  }
}
