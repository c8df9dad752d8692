/**
 * A service whose answers go out when everything that they rest on is durable; a refusal's as well.
 *
 * @module
 */
import type { JsonObject } from "./json.ts";
import type { Service } from "./service.ts";

export function durableService(service: Service, flush: () => Promise<void>): Service {
  const { anonymous } = service;
  const durably = async (answer: Promise<JsonObject>): Promise<JsonObject> => {
    try {
      return await answer;
    } finally {
      // A call may change something and fail later; whoever asks again must find what was changed.
      await flush();
    }
  };
  return {
    ...service,
    handle: (call) => durably(service.handle(call)),
    ...(anonymous ? { anonymous: { ...anonymous, handle: (call) => durably(anonymous.handle(call)) } } : {}),
  };
}
