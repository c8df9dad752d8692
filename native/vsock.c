/*
 * The system calls for AF_VSOCK that Node does not have, one function each; what to do with them is decided in
 * transport/vsock.ts. Nothing blocks but `localCid`, which asks the kernel a constant.
 *
 *   open listen connect accept localName peerName failure close      one descriptor, an "endpoint"
 *   watch unwatch                                                    readiness, by a uv_poll handle
 *   adopt                                                            makes the endpoint a net.Socket
 *
 * Every function gives its result or a negative errno. An endpoint's descriptor is closed exactly once: by `close`, by
 * `adopt`, when the object is collected, or when its environment (the process or a worker) ends, whichever is first. A
 * watched endpoint is not collected.
 *
 * `adopt` uses public API only: it has a net.Socket constructed around a new Unix socket, then puts the vsock in that
 * descriptor's place before anything was read. From there libuv reads and writes it like any stream.
 *
 * Source: vsock(7), Linux net/vmw_vsock/af_vsock.c; Node-API 8; libuv uv_poll_t.
 */
#define _GNU_SOURCE
#include "binding.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

typedef struct endpoint {
  instance *in;
  struct endpoint *previous, *next;
  int fd;             /* -1 once closed or adopted; only then is the endpoint not in the list */
  int reserved;       /* a Unix socket that `adopt` will fill, or -1 */
  uv_poll_t *poll;    /* while watched, as are the three that follow */
  napi_ref self;      /* strong */
  napi_ref callback;  /* strong */
  napi_async_context context;
} endpoint;

static const napi_type_tag ENDPOINT = {0x636c6f6973746572, 0x76736f636b2d3031};

napi_value refuse(napi_env env) {
  const napi_extended_error_info *last = NULL;
  const char *message = "not an argument of this call";
  if (napi_get_last_error_info(env, &last) == napi_ok && last->error_message) message = last->error_message;
  napi_throw_type_error(env, NULL, message);
  return NULL;
}

napi_value number(napi_env env, int64_t value) {
  napi_value result;
  TRY(napi_create_int64(env, value, &result));
  return result;
}

void instance_release(instance *in) {
  if (--in->busy > 0) return;
  napi_remove_async_cleanup_hook(in->hook);
  free(in);
}

static void on_poll_closed(uv_handle_t *poll) {
  instance *in = uv_handle_get_data(poll);
  free(poll);
  instance_release(in);
}

static void endpoint_unwatch(endpoint *e) {
  if (!e->poll) return;
  uv_handle_t *poll = (uv_handle_t *)e->poll;
  e->poll = NULL;
  e->in->busy++;
  uv_handle_set_data(poll, e->in);
  /* Takes the descriptor out of epoll before it returns, so that it may be closed at once. */
  uv_close(poll, on_poll_closed);
  if (e->context) napi_async_destroy(e->in->env, e->context);
  if (e->callback) napi_delete_reference(e->in->env, e->callback);
  if (e->self) napi_delete_reference(e->in->env, e->self);
  e->context = NULL;
  e->callback = e->self = NULL;
}

static void endpoint_close(endpoint *e) {
  if (e->fd < 0) return;
  endpoint_unwatch(e);
  /* Never repeated: Linux gives the number free even where close is interrupted. */
  close(e->fd);
  if (e->reserved >= 0) close(e->reserved);
  e->fd = e->reserved = -1;
  if (e->next) e->next->previous = e->previous;
  if (e->previous) e->previous->next = e->next;
  else e->in->first = e->next;
}

static void on_collected(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  endpoint_close(data);
  free(data);
}

