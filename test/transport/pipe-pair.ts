import { Duplex } from "node:stream";
import { encodeFrame, type Frame, FrameDecoder } from "../../shared/transport/frame.ts";
import type { Json } from "../../shared/transport/json.ts";
import type { ServedChannel } from "../../shared/transport/serve-channel.ts";

/** Two ends of a stream in memory, with half-close and backpressure. */
export function pipePair(): readonly [Duplex, Duplex] {
  const ends: Duplex[] = [];
  const waiting: ((() => void) | undefined)[] = [];
  const make = (own: number, other: number): Duplex =>
    new Duplex({
      allowHalfOpen: true,
      read() {
        const done = waiting[own];
        waiting[own] = undefined;
        done?.();
      },
      write(chunk: Buffer, _encoding, done) {
        if (ends[other]?.push(chunk)) done();
        else waiting[other] = done;
      },
      final(done) {
        ends[other]?.push(null);
        done();
      },
      destroy(error, done) {
        setImmediate(() => ends[other]?.destroy());
        done(error);
      },
    });
  ends.push(make(0, 1), make(1, 0));
  return [ends[0] as Duplex, ends[1] as Duplex];
}

/** A peer that writes frames by hand. */
export function rawPeer(socket: Duplex): { send: (...frames: Frame[]) => void; got: Frame[] } {
  const got: Frame[] = [];
  const decoder = new FrameDecoder((frame) => got.push(frame));
  socket.on("data", (chunk: Buffer) => decoder.push(chunk)).on("error", () => {});
  return { got, send: (...frames) => socket.write(Buffer.concat(frames.map((frame) => encodeFrame(frame)))) };
}

export const turn = async (): Promise<void> => {
  for (let i = 0; i < 10; i++) await new Promise(setImmediate);
};
export const never = (): Promise<Json> => new Promise(() => {});
export const faultOf = async (served: ServedChannel): Promise<string | undefined> =>
  ((await served.closed) as { code?: string } | undefined)?.code;
export const ask = (id: number, method = "m"): Frame => ({ type: "request", id, body: { method, params: {} } });
