/**
 * Reads the records of a pax header: "<length> <key>=<value>\n", where the length counts the whole record.
 *
 * Keys that would change what an entry is (sparse files, another character set) are refused; those that say more than an
 * image holds (times, names of owners, extended attributes) are passed over.
 *
 * Source: POSIX.1-2017 pax, "pax Extended Header".
 *
 * @module
 */

const KEYS = ["path", "linkpath", "size", "uid", "gid"];
const PASSED =
  /^(mtime|atime|ctime|uname|gname|comment|SCHILY\.[\x20-\x3c\x3e-\x7e]+|LIBARCHIVE\.[\x20-\x3c\x3e-\x7e]+)$/;
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The records by key, those that are passed over left out. @throws what `refusal` makes */
export function readPaxRecords(data: Uint8Array, refusal: (rule: string) => Error): ReadonlyMap<string, string> {
  const records = new Map<string, string>();
  for (let offset = 0; offset < data.length; ) {
    const space = data.indexOf(0x20, offset);
    const digits = space < 0 ? "" : String.fromCharCode(...data.subarray(offset, Math.min(space, offset + 8)));
    if (!/^[1-9][0-9]{0,6}$/.test(digits)) throw refusal("a pax record starts with its length");
    const end = offset + Number(digits);
    if (end > data.length || end <= space + 1 || data[end - 1] !== 0x0a) throw refusal("a pax record has its length");
    const record = data.subarray(space + 1, end - 1);
    const equals = record.indexOf(0x3d);
    const key = equals < 1 ? "" : String.fromCharCode(...record.subarray(0, equals));
    if (KEYS.includes(key)) {
      if (records.has(key)) throw refusal(`says ${key} twice`);
      records.set(key, textOf(record.subarray(equals + 1), refusal));
    } else if (!PASSED.test(key)) {
      throw refusal("a pax key is one that is known");
    }
    offset = end;
  }
  return records;
}

function textOf(bytes: Uint8Array, refusal: (rule: string) => Error): string {
  try {
    return decoder.decode(bytes);
  } catch {
    throw refusal("its names are UTF-8");
  }
}
