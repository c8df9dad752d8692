/*
 * Lets init run in a namespace of a test host: forced into each of its sources, it turns aside what would reach the
 * host's own devices. vsock becomes Unix sockets in /harness, /dev/nsm a file of recorded replies, the console a file.
 * Below, the kernel is the real one: mounts, the new root, processes, signals, pipes.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <linux/vm_sockets.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

__attribute__((unused)) static int harness_open(const char *path, int flags) {
    if (!strcmp(path, "/dev/console")) return open("/harness/console", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (!strcmp(path, "/dev/nsm")) return open("/harness/nsm", O_RDONLY | O_CLOEXEC);
    if (!strcmp(path, "/dev/random")) return open("/harness/random", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    return open(path, flags);
}

__attribute__((unused)) static int harness_openat(int folder, const char *path, int flags) {
    return openat(folder, strcmp(path, "/proc/cmdline") ? path : "/harness/cmdline", flags);
}

__attribute__((unused)) static int harness_socket(int family, int type, int protocol) {
    return socket(family == AF_VSOCK ? AF_UNIX : family, type, protocol);
}

__attribute__((unused)) static int harness_connect(int fd, const struct sockaddr *address, socklen_t size) {
    const struct sockaddr_vm *vm = (const void *)address;
    struct sockaddr_un path = {.sun_family = AF_UNIX};
    if (size != sizeof *vm || vm->svm_family != AF_VSOCK) return -1;
    snprintf(path.sun_path, sizeof path.sun_path, "/harness/%u-%u", vm->svm_cid, vm->svm_port);
    return connect(fd, (struct sockaddr *)&path, sizeof path);
}

/* A recorded reply is its length in four bytes, little-endian, and its bytes. */
__attribute__((unused)) static int harness_ioctl(int fd, unsigned long request, void *argument) {
    if ((request & 0xff00) == 0x0a00) {
        uint64_t *raw = argument;
        uint32_t size;
        if (raw[1] != 10 || memcmp((void *)(uintptr_t)raw[0], "\x69" "GetRandom", 10) || raw[3] != 0x3000) return errno = EINVAL, -1;
        if (read(fd, &size, 4) != 4) return errno = EIO, -1;
        raw[3] = size;
        return read(fd, (void *)(uintptr_t)raw[2], size) == (ssize_t)size ? 0 : -1;
    }
    if (request == RNDADDENTROPY) {
        const int *pool = argument;
        return write(fd, argument, 8 + (size_t)pool[1]) > 0 ? 0 : -1;
    }
    return ioctl(fd, request, argument);
}

/* The host's devices stay out: an empty file system with /dev/null. */
__attribute__((unused)) static int harness_mount(const char *from, const char *to, const char *type, unsigned long flags,
                                                 const void *data) {
    if (!type || strcmp(type, "devtmpfs")) return mount(from, to, type, flags, data);
    if (mount("tmpfs", to, "tmpfs", MS_NOSUID, NULL)) return -1;
    int fd = open("/dev/null", O_WRONLY | O_CREAT, 0666);
    return fd < 0 ? -1 : close(fd);
}

/* A test host may lack the capability to raise a limit; what was asked for is then kept for the test to see. */
__attribute__((unused)) static int harness_setrlimit(int resource, const struct rlimit *limit) {
    struct rlimit now;
    if (getrlimit(resource, &now)) return -1;
    now.rlim_cur = limit->rlim_cur < now.rlim_max ? limit->rlim_cur : now.rlim_max;
    dprintf(2, "harness: limit %d is %lu\n", resource, (unsigned long)limit->rlim_cur);
    return setrlimit(resource, &now);
}

#define open harness_open
#define openat harness_openat
#define socket harness_socket
#define connect harness_connect
#define ioctl(fd, request, argument) harness_ioctl(fd, request, argument)
#define mount harness_mount
#define setrlimit(resource, limit) harness_setrlimit(resource, limit)
