/**
 * A store of sealed objects over a store that is not trusted: the same `put` and `get`.
 *
 * The name of an object is in its encryption context, so that a store can not give one for another. It can give an older
 * one of the same name: what must not be old is state (sealed-state.ts).
 *
 * @module
 */
import { open, type SealOptions, seal } from "../../shared/envelope/sealed.ts";
import { checkObjectName, type ObjectStore } from "./stores.ts";

export interface SealedStoreOptions extends Omit<SealOptions, "requiredContextKeys"> {
  readonly store: ObjectStore;
}

/** The pair that binds an object to its name. */
export const OBJECT_PAIR = "object";

/** @throws {RangeError} a context that has the pair `object` already */
export function createSealedStore({ store, context, ...access }: SealedStoreOptions): ObjectStore {
  if (Object.hasOwn(context, OBJECT_PAIR)) throw new RangeError(`the pair ${OBJECT_PAIR} is set here`);
  const bound = (name: string): SealOptions => ({
    ...access,
    context: { ...context, [OBJECT_PAIR]: checkObjectName(name) },
  });
  return {
    put: async (name, bytes) => store.put(name, await seal(bytes, bound(name))),
    get: async (name) => {
      const options = { ...bound(name), dataset: name };
      return open(await store.get(name), options);
    },
  };
}
