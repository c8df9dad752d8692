/*
 * Makes a Linux system: the root directory, the mounts, the console, the loopback interface and the kernel's modules.
 *
 * The application's files can not stand in the way: the mounts are made below the new root, where a link in the
 * application's ramdisk leads nowhere else, and the modules are read through a folder opened before.
 */
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MODULES_BYTES = 4096, CMDLINE_BYTES = 4096 };

/* A file of at most `size` - 1 bytes, NUL after its end. */
size_t read_file(int folder, const char *path, char *bytes, size_t size) {
    size_t filled = 0;
    int fd = openat(folder, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) fatal(path);
    while (filled < size) {
        ssize_t n = read(fd, bytes + filled, size - filled);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) fatal(path);
        if (n == 0) break;
        filled += (size_t)n;
    }
    close(fd);
    if (filled == size) invalid(path);
    bytes[filled] = 0;
    return filled;
}

void enter_root(void) {
    if (mount("/rootfs", "/rootfs", NULL, MS_BIND, NULL) || chdir("/rootfs") ||
        mount(".", "/", NULL, MS_MOVE, NULL) || chroot(".") || chdir("/"))
        fatal("root");
}

void mount_all(void) {
    static const struct { const char *path, *type, *options; unsigned long flags; } mounts[] = {
        {"/proc", "proc", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC},
        {"/sys", "sysfs", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC},
        {"/dev", "devtmpfs", "mode=0755", MS_NOSUID | MS_NOEXEC},
        {"/dev/pts", "devpts", "mode=0620,ptmxmode=0666", MS_NOSUID | MS_NOEXEC},
        {"/dev/shm", "tmpfs", "mode=1777", MS_NOSUID | MS_NODEV | MS_NOEXEC},
        {"/tmp", "tmpfs", "mode=1777", MS_NOSUID | MS_NODEV},
        {"/run", "tmpfs", "mode=0755", MS_NOSUID | MS_NODEV | MS_NOEXEC},
    };
    for (size_t i = 0; i < sizeof mounts / sizeof *mounts; i++) {
        if (mkdir(mounts[i].path, 0755) && errno != EEXIST) fatal(mounts[i].path);
        if (mount(mounts[i].type, mounts[i].path, mounts[i].type, mounts[i].flags, mounts[i].options))
            fatal(mounts[i].path);
    }
    if (symlink("/proc/self/fd", "/dev/fd") && errno != EEXIST) fatal("/dev/fd");
}

void open_console(void) {
    int fd = open("/dev/console", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (fd < 0) fatal("console");
    for (int i = 0; i <= STDERR_FILENO; i++)
        if (dup2(fd, i) < 0) fatal("console");
    if (fd > STDERR_FILENO) close(fd);
}

enum platform read_platform(void) {
    static char line[CMDLINE_BYTES];
    enum platform platform = NITRO;
    int said = 0;
    read_file(AT_FDCWD, "/proc/cmdline", line, sizeof line);
    for (char *word = strtok(line, " \t\n"); word; word = strtok(NULL, " \t\n")) {
        if (strncmp(word, "cloister.platform=", 18)) continue;
        if (said++) invalid("cloister.platform");
        if (!strcmp(word + 18, "emulated")) platform = EMULATED;
        else if (!strcmp(word + 18, "guest")) platform = GUEST;
        else if (strcmp(word + 18, "nitro")) invalid("cloister.platform");
    }
    return platform;
}

void raise_loopback(void) {
    struct ifreq request = {.ifr_name = "lo"};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &request)) fatal("lo");
    request.ifr_flags |= IFF_UP | IFF_RUNNING;
    if (ioctl(fd, SIOCSIFFLAGS, &request)) fatal("lo");
    close(fd);
}

void load_modules(int folder) {
    static char order[MODULES_BYTES];
    read_file(folder, "order", order, sizeof order);
    for (char *name = strtok(order, "\n"); name; name = strtok(NULL, "\n")) {
        int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (strchr(name, '/') || fd < 0) fatal(name);
        /* EEXIST: this kernel has it built in. */
        if (syscall(SYS_finit_module, fd, "", 0) && errno != EEXIST) fatal(name);
        close(fd);
    }
    close(folder);
}
