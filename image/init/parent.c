/*
 * Speaks with the parent over vsock: the heartbeat, and the report as one event frame (shared/transport/frame.ts).
 *
 * The parent is hostile: every wait has a deadline, and one byte is all that is read of it. Here are also the ends:
 * what fails is printed, reported and followed by a reboot.
 */
#include "init.h"

#include <errno.h>
#include <linux/vm_sockets.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PARENT_CID = 3, HEARTBEAT_PORT = 9000, LOG_PORT = 8003, HEARTBEAT = 0xb7 };
enum { REPORT_MS = 2000, HEARTBEAT_NITRO_MS = 20000, HEARTBEAT_EMULATED_MS = 3000 };

void restart(void) {
    sync();
    reboot(RB_AUTOBOOT);
    _exit(1);
}

void on_alarm(int number) {
    static const char text[] = "init: watchdog: a step took too long\n";
    (void)number;
    if (write(STDERR_FILENO, text, sizeof text - 1) < 0) { /* nothing is left to tell it to */
    }
    reboot(RB_AUTOBOOT);
    _exit(1);
}

void fatal(const char *what) {
    char fields[6 * LINE_BYTES + 64], name[6 * LINE_BYTES + 3];
    int why = errno;
    alarm(END_SECONDS);
    dprintf(STDERR_FILENO, "init: %s: %s\n", what, strerror(why));
    quote(name, (const unsigned char *)what, strnlen(what, LINE_BYTES));
    snprintf(fields, sizeof fields, "\"what\":%s,\"errno\":%d", name, why);
    report("error", "init failed", fields);
    restart();
}

void invalid(const char *what) {
    errno = EINVAL;
    fatal(what);
}

int64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void rest_ms(long ms) {
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

/* Whether fd became ready before the deadline. */
static bool ready(int fd, short events, int64_t deadline) {
    for (;;) {
        int64_t left = deadline - now_ms();
        struct pollfd p = {.fd = fd, .events = events};
        int n = left > 0 ? poll(&p, 1, (int)left) : 0;
        if (n > 0) return true;
        if (n == 0) errno = ETIMEDOUT;
        if (n == 0 || errno != EINTR) return false;
    }
}

/* A connection to the parent, or -1. Non-blocking: the caller waits with ready(). */
static int dial(unsigned port, int64_t deadline) {
    struct sockaddr_vm parent = {.svm_family = AF_VSOCK, .svm_cid = PARENT_CID, .svm_port = port};
    int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int why = 0;
    socklen_t size = sizeof why;
    if (fd < 0) return -1;
    if (connect(fd, (struct sockaddr *)&parent, sizeof parent) == 0) return fd;
    if (errno == EINPROGRESS && ready(fd, POLLOUT, deadline) &&
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &why, &size) == 0) {
        if (why == 0) return fd;
        errno = why;
    }
    why = errno;
    close(fd);
    errno = why;
    return -1;
}

static bool send_all(int fd, const void *bytes, size_t length, int64_t deadline) {
    const char *at = bytes;
    while (length > 0) {
        ssize_t n = send(fd, at, length, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN && ready(fd, POLLOUT, deadline)) continue;
        if (n < 0 && errno != EINTR) return false;
        if (n > 0) at += n, length -= (size_t)n;
    }
    return true;
}

/* Some bytes, 0 at the end of the stream, -1 when none came in time. */
static ssize_t receive(int fd, void *bytes, size_t length, int64_t deadline) {
    for (;;) {
        ssize_t n = recv(fd, bytes, length, 0);
        if (n >= 0 || (errno != EAGAIN && errno != EINTR)) return n;
        if (!ready(fd, POLLIN, deadline)) return -1;
    }
}

/* Bytes of the well-formed UTF-8 character at `at`, or 0. RFC 3629: no surrogates, shortest form, up to U+10FFFF. */
static size_t character(const unsigned char *at, size_t left) {
    unsigned char first = at[0];
    size_t length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
    if (length == 0 || length > left) return 0;
    for (size_t i = 1; i < length; i++)
        if ((at[i] & 0xc0) != 0x80) return 0;
    if (first == 0xe0 && at[1] < 0xa0) return 0;
    if (first == 0xed && at[1] > 0x9f) return 0;
    if (first == 0xf0 && at[1] < 0x90) return 0;
    if (first == 0xf4 && at[1] > 0x8f) return 0;
    return length;
}

/* Writes a JSON string; what is not UTF-8 becomes U+FFFD. `out` has six bytes for each byte, quotes and a NUL. */
size_t quote(char *out, const unsigned char *bytes, size_t length) {
    size_t to = 0;
    out[to++] = '"';
    for (size_t i = 0; i < length;) {
        size_t n = character(bytes + i, length - i);
        if (n == 0) to += (size_t)sprintf(out + to, "\\ufffd");
        else if (n == 1 && (bytes[i] < 0x20 || bytes[i] == '"' || bytes[i] == '\\' || bytes[i] == 0x7f))
            to += (size_t)sprintf(out + to, "\\u%04x", bytes[i]);
        else for (size_t k = 0; k < n; k++) out[to++] = (char)bytes[i + k];
        i += n ? n : 1;
    }
    out[to++] = '"';
    out[to] = 0;
    return to;
}

void report(const char *level, const char *event, const char *fields) {
    static char frame[FIELDS_BYTES + 512];
    static bool reported;
    int64_t deadline = now_ms() + REPORT_MS;
    if (reported) return;
    reported = true;
    int fd = dial(LOG_PORT, deadline);
    if (fd < 0) {
        dprintf(STDERR_FILENO, "init: report: %s\n", strerror(errno));
        return;
    }
    int n = snprintf(frame + 9, sizeof frame - 9,
                     "{\"name\":\"log\",\"body\":{\"level\":\"%s\",\"event\":\"%s\",\"fields\":{%s}}}", level, event, fields);
    uint32_t length = 5 + (uint32_t)n;
    unsigned char head[9] = {length >> 24, length >> 16, length >> 8, length, 4, 0, 0, 0, 0};
    memcpy(frame, head, sizeof head);
    if (n > 0 && (size_t)n < sizeof frame - 9 && send_all(fd, frame, 9 + (size_t)n, deadline)) {
        /* The parent ends its direction when it has taken everything; a reboot before that could lose it. */
        shutdown(fd, SHUT_WR);
        while (now_ms() < deadline && receive(fd, frame, sizeof frame, deadline) > 0) continue;
    }
    close(fd);
}

void heartbeat(enum platform platform) {
    int64_t deadline = now_ms() + (platform == NITRO ? HEARTBEAT_NITRO_MS : HEARTBEAT_EMULATED_MS);
    do {
        unsigned char byte = HEARTBEAT;
        int fd = dial(HEARTBEAT_PORT, deadline);
        if (fd < 0) {
            rest_ms(100);
            continue;
        }
        bool answered = send_all(fd, &byte, 1, deadline) && (byte = 0, receive(fd, &byte, 1, deadline) == 1);
        close(fd);
        if (answered && byte == HEARTBEAT) return;
        errno = EPROTO;
        rest_ms(100);
    } while (now_ms() < deadline);
    if (platform == NITRO) fatal("heartbeat");
    dprintf(STDERR_FILENO, "init: heartbeat: %s (no matter: emulated)\n", strerror(errno));
}
