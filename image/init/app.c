/*
 * Runs the application that /cloister/exec describes, and tells the parent how it ended.
 *
 *   exec file   strings, each ended by NUL, to the last byte of the file: "cloister.exec.1", working directory, uid,
 *               gid, program, number of variables, the variables, number of arguments, the arguments
 *
 * The program is an absolute path and is not looked for. Nothing is inherited: environment, groups, signals and
 * descriptors are those named here. What it writes is copied to the console; the end of its standard error is kept.
 * When it ends, everything else ends with it.
 */
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EXEC_BYTES = 128 * 1024, STRINGS_MAX = 1024, DESCRIPTORS = 65536 };
enum { TAIL_BYTES = 4096 };

static struct {
    const char *folder, *program;
    unsigned long uid, gid;
    char *environment[STRINGS_MAX + 1], *arguments[STRINGS_MAX + 1];
} app;

static char *next_string(char **at, const char *end) {
    char *string = *at;
    if (string >= end) invalid("exec file: ends early");
    *at = string + strlen(string) + 1;
    return string;
}

static unsigned long next_number(char **at, const char *end, unsigned long maximum) {
    const char *digits = next_string(at, end);
    size_t length = strlen(digits);
    if (length < 1 || length > 10 || strspn(digits, "0123456789") != length || (digits[0] == '0' && length > 1))
        invalid("exec file: number");
    unsigned long number = strtoul(digits, NULL, 10);
    if (number > maximum) invalid("exec file: number");
    return number;
}

void read_exec(void) {
    static char bytes[EXEC_BYTES + 1];
    size_t length = read_file(AT_FDCWD, "/cloister/exec", bytes, sizeof bytes);
    char *at = bytes;
    const char *end = bytes + length;
    if (length == 0 || bytes[length - 1] != 0) invalid("exec file: last byte");
    if (strcmp(next_string(&at, end), "cloister.exec.1")) invalid("exec file: version");
    app.folder = next_string(&at, end);
    app.uid = next_number(&at, end, UINT32_MAX - 1);
    app.gid = next_number(&at, end, UINT32_MAX - 1);
    app.program = next_string(&at, end);
    for (unsigned long i = 0, n = next_number(&at, end, STRINGS_MAX); i < n; i++) {
        app.environment[i] = next_string(&at, end);
        if (!strchr(app.environment[i], '=')) invalid("exec file: variable");
    }
    for (unsigned long i = 0, n = next_number(&at, end, STRINGS_MAX); i < n; i++)
        app.arguments[i] = next_string(&at, end);
    if (app.folder[0] != '/' || app.program[0] != '/' || !app.arguments[0]) invalid("exec file: program");
    if (at != end) invalid("exec file: bytes after its end");
}

/* In the child. What fails here is the last line of the application's standard error. */
__attribute__((noreturn)) static void become_app(int out, int err) {
    struct rlimit files = {DESCRIPTORS, DESCRIPTORS}, core = {0, 0};
    sigset_t none;
    int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
    const char *step = "streams";
    if (in < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0) goto failed;
    step = "limits";
    if (setrlimit(RLIMIT_NOFILE, &files) || setrlimit(RLIMIT_CORE, &core)) goto failed;
    step = "user";
    if (setgroups(0, NULL) || setresgid(app.gid, app.gid, app.gid) || setresuid(app.uid, app.uid, app.uid)) goto failed;
    step = app.folder;
    if (setsid() < 0 || chdir(app.folder)) goto failed;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    step = app.program;
    execve(app.program, app.arguments, app.environment);
failed:
    dprintf(2, "init: %s: %s\n", step, strerror(errno));
    _exit(127);
}

static struct { unsigned char bytes[TAIL_BYTES]; size_t length; } tail;

static void keep(const unsigned char *bytes, size_t length) {
    if (length > TAIL_BYTES) bytes += length - TAIL_BYTES, length = TAIL_BYTES;
    size_t over = tail.length + length > TAIL_BYTES ? tail.length + length - TAIL_BYTES : 0;
    memmove(tail.bytes, tail.bytes + over, tail.length - over);
    memcpy(tail.bytes + tail.length - over, bytes, length);
    tail.length += length - over;
}

