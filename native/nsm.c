/*
 * One request to /dev/nsm and its response, on a thread of the pool: nsmCall(fd, request) → Promise.
 *
 * The call holds a duplicate of the descriptor, so that closing the caller's does not pull the device from under it,
 * and its own copy of the request. It is never repeated: an interrupted ExtendPCR may have been done.
 *
 * Source: Linux include/uapi/linux/nsm.h, drivers/misc/nsm.c.
 */
#define _GNU_SOURCE
#include "binding.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

struct nsm_raw {
  struct {
    uint64_t addr, len;
  } request, response;
};
enum { NSM_REQUEST_MAX = 0x1000, NSM_RESPONSE_MAX = 0x3000 };
#define NSM_IOCTL_RAW _IOWR(0x0A, 0x0, struct nsm_raw)

typedef struct {
  instance *in;
  napi_async_work work;
  napi_deferred deferred;
  int fd, status;
  size_t request_length, response_length;
  uint8_t request[NSM_REQUEST_MAX], response[NSM_RESPONSE_MAX];
} nsm_exchange;

static void exchange_free(nsm_exchange *call) {
  if (call->fd >= 0) close(call->fd);
  explicit_bzero(call, sizeof *call); /* a response may be the random bytes that keys are made of */
  free(call);
}

static void execute(napi_env env, void *data) {
  (void)env;
  nsm_exchange *call = data;
  struct nsm_raw raw = {
    .request = {.addr = (uintptr_t)call->request, .len = call->request_length},
    .response = {.addr = (uintptr_t)call->response, .len = sizeof call->response},
  };
  if (ioctl(call->fd, NSM_IOCTL_RAW, &raw) < 0) call->status = -errno;
  else if (raw.response.len > sizeof call->response) call->status = -EMSGSIZE;
  else call->response_length = (size_t)raw.response.len;
}

static napi_value outcome(napi_env env, const nsm_exchange *call) {
  void *bytes = NULL;
  napi_value buffer, view;
  if (call->status < 0) return number(env, call->status);
  TRY(napi_create_arraybuffer(env, call->response_length, &bytes, &buffer));
  if (call->response_length > 0) memcpy(bytes, call->response, call->response_length);
  TRY(napi_create_typedarray(env, napi_uint8_array, call->response_length, buffer, 0, &view));
  return view;
}

static void complete(napi_env env, napi_status status, void *data) {
  nsm_exchange *call = data;
  instance *in = call->in;
  if (status != napi_ok && call->status == 0) call->status = -ECANCELED;
  napi_value result = outcome(env, call);
  /* Fails when the environment is ending: nobody waits for the answer then. */
  if (result) napi_resolve_deferred(env, call->deferred, result);
  napi_delete_async_work(env, call->work);
  exchange_free(call);
  instance_release(in);
}

static napi_value start(napi_env env, nsm_exchange *call) {
  napi_value name, promise;
  TRY(napi_get_instance_data(env, (void **)&call->in));
  TRY(napi_create_string_utf8(env, "NSM", NAPI_AUTO_LENGTH, &name));
  TRY(napi_create_async_work(env, NULL, name, execute, complete, call, &call->work));
  if (napi_create_promise(env, &call->deferred, &promise) == napi_ok &&
      napi_queue_async_work(env, call->work) == napi_ok) {
    call->in->busy++;
    return promise;
  }
  napi_delete_async_work(env, call->work);
  return refuse(env);
}

napi_value nsm_call(napi_env env, napi_callback_info info) {
  size_t count = 2, length = 0;
  napi_value argv[2];
  int32_t fd = -1;
  napi_typedarray_type type;
  void *bytes = NULL;
  TRY(napi_get_cb_info(env, info, &count, argv, NULL, NULL));
  TRY(napi_get_value_int32(env, argv[0], &fd));
  TRY(napi_get_typedarray_info(env, argv[1], &type, &length, &bytes, NULL, NULL));
  if (type != napi_uint8_array || length > NSM_REQUEST_MAX) {
    napi_throw_range_error(env, NULL, "a request is a Uint8Array of at most 4096 bytes");
    return NULL;
  }
  nsm_exchange *call = calloc(1, sizeof *call);
  if (!call) return number(env, -ENOMEM);
  if (length > 0) memcpy(call->request, bytes, length);
  call->request_length = length;
  call->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  napi_value promise = call->fd < 0 ? number(env, -errno) : start(env, call);
  if (call->fd < 0 || !promise) exchange_free(call);
  return promise;
}