/* Takes both descriptors, also when it fails. */
static napi_value endpoint_create(napi_env env, int fd, int reserved) {
  napi_value object = NULL;
  instance *in = NULL;
  endpoint *e = calloc(1, sizeof *e);
  if (!e || napi_get_instance_data(env, (void **)&in) != napi_ok || napi_create_object(env, &object) != napi_ok ||
      napi_type_tag_object(env, object, &ENDPOINT) != napi_ok ||
      napi_wrap(env, object, e, on_collected, NULL, NULL) != napi_ok) {
    free(e);
    close(fd);
    if (reserved >= 0) close(reserved);
    return e ? refuse(env) : number(env, -ENOMEM);
  }
  *e = (endpoint){.in = in, .next = in->first, .fd = fd, .reserved = reserved};
  if (in->first) in->first->previous = e;
  in->first = e;
  return object;
}

/* The arguments of a call, of which the first is an endpoint. */
static endpoint *arguments(napi_env env, napi_callback_info info, size_t count, napi_value *argv) {
  void *data = NULL;
  bool tagged = false;
  if (napi_get_cb_info(env, info, &count, argv, NULL, NULL) == napi_ok &&
      napi_check_object_type_tag(env, argv[0], &ENDPOINT, &tagged) == napi_ok && tagged &&
      napi_unwrap(env, argv[0], &data) == napi_ok) {
    return data;
  }
  napi_throw_type_error(env, NULL, "not a vsock endpoint");
  return NULL;
}

