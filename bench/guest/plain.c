/*
 * What a C program gets of the same kernel: the floor beside which the drivers are measured.
 *
 *   plain server PORT                        says "ready", then serves one connection after the other
 *   plain client PORT BYTES TRIPS            one line of JSON: throughput and round trip
 *   plain nsm HEX HEX CALLS                  one line of JSON: calls a second of the first request, of the second
 *
 * A connection begins with a count, 8 bytes, big-endian. So many bytes are then taken and answered with one byte; where
 * the count is 0, everything is sent back. Blocking calls, one thread, buffers of the size that Node reads with.
 *
 * Source: vsock(7); Linux include/uapi/linux/nsm.h.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 65536, WARM_TRIPS = 200, WARM_PART = 8, WARM_CALLS = 20 };
enum { NSM_REQUEST_MAX = 0x1000, NSM_RESPONSE_MAX = 0x3000 };

struct nsm_raw {
  struct {
    uint64_t addr, len;
  } request, response;
};
#define NSM_IOCTL_RAW _IOWR(0x0A, 0x0, struct nsm_raw)

static uint8_t chunk[CHUNK];

static void stop(const char *what) {
  fprintf(stderr, "plain: %s: %s\n", what, strerror(errno));
  exit(1);
}

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static size_t read_some(int fd, void *into, size_t most) {
  ssize_t count = read(fd, into, most);
  if (count < 0) stop("read");
  return (size_t)count;
}

static void write_all(int fd, const uint8_t *bytes, size_t length) {
  while (length > 0) {
    ssize_t count = write(fd, bytes, length);
    if (count < 0) stop("write");
    bytes += count;
    length -= (size_t)count;
  }
}

static struct sockaddr_vm place(unsigned cid, const char *port) {
  return (struct sockaddr_vm){.svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = (unsigned)strtoul(port, NULL, 10)};
}

static int open_socket(void) {
  int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) stop("socket");
  return fd;
}

static void serve(int fd) {
  uint8_t header[8];
  uint64_t expected = 0;
  for (size_t have = 0; have < sizeof header;) {
    size_t count = read_some(fd, header + have, sizeof header - have);
    if (count == 0) return;
    have += count;
  }
  for (size_t i = 0; i < sizeof header; i++) expected = expected << 8 | header[i];
  if (expected == 0) {
    for (size_t count; (count = read_some(fd, chunk, CHUNK)) > 0;) write_all(fd, chunk, count);
    return;
  }
  for (size_t count; expected > 0; expected -= count) {
    if ((count = read_some(fd, chunk, CHUNK)) == 0) return;
  }
  write_all(fd, chunk, 1);
}

static void server(const char *port) {
  struct sockaddr_vm here = place(VMADDR_CID_ANY, port);
  int listener = open_socket();
  if (bind(listener, (struct sockaddr *)&here, sizeof here) || listen(listener, 8)) stop("listen");
  puts("ready");
  fflush(stdout);
  for (;;) {
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) stop("accept");
    serve(fd);
    close(fd);
  }
}

static int dial(const char *port, uint64_t count) {
  struct sockaddr_vm there = place(VMADDR_CID_LOCAL, port);
  uint8_t header[8];
  int fd = open_socket();
  if (connect(fd, (struct sockaddr *)&there, sizeof there)) stop("connect");
  for (int i = 0; i < 8; i++) header[i] = (uint8_t)(count >> (56 - 8 * i));
  write_all(fd, header, sizeof header);
  return fd;
}

static double throughput(const char *port, uint64_t bytes) {
  int fd = dial(port, bytes);
  double began = seconds();
  for (uint64_t left = bytes; left > 0;) {
    size_t count = left < CHUNK ? (size_t)left : CHUNK;
    write_all(fd, chunk, count);
    left -= count;
  }
  if (read_some(fd, chunk, 1) != 1) stop("answer");
  double took = seconds() - began;
  close(fd);
  return (double)bytes / 1048576 / took;
}

static double trip(int fd) {
  uint8_t byte = 1;
  double began = seconds();
  write_all(fd, &byte, 1);
  if (read_some(fd, &byte, 1) != 1) stop("echo");
  return 1e6 * (seconds() - began);
}

static int ascending(const void *a, const void *b) {
  double left = *(const double *)a, right = *(const double *)b;
  return (left > right) - (left < right);
}

static void client(const char *port, uint64_t bytes, size_t count) {
  throughput(port, bytes / WARM_PART);
  double rate = throughput(port, bytes);
  int fd = dial(port, 0);
  double *trips = calloc(count, sizeof *trips);
  if (!trips) stop("memory");
  for (int i = 0; i < WARM_TRIPS; i++) trip(fd);
  for (size_t i = 0; i < count; i++) trips[i] = trip(fd);
  qsort(trips, count, sizeof *trips, ascending);
  printf("{\"mibPerSecond\":%.3f,\"medianUs\":%.3f,\"p99Us\":%.3f}\n", rate, trips[(count + 1) / 2 - 1],
         trips[(count * 99 + 99) / 100 - 1]);
  close(fd);
  free(trips);
}

static size_t from_hex(const char *text, uint8_t *into) {
  size_t length = strlen(text) / 2;
  if (length > NSM_REQUEST_MAX) length = NSM_REQUEST_MAX;
  for (size_t i = 0; i < length; i++) {
    char pair[3] = {text[2 * i], text[2 * i + 1], 0};
    into[i] = (uint8_t)strtoul(pair, NULL, 16);
  }
  return length;
}

static double calls_per_second(int fd, const char *hex, int count) {
  static uint8_t request[NSM_REQUEST_MAX], response[NSM_RESPONSE_MAX];
  size_t length = from_hex(hex, request);
  double began = 0;
  for (int i = -WARM_CALLS; i < count; i++) {
    if (i == 0) began = seconds();
    struct nsm_raw raw = {.request = {(uintptr_t)request, length}, .response = {(uintptr_t)response, sizeof response}};
    if (ioctl(fd, NSM_IOCTL_RAW, &raw) < 0) stop("ioctl");
    /* A map of one entry; an error of the device's is a map as well, with a name of five letters. */
    if (response[0] != 0xa1 || response[1] == 0x65) stop("the device refuses");
  }
  return count / (seconds() - began);
}

static void nsm(const char *first, const char *second, int count) {
  int fd = open("/dev/nsm", O_RDWR | O_CLOEXEC);
  if (fd < 0) stop("/dev/nsm");
  printf("{\"attestPerSecond\":%.3f,", calls_per_second(fd, first, count));
  printf("\"describePcrPerSecond\":%.3f}\n", calls_per_second(fd, second, count));
  close(fd);
}

int main(int count, char **words) {
  if (count == 3 && !strcmp(words[1], "server")) server(words[2]);
  else if (count == 5 && !strcmp(words[1], "client"))
    client(words[2], strtoull(words[3], NULL, 10), strtoul(words[4], NULL, 10));
  else if (count == 5 && !strcmp(words[1], "nsm")) nsm(words[2], words[3], atoi(words[4]));
  else return 2;
  return 0;
}
