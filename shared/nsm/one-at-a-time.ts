/**
 * Lets calls pass one after the other, in the order they came. A call that fails does not stop the next.
 *
 * @module
 */

export function oneAtATime<Args extends readonly unknown[], Result>(
  call: (...args: Args) => Promise<Result>,
): (...args: Args) => Promise<Result> {
  let last: Promise<unknown> = Promise.resolve();
  return (...args) => {
    const result = last.then(() => call(...args));
    last = result.catch(() => undefined);
    return result;
  };
}
