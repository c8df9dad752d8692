/*
 * What the parts of init share. The order of the steps is in init.c.
 */
#ifndef CLOISTER_INIT_H
#define CLOISTER_INIT_H

#define _GNU_SOURCE
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum platform { NITRO, EMULATED, GUEST };

/* How long the boot may take, and after the application's end what is left to do, in seconds. */
enum { BOOT_SECONDS = 90, END_SECONDS = 15 };

/* What a report holds of standard error: the last lines, and the end of each. */
enum { LINES_MAX = 16, LINE_BYTES = 512, FIELDS_BYTES = LINES_MAX * (6 * LINE_BYTES + 32) + 64 };

/* parent.c */
__attribute__((noreturn)) void restart(void);
/* Prints and reports "init: <what>: <errno>", then reboots. */
__attribute__((noreturn)) void fatal(const char *what);
__attribute__((noreturn)) void invalid(const char *what);
void on_alarm(int number);
int64_t now_ms(void);
void rest_ms(long ms);
size_t quote(char *out, const unsigned char *bytes, size_t length);
/* Sends one log event, once; `fields` is the inside of a JSON object. */
void report(const char *level, const char *event, const char *fields);
void heartbeat(enum platform platform);

/* system.c */
size_t read_file(int folder, const char *path, char *bytes, size_t size);
void enter_root(void);
void mount_all(void);
void open_console(void);
enum platform read_platform(void);
void raise_loopback(void);
void load_modules(int folder);

/* entropy.c */
void credit_entropy(void);

/* app.c */
void read_exec(void);
__attribute__((noreturn)) void run_app(void);

#endif
