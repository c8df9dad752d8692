/*
 * For tests, by LD_PRELOAD: AF_VSOCK and the NSM ioctl on a host that has neither.
 *
 * A vsock is a Unix socket with a name in the abstract namespace, of the port alone: the machine talks to itself, as
 * over CID 1. Connecting ends asynchronously, as the kernel's does, and where nobody listens with ECONNRESET. Data,
 * half-close and readiness are the kernel's own. Read anew at each call, so that a test may change them with setenv:
 *
 *   VSOCK_SHIM_SPACE      keeps the ports of one test apart from those of another
 *   VSOCK_SHIM_PEER_CID   who the peer says it is, instead of 1 or the one that was dialled
 *   VSOCK_SHIM_FAIL       call:ERRNO[:times], the call fails so often; connect:HANG neither succeeds nor fails,
 *                         nsm:LIE says that it wrote more than there is room for
 *   VSOCK_SHIM_NSM        Unix socket that answers for NSM_IOCTL_RAW on a character device, in frames
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define FDS 65536

static struct {
  int is_vsock, failure;
  uint32_t cid, port;
} table[FDS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int is_vsock(int fd) { return fd >= 0 && fd < FDS && table[fd].is_vsock; }

static const struct {
  const char *name;
  int value;
} ERRNOS[] = {
  {"EINTR", EINTR},           {"EAGAIN", EAGAIN},       {"EMFILE", EMFILE},       {"ENFILE", ENFILE},
  {"ENOMEM", ENOMEM},         {"EPERM", EPERM},         {"ECONNRESET", ECONNRESET}, {"ETIMEDOUT", ETIMEDOUT},
  {"EAFNOSUPPORT", EAFNOSUPPORT}, {"ENODEV", ENODEV},   {"ECONNABORTED", ECONNABORTED}, {"EACCES", EACCES},
  {"EADDRNOTAVAIL", EADDRNOTAVAIL}, {"EMSGSIZE", EMSGSIZE}, {"HANG", -1},          {"LIE", -2},
};

/* The errno that `call` is to fail with now, or 0. */
static int injected(const char *call) {
  static char current[128];
  static long left;
  const char *wanted = getenv("VSOCK_SHIM_FAIL");
  char name[32], code[32];
  long times = 1L << 30;
  int result = 0;
  if (!wanted || sscanf(wanted, "%31[^:]:%31[^:]:%ld", name, code, &times) < 2 || strcmp(name, call) != 0) return 0;
  pthread_mutex_lock(&lock);
  if (strcmp(current, wanted) != 0) {
    snprintf(current, sizeof current, "%s", wanted);
    left = times;
  }
  for (size_t i = 0; left > 0 && i < sizeof ERRNOS / sizeof *ERRNOS; i++) {
    if (strcmp(ERRNOS[i].name, code) == 0) result = ERRNOS[i].value;
  }
  if (result) left--;
  pthread_mutex_unlock(&lock);
  return result;
}

#define INJECT(call) \
  do { \
    int failure_ = injected(call); \
    if (failure_ > 0) return errno = failure_, -1; \
  } while (0)

static socklen_t unix_name(struct sockaddr_un *name, uint32_t port) {
  const char *space = getenv("VSOCK_SHIM_SPACE");
  *name = (struct sockaddr_un){.sun_family = AF_UNIX};
  int length = snprintf(name->sun_path + 1, sizeof name->sun_path - 1, "vsock-shim-%s-%u", space ? space : "", port);
  return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
}

static uint32_t peer_cid(uint32_t otherwise) {
  const char *text = getenv("VSOCK_SHIM_PEER_CID");
  return text && *text ? (uint32_t)strtoul(text, NULL, 10) : otherwise;
}

static int answer_name(struct sockaddr *name, socklen_t *length, uint32_t cid, uint32_t port) {
  struct sockaddr_vm vm = {.svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port};
  memcpy(name, &vm, *length < sizeof vm ? *length : sizeof vm);
  *length = sizeof vm;
  return 0;
}

static int track(int fd, uint32_t cid, uint32_t port) {
  if (fd >= 0 && fd < FDS) {
    table[fd].is_vsock = 1;
    table[fd].failure = 0;
    table[fd].cid = cid;
    table[fd].port = port;
  }
  return fd;
}

int socket(int family, int type, int protocol) {
  if (family == AF_UNIX) INJECT("socket-unix");
  if (family != AF_VSOCK) return REAL(socket)(family, type, protocol);
  INJECT("socket");
  return track(REAL(socket)(AF_UNIX, type, 0), 1, 0);
}

int close(int fd) {
  if (fd >= 0 && fd < FDS) table[fd].is_vsock = 0;
  return REAL(close)(fd);
}

int dup3(int from, int to, int flags) {
  if (is_vsock(from)) INJECT("dup3");
  return REAL(dup3)(from, to, flags);
}

