/*
 * The first process of an enclave: makes a Linux system of two ramdisks, runs one application, tells how it ended.
 *
 *   1. root       /rootfs becomes the root directory; proc, sys, dev, tmp, run are mounted in it
 *   2. modules    those that /modules/order names, in that order
 *   3. entropy    512 bytes from NSM are credited to the kernel before anything here can want a key
 *   4. heartbeat  0xB7 to the parent's port 9000 and back, which is what nitro-cli waits for
 *   5. run        /cloister/exec says what (format: docs/images.md); its environment is that file's and no other
 *   6. report     exit code, signal and the last lines of standard error, to the parent's log port
 *
 * Every failure is printed as "init: <what>: <why>", told to the parent where vsock works, and ends in a reboot; so does
 * the application's end. Each wait has a limit, and a watchdog stands behind the limits. Nothing is read from outside
 * but the parent's one byte and NSM's random bytes: command line, modules and exec file are measured.
 * /proc/cmdline may say cloister.platform=emulated (a parent need not answer) or =guest (no NSM and no parent either,
 * for the test guests that are no enclaves); without it this is a Nitro Enclave and both are required.
 */
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

int main(void) {
    /* On any other system this program would do nothing but harm. */
    if (getpid() != 1) {
        dprintf(STDERR_FILENO, "init: not the first process\n");
        return 2;
    }
    signal(SIGALRM, on_alarm);
    alarm(BOOT_SECONDS);
    int modules = open("/modules", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (modules < 0) fatal("/modules");
    read_exec();
    enter_root();
    mount_all();
    open_console();
    enum platform platform = read_platform();
    load_modules(modules);
    raise_loopback();
    if (platform != GUEST) credit_entropy();
    if (platform != GUEST) heartbeat(platform);
    run_app();
}
