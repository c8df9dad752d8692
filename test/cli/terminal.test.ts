/** What reaches a terminal: nothing of a file, a peer or an error message steers it. */
import { describe, expect, test } from "vitest";
import { readInput } from "../../cli/arguments.ts";
import { report, type Terminal, terminalOver, UsageError } from "../../cli/terminal.ts";
import { EifError } from "../../shared/errors/eif.ts";

/** Sets the title; C1's CSI; right-to-left override and isolate; DEL; a carriage return. */
const HOSTILE = "a\u001b]0;title\u0007\u009b31m\u202e\u2066\u007f\r\u0000z";
const HARMLESS = "a\\u001b]0;title\\u0007\\u009b31m\\u202e\\u2066\\u007f\\u000d\\u0000z";

function open({ hasColour = false, debug = false } = {}): { terminal: Terminal; said: { out: string; err: string } } {
  const said = { out: "", err: "" };
  const terminal = terminalOver({
    stdout: { write: (text) => (said.out += text) },
    stderr: { write: (text) => (said.err += text) },
    hasColour,
    debug,
  });
  return { terminal, said };
}

describe("controls of C0, DEL, C1 and of direction are written out", () => {
  test.each([true, false])("in a result and in a remark, colours %s", (hasColour) => {
    const { terminal, said } = open({ hasColour });
    terminal.print(HOSTILE);
    terminal.tell(HOSTILE);
    expect(said).toEqual({ out: `${HARMLESS}\n`, err: `${HARMLESS}\n` });
  });

  test("in JSON, which still says the same", () => {
    const { terminal, said } = open();
    terminal.print(JSON.stringify({ [HOSTILE]: HOSTILE }));
    expect(said.out).toMatch(/^[ -~]*\n$/);
    expect(JSON.parse(said.out)).toEqual({ [HOSTILE]: HOSTILE });
  });

  test.each<[string, Error]>([
    ["an archive entry's name", new EifError("ERR_EIF_ARCHIVE", { entry: HOSTILE, rule: "is relative" })],
    ["an argument", new UsageError(`no option ${HOSTILE}`, "usage")],
    ["a bug", new TypeError(HOSTILE)],
  ])("in an error message: %s", (_, error) => {
    for (const debug of [true, false]) {
      const { terminal, said } = open({ hasColour: true, debug });
      report(error, terminal);
      expect(said.err).toContain(HARMLESS);
      expect(said.err).toMatch(/^[\n -~]*$/);
    }
  });

  test("a colour out of a message is none", () => {
    const { terminal, said } = open({ hasColour: true });
    report(new EifError("ERR_EIF_ARCHIVE", { entry: "\u001b[32mverified", rule: "is relative" }), terminal);
    terminal.print(terminal.paint("green", "\u001b[32m\u202e"));
    expect(said.err).toContain("\\u001b[32mverified");
    expect(said.out).toBe("\u001b[32m\\u001b[32m\\u202e\u001b[39m\n");
  });
});

test("tabs, newlines and text of any language stay", () => {
  const { terminal, said } = open();
  terminal.print("a\tb\nñ 日本 עברית ✔");
  expect(said.out).toBe("a\tb\nñ 日本 עברית ✔\n");
});

describe("an input that is named", () => {
  test.each([["/dev/zero"], ["/nonexistent"], ["/dev"]])("%s is refused", async (path) => {
    await expect(readInput(path)).rejects.toMatchObject({ code: "ERR_CONFIG_FILE" });
  });
});

test("remarks that nobody reads are left out beyond a bound, and counted once somebody reads", () => {
  const lines: string[] = [];
  const stderr = { writableLength: 2_000_000, write: (text: string) => void lines.push(text) };
  const { tell } = terminalOver({ stdout: stderr, stderr, hasColour: false, debug: false });
  for (let i = 0; i < 3; i++) tell("unread");
  expect(lines).toEqual([]);
  stderr.writableLength = 0;
  tell("read");
  expect(lines).toEqual(["cloister: 3 lines were left out: nobody read\n", "read\n"]);
});