int bind(int fd, const struct sockaddr *name, socklen_t length) {
  if (!is_vsock(fd)) return REAL(bind)(fd, name, length);
  INJECT("bind");
  struct sockaddr_un un;
  const struct sockaddr_vm *vm = (const void *)name;
  uint32_t port = vm->svm_port;
  if (port != VMADDR_PORT_ANY) {
    socklen_t size = unix_name(&un, port);
    table[fd].cid = vm->svm_cid;
    table[fd].port = port;
    return REAL(bind)(fd, (struct sockaddr *)&un, size);
  }
  for (port = 1024 + (uint32_t)getpid(); port < VMADDR_PORT_ANY; port++) {
    socklen_t size = unix_name(&un, port);
    if (REAL(bind)(fd, (struct sockaddr *)&un, size) == 0) {
      table[fd].cid = vm->svm_cid;
      table[fd].port = port;
      return 0;
    }
    if (errno != EADDRINUSE) return -1;
  }
  return -1;
}

int listen(int fd, int backlog) {
  if (is_vsock(fd)) INJECT("listen");
  return REAL(listen)(fd, backlog);
}

int accept4(int fd, struct sockaddr *name, socklen_t *length, int flags) {
  if (!is_vsock(fd)) return REAL(accept4)(fd, name, length, flags);
  INJECT("accept4");
  return track(REAL(accept4)(fd, NULL, NULL, flags), 1, 0x40000000);
}

int connect(int fd, const struct sockaddr *name, socklen_t length) {
  if (!is_vsock(fd)) return REAL(connect)(fd, name, length);
  const struct sockaddr_vm *vm = (const void *)name;
  struct sockaddr_un un;
  socklen_t size = unix_name(&un, vm->svm_port);
  table[fd].cid = vm->svm_cid;
  table[fd].port = vm->svm_port;
  int failure = injected("connect");
  if (failure > 0) return errno = failure, -1;
  if (failure < 0) {
    /* A full eventfd is never writable. */
    int full = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    uint64_t most = UINT64_MAX - 1;
    if (write(full, &most, sizeof most) < 0 || REAL(dup3)(full, fd, O_CLOEXEC) < 0) abort();
    close(full);
  } else if (REAL(connect)(fd, (struct sockaddr *)&un, size) < 0) {
    if (errno != ECONNREFUSED) return -1;
    table[fd].failure = ECONNRESET;
  }
  return errno = EINPROGRESS, -1;
}

int getsockname(int fd, struct sockaddr *name, socklen_t *length) {
  if (!is_vsock(fd)) return REAL(getsockname)(fd, name, length);
  INJECT("getsockname");
  return answer_name(name, length, table[fd].cid, table[fd].port);
}

int getpeername(int fd, struct sockaddr *name, socklen_t *length) {
  if (!is_vsock(fd)) return REAL(getpeername)(fd, name, length);
  INJECT("getpeername");
  return answer_name(name, length, peer_cid(table[fd].cid), table[fd].port);
}

int getsockopt(int fd, int level, int option, void *value, socklen_t *length) {
  if (!is_vsock(fd) || level != SOL_SOCKET || option != SO_ERROR) {
    return REAL(getsockopt)(fd, level, option, value, length);
  }
  int failure = injected("so_error");
  *(int *)value = failure ? failure : table[fd].failure;
  return 0;
}

int setsockopt(int fd, int level, int option, const void *value, socklen_t length) {
  if (level != AF_VSOCK) return REAL(setsockopt)(fd, level, option, value, length);
  INJECT("setsockopt");
  return 0;
}

static int whole(int fd, void *bytes, size_t length, int writing) {
  for (size_t done = 0; done < length;) {
    char *at = (char *)bytes + done;
    ssize_t count = writing ? write(fd, at, length - done) : read(fd, at, length - done);
    if (count <= 0) return -1;
    done += (size_t)count;
  }
  return 0;
}

static int ask_nsm(const char *path, uint64_t raw[4]) {
  struct sockaddr_un un = {.sun_family = AF_UNIX};
  snprintf(un.sun_path, sizeof un.sun_path, "%s", path);
  int fd = REAL(socket)(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), failure = ENODEV;
  uint32_t length = htonl((uint32_t)raw[1]);
  if (REAL(connect)(fd, (struct sockaddr *)&un, sizeof un) == 0 && whole(fd, &length, 4, 1) == 0 &&
      whole(fd, (void *)(uintptr_t)raw[0], raw[1], 1) == 0 && whole(fd, &length, 4, 0) == 0) {
    failure = ntohl(length) > raw[3] ? EMSGSIZE : 0;
    raw[3] = ntohl(length);
    if (!failure && whole(fd, (void *)(uintptr_t)raw[2], raw[3], 0) < 0) failure = EIO;
  }
  close(fd);
  return failure ? (errno = failure, -1) : 0;
}

int ioctl(int fd, unsigned long request, ...) {
  va_list rest;
  va_start(rest, request);
  void *argument = va_arg(rest, void *);
  va_end(rest);
  const char *nsm = getenv("VSOCK_SHIM_NSM");
  if (request == _IOC(_IOC_READ | _IOC_WRITE, 0x0A, 0, 32) && nsm) {
    int failure = injected("nsm");
    if (failure == -2) return ((uint64_t *)argument)[3] = 0x3001, 0;
    if (failure > 0) return errno = failure, -1;
    return ask_nsm(nsm, argument);
  }
  return REAL(ioctl)(fd, request, argument);
}