static int new_socket(int family) {
  return TEMP_FAILURE_RETRY(socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

static napi_value vsock_open(napi_env env, napi_callback_info info) {
  (void)info;
  int fd = new_socket(AF_VSOCK);
  return fd < 0 ? number(env, -errno) : endpoint_create(env, fd, -1);
}

/* `listen` binds and listens: endpoint, cid, port, backlog. `connect`, which has data: endpoint, cid, port, and for how
   many milliseconds the kernel tries; by itself it gives up after two seconds. */
static napi_value vsock_address(napi_env env, napi_callback_info info) {
  napi_value argv[4];
  struct sockaddr_vm name = {.svm_family = AF_VSOCK};
  struct sockaddr *any = (struct sockaddr *)&name;
  uint32_t last = 0;
  void *connecting = NULL;
  endpoint *e = arguments(env, info, 4, argv);
  if (!e || napi_get_cb_info(env, info, NULL, NULL, NULL, &connecting) != napi_ok) return NULL;
  TRY(napi_get_value_uint32(env, argv[1], &name.svm_cid));
  TRY(napi_get_value_uint32(env, argv[2], &name.svm_port));
  TRY(napi_get_value_uint32(env, argv[3], &last));
  if (!connecting) {
    int status = TEMP_FAILURE_RETRY(bind(e->fd, any, sizeof name));
    if (status == 0) status = TEMP_FAILURE_RETRY(listen(e->fd, (int)last));
    return number(env, status < 0 ? -errno : 0);
  }
  struct timeval patience = {.tv_sec = last / 1000, .tv_usec = (last % 1000) * 1000};
  if (setsockopt(e->fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &patience, sizeof patience) < 0 ||
      TEMP_FAILURE_RETRY(connect(e->fd, any, sizeof name)) < 0) {
    /* An interrupted attempt goes on by itself, and the repeated call finds it under way. */
    return number(env, errno == EALREADY ? -EINPROGRESS : errno == EISCONN ? 0 : -errno);
  }
  return number(env, 0);
}

/* The Unix socket for `adopt` comes first: without a descriptor for it the connection stays in the backlog. */
static napi_value vsock_accept(napi_env env, napi_callback_info info) {
  napi_value argv[1];
  endpoint *e = arguments(env, info, 1, argv);
  if (!e) return NULL;
  int reserved = new_socket(AF_UNIX);
  if (reserved < 0) return number(env, -errno);
  int fd = TEMP_FAILURE_RETRY(accept4(e->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (fd >= 0) return endpoint_create(env, fd, reserved);
  int failure = errno;
  close(reserved);
  return number(env, -failure);
}

/* [cid, port]; the data of the function says whose. */
static napi_value vsock_name(napi_env env, napi_callback_info info) {
  napi_value argv[1], pair, cid, port;
  struct sockaddr_vm name = {.svm_family = AF_UNSPEC};
  socklen_t length = sizeof name;
  void *peer = NULL;
  endpoint *e = arguments(env, info, 1, argv);
  if (!e || napi_get_cb_info(env, info, NULL, NULL, NULL, &peer) != napi_ok) return NULL;
  struct sockaddr *any = (struct sockaddr *)&name;
  if ((peer ? getpeername(e->fd, any, &length) : getsockname(e->fd, any, &length)) < 0) return number(env, -errno);
  if (length < sizeof name || name.svm_family != AF_VSOCK) return number(env, -EAFNOSUPPORT);
  TRY(napi_create_uint32(env, name.svm_cid, &cid));
  TRY(napi_create_uint32(env, name.svm_port, &port));
  TRY(napi_create_array_with_length(env, 2, &pair));
  TRY(napi_set_element(env, pair, 0, cid));
  TRY(napi_set_element(env, pair, 1, port));
  return pair;
}

/* How a connection attempt ended; reading it clears it. */
static napi_value vsock_failure(napi_env env, napi_callback_info info) {
  napi_value argv[1];
  int failure = 0;
  socklen_t length = sizeof failure;
  endpoint *e = arguments(env, info, 1, argv);
  if (!e) return NULL;
  if (getsockopt(e->fd, SOL_SOCKET, SO_ERROR, &failure, &length) < 0) failure = errno;
  return number(env, -failure);
}

static void on_ready(uv_poll_t *poll, int status, int events) {
  endpoint *e = uv_handle_get_data((uv_handle_t *)poll);
  napi_env env = e->in->env;
  napi_handle_scope scope;
  napi_value self, callback, argument, thrown;
  bool pending = false;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return;
  if (napi_get_reference_value(env, e->self, &self) == napi_ok &&
      napi_get_reference_value(env, e->callback, &callback) == napi_ok &&
      napi_create_int32(env, status < 0 ? status : events, &argument) == napi_ok) {
    /* The callback may close the endpoint: nothing of it is touched after this call. */
    napi_make_callback(env, e->context, self, callback, 1, &argument, NULL);
  }
  if (napi_is_exception_pending(env, &pending) == napi_ok && pending &&
      napi_get_and_clear_last_exception(env, &thrown) == napi_ok) {
    napi_fatal_exception(env, thrown);
  }
  napi_close_handle_scope(env, scope);
}

/* watch(endpoint, forWriting, callback): calls back with the events or a negative errno, until `unwatch`. */
static napi_value vsock_watch(napi_env env, napi_callback_info info) {
  napi_value argv[3], name;
  bool writing = false;
  struct uv_loop_s *loop = NULL;
  napi_valuetype type;
  endpoint *e = arguments(env, info, 3, argv);
  if (!e) return NULL;
  TRY(napi_get_value_bool(env, argv[1], &writing));
  TRY(napi_typeof(env, argv[2], &type));
  if (type != napi_function) return refuse(env);
  TRY(napi_get_uv_event_loop(env, &loop));
  if (e->fd < 0 || e->poll) return number(env, e->fd < 0 ? -EBADF : -EBUSY);
  uv_poll_t *poll = malloc(uv_handle_size(UV_HANDLE_KIND_POLL));
  int status = poll ? uv_poll_init(loop, poll, e->fd) : -ENOMEM;
  if (status < 0) return free(poll), number(env, status);
  e->poll = poll;
  uv_handle_set_data((uv_handle_t *)poll, e);
  if (napi_create_reference(env, argv[0], 1, &e->self) != napi_ok ||
      napi_create_reference(env, argv[2], 1, &e->callback) != napi_ok ||
      napi_create_string_utf8(env, "VSOCK", NAPI_AUTO_LENGTH, &name) != napi_ok ||
      napi_async_init(env, argv[0], name, &e->context) != napi_ok) {
    endpoint_unwatch(e);
    return refuse(env);
  }
  status = uv_poll_start(poll, writing ? UV_EVENT_WRITABLE : UV_EVENT_READABLE, on_ready);
  if (status < 0) endpoint_unwatch(e);
  return number(env, status);
}

/* `unwatch` and, with data, `close`. */
static napi_value vsock_release(napi_env env, napi_callback_info info) {
  napi_value argv[1];
  void *closing = NULL;
  endpoint *e = arguments(env, info, 1, argv);
  if (!e || napi_get_cb_info(env, info, NULL, NULL, NULL, &closing) != napi_ok) return NULL;
  if (closing) endpoint_close(e);
  else endpoint_unwatch(e);
  return NULL;
}

/* adopt(endpoint, construct): `construct(fd)` makes a net.Socket around a Unix socket, which it owns from then on, and
   which is the vsock when this returns 0. The endpoint is closed after success. */
static napi_value vsock_adopt(napi_env env, napi_callback_info info) {
  napi_value argv[2], global, fd;
  endpoint *e = arguments(env, info, 2, argv);
  if (!e) return NULL;
  if (e->fd < 0) return number(env, -EBADF);
  int target = e->reserved >= 0 ? e->reserved : new_socket(AF_UNIX);
  if (target < 0) return number(env, -errno);
  e->reserved = -1;
  endpoint_unwatch(e);
  if (napi_get_global(env, &global) != napi_ok || napi_create_int32(env, target, &fd) != napi_ok ||
      napi_call_function(env, global, argv[1], 1, &fd, NULL) != napi_ok) {
    close(target);
    return refuse(env);
  }
  if (TEMP_FAILURE_RETRY(dup3(e->fd, target, O_CLOEXEC)) < 0) return number(env, -errno);
  endpoint_close(e);
  return number(env, 0);
}

static napi_value vsock_local_cid(napi_env env, napi_callback_info info) {
  (void)info;
  unsigned int cid = 0;
  int fd = open("/dev/vsock", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return number(env, -errno);
  int failure = ioctl(fd, IOCTL_VM_SOCKETS_GET_LOCAL_CID, &cid) < 0 ? errno : 0;
  close(fd);
  return number(env, failure ? -failure : (int64_t)cid);
}

static void on_environment_end(napi_async_cleanup_hook_handle handle, void *data) {
  (void)handle;
  instance *in = data;
  while (in->first) endpoint_close(in->first);
  instance_release(in);
}

NAPI_MODULE_INIT() {
  static int yes;
  static const struct {
    const char *name;
    napi_callback call;
    void *data;
  } functions[] = {
    {"open", vsock_open, NULL},           {"listen", vsock_address, NULL}, {"connect", vsock_address, &yes},
    {"accept", vsock_accept, NULL},       {"localName", vsock_name, NULL}, {"peerName", vsock_name, &yes},
    {"failure", vsock_failure, NULL},     {"watch", vsock_watch, NULL},    {"unwatch", vsock_release, NULL},
    {"close", vsock_release, &yes},       {"adopt", vsock_adopt, NULL},    {"localCid", vsock_local_cid, NULL},
    {"nsmCall", nsm_call, NULL},
  };
  instance *in = calloc(1, sizeof *in);
  if (!in) return refuse(env);
  *in = (instance){.env = env, .busy = 1};
  if (napi_add_async_cleanup_hook(env, on_environment_end, in, &in->hook) != napi_ok) return free(in), refuse(env);
  TRY(napi_set_instance_data(env, in, NULL, NULL));
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
    napi_value made;
    TRY(napi_create_function(env, functions[i].name, NAPI_AUTO_LENGTH, functions[i].call, functions[i].data, &made));
    TRY(napi_set_named_property(env, exports, functions[i].name, made));
  }
  return exports;
}