/* Copies what is there; false when nothing will come any more. */
static bool copy(int from, bool kept) {
    unsigned char bytes[4096];
    ssize_t n = read(from, bytes, sizeof bytes);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    if (kept) keep(bytes, (size_t)n);
    for (ssize_t done = 0, m; done < n; done += m)
        if ((m = write(STDOUT_FILENO, bytes + done, (size_t)(n - done))) <= 0) break;
    return n > 0;
}

/* The last lines of standard error as JSON fields; a line that is too long loses its beginning. */
static void tail_fields(char *out, size_t size) {
    size_t end = tail.length, count = 0, to = 0;
    struct { size_t at, length; } lines[LINES_MAX];
    while (end > 0 && tail.bytes[end - 1] == '\n') end--;
    while (end > 0 && count < LINES_MAX) {
        size_t start = end;
        while (start > 0 && tail.bytes[start - 1] != '\n') start--;
        size_t length = end - start > LINE_BYTES ? LINE_BYTES : end - start;
        lines[count].at = end - length;
        lines[count++].length = length;
        end = start > 0 ? start - 1 : 0;
    }
    for (size_t i = 0; i < count && size - to > 6 * LINE_BYTES + 32; i++) {
        to += (size_t)snprintf(out + to, size - to, ",\"stderr %02zu\":", i + 1);
        to += quote(out + to, tail.bytes + lines[count - 1 - i].at, lines[count - 1 - i].length);
    }
}

__attribute__((noreturn)) static void finish(int status) {
    static char fields[FIELDS_BYTES];
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    int by = WIFSIGNALED(status) ? WTERMSIG(status) : -1;
    int n = code >= 0 ? snprintf(fields, sizeof fields, "\"code\":%d,\"signal\":null", code)
                      : snprintf(fields, sizeof fields, "\"code\":null,\"signal\":%d", by);
    tail_fields(fields + n, sizeof fields - (size_t)n);
    dprintf(STDERR_FILENO, "init: application ended: code %d, signal %d\n", code, by);
    report(code == 0 ? "info" : "error", "application ended", fields);
    restart();
}

/* Reaps every child that has ended; whether `pid` was among them. */
static bool reap(pid_t pid, int *status) {
    bool ended = false;
    for (;;) {
        int other;
        pid_t child = waitpid(-1, &other, WNOHANG);
        if (child <= 0) return ended;
        if (child == pid) *status = other, ended = true;
    }
}

void run_app(void) {
    int out[2], err[2], status = 0;
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, NULL);
    int ended = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
    if (ended < 0 || pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC)) fatal("pipes");
    pid_t pid = fork();
    if (pid < 0) fatal("fork");
    if (pid == 0) become_app(out[1], err[1]);
    close(out[1]);
    close(err[1]);
    fcntl(out[0], F_SETFL, O_NONBLOCK);
    fcntl(err[0], F_SETFL, O_NONBLOCK);
    alarm(0);
    struct pollfd waits[] = {{ended, POLLIN, 0}, {out[0], POLLIN, 0}, {err[0], POLLIN, 0}};
    for (bool over = false; !over;) {
        struct signalfd_siginfo info;
        if (poll(waits, 3, -1) < 0 && errno != EINTR) fatal("poll");
        for (int i = 1; i <= 2; i++)
            if (waits[i].revents && !copy(waits[i].fd, i == 2)) waits[i].fd = -1;
        if (waits[0].revents && read(ended, &info, sizeof info) > 0) over = reap(pid, &status);
    }
    alarm(END_SECONDS);
    kill(-1, SIGKILL);
    /* What is left in the pipes, at most what they hold; who still has the other end is dead by now. */
    for (int i = 1; i <= 2; i++)
        for (int n = 0; n < 32 && waits[i].fd >= 0 && copy(waits[i].fd, i == 2); n++) continue;
    finish(status);
}
