/*
 * Credits the kernel's random number generator with bytes from the Nitro Secure Module.
 *
 * An enclave has no other source at boot. A reply that is not exactly NSM's, that is all zero or that repeats the one
 * before is refused: a generator seeded with it would look well and be known to others.
 *
 * Source: Linux include/uapi/linux/nsm.h; aws-nitro-enclaves-nsm-api, src/api/mod.rs; random(4).
 */
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { NSM_MS = 5000, NSM_TRIES = 32, ENTROPY_BYTES = 512, RANDOM_MIN = 16, RANDOM_MAX = 256, REPLY_MAX = 0x3000 };

struct nsm_raw { uint64_t request, request_length, response, response_length; };
#define NSM_IOCTL_RAW _IOWR(0x0a, 0, struct nsm_raw)

static int open_nsm(void) {
    int64_t deadline = now_ms() + NSM_MS;
    for (;;) {
        int fd = open("/dev/nsm", O_RDWR | O_CLOEXEC);
        if (fd >= 0) return fd;
        if (errno != ENOENT || now_ms() >= deadline) fatal("/dev/nsm");
        rest_ms(10);
    }
}

/* Reads {"GetRandom": {"random": h'…'}} and nothing else; the random bytes and their number, 0 when it is not that. */
static size_t random_of(const unsigned char *reply, size_t length, const unsigned char **random) {
    static const unsigned char head[] = "\xa1\x69" "GetRandom" "\xa1\x66" "random";
    size_t at = sizeof head - 1, size;
    if (length < at + 1 || memcmp(reply, head, at)) return 0;
    unsigned char type = reply[at++];
    if (type >= 0x40 && type < 0x58) size = type - 0x40u;
    else if (type == 0x58 && length > at) size = reply[at], at += 1;
    else if (type == 0x59 && length > at + 1) size = (size_t)reply[at] << 8 | reply[at + 1], at += 2;
    else return 0;
    *random = reply + at;
    return size == length - at ? size : 0;
}

void credit_entropy(void) {
    static const char request[] = "\x69" "GetRandom";
    static struct { int bits, size; unsigned char bytes[ENTROPY_BYTES]; } pool;
    static unsigned char reply[REPLY_MAX], before[RANDOM_MAX], zero[RANDOM_MAX];
    size_t filled = 0;
    int fd = open_nsm();
    for (int i = 0; filled < ENTROPY_BYTES; i++) {
        struct nsm_raw raw = {(uintptr_t)request, sizeof request - 1, (uintptr_t)reply, sizeof reply};
        const unsigned char *random = NULL;
        if (i == NSM_TRIES) invalid("NSM random bytes: too few");
        if (ioctl(fd, NSM_IOCTL_RAW, &raw)) fatal("NSM GetRandom");
        size_t size = raw.response_length <= sizeof reply ? random_of(reply, raw.response_length, &random) : 0;
        if (size < RANDOM_MIN || size > sizeof before) invalid("NSM GetRandom: reply");
        if (!memcmp(random, zero, size) || !memcmp(random, before, size)) invalid("NSM random bytes: zero or repeated");
        memcpy(before, random, size);
        if (size > ENTROPY_BYTES - filled) size = ENTROPY_BYTES - filled;
        memcpy(pool.bytes + filled, random, size);
        filled += size;
    }
    close(fd);
    fd = open("/dev/random", O_RDWR | O_CLOEXEC);
    pool.bits = 8 * ENTROPY_BYTES;
    pool.size = ENTROPY_BYTES;
    if (fd < 0 || ioctl(fd, RNDADDENTROPY, &pool)) fatal("entropy");
    close(fd);
    explicit_bzero(&pool, sizeof pool);
    explicit_bzero(reply, sizeof reply);
    explicit_bzero(before, sizeof before);
}
