/*
 * What the two halves of the binding share, and the few functions of libuv that they call.
 *
 * The handles of libuv stay opaque here: `uv_handle_size` says at run time how large the one in this Node is, so that
 * one binary fits every Node that has N-API 8.
 */
#ifndef CLOISTER_BINDING_H
#define CLOISTER_BINDING_H

#define NAPI_VERSION 8
#include <node_api.h>

typedef struct uv_handle_s uv_handle_t;
typedef struct uv_poll_s uv_poll_t;
enum { UV_HANDLE_KIND_POLL = 8, UV_EVENT_READABLE = 1, UV_EVENT_WRITABLE = 2 };
extern size_t uv_handle_size(int kind);
extern int uv_poll_init(struct uv_loop_s *loop, uv_poll_t *handle, int fd);
extern int uv_poll_start(uv_poll_t *handle, int events, void (*ready)(uv_poll_t *handle, int status, int events));
extern void uv_close(uv_handle_t *handle, void (*closed)(uv_handle_t *handle));
extern void *uv_handle_get_data(const uv_handle_t *handle);
extern void uv_handle_set_data(uv_handle_t *handle, void *data);

struct endpoint;

/* One for each environment, so for each thread that loads the binding. */
typedef struct {
  napi_env env;
  napi_async_cleanup_hook_handle hook;
  struct endpoint *first; /* the endpoints that hold a descriptor */
  size_t busy;            /* what must end before the environment may: itself, handles that close, calls that run */
} instance;

void instance_release(instance *in);

/* Throws what the last call of N-API found wrong, unless something is thrown already. */
napi_value refuse(napi_env env);
/* A count, or an error as libuv writes it: the negative errno. */
napi_value number(napi_env env, int64_t value);
napi_value nsm_call(napi_env env, napi_callback_info info);

#define TRY(call) \
  do { \
    if ((call) != napi_ok) return refuse(env); \
  } while (0)

#endif
