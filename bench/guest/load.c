/*
 * Both sides of a proxy between AF_VSOCK and TCP, so lean that what is measured is the proxy.
 *
 *   load echo PORT                            TCP on 127.0.0.1; says "ready", then sends everything back
 *   load ask CID PORT CONNECTIONS REQUESTS    one line of JSON: requests a second, in three ways
 *
 * A request is 64 bytes there and back; a connection has one under way. First one connection alone, then CONNECTIONS
 * that are new for each request, then CONNECTIONS that stay; of these it is also told how many were answered at all.
 * The last are last, since a proxy may leave some waiting for good. Half as many requests go before each, uncounted.
 * New connections are a quarter of REQUESTS, for what they take; those that stay are asked twice as many.
 *
 * Source: vsock(7), epoll(7).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/vm_sockets.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { REQUEST = 64, CHUNK = 65536, EVENTS = 64, CONNECTIONS_MAX = 1024, PATIENCE_MS = 30000, PAUSE_MS = 20 };

struct connection {
  int fd;
  size_t missing;
  int answered;
};

struct load {
  struct sockaddr_vm there;
  int connections;
  int renew;
};

static uint8_t chunk[CHUNK];
static struct connection all[CONNECTIONS_MAX];

static void stop(const char *what) {
  fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
  exit(1);
}

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void watch(int epoll, int fd, uint64_t tag) {
  struct epoll_event event = {.events = EPOLLIN, .data.u64 = tag};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) stop("epoll_ctl");
}

static void write_all(int fd, const uint8_t *bytes, size_t length) {
  while (length > 0) {
    ssize_t count = send(fd, bytes, length, MSG_NOSIGNAL);
    if (count < 0) return;
    bytes += count;
    length -= (size_t)count;
  }
}

static void echo(int port) {
  struct sockaddr_in here = {
      .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int on = 1, epoll = epoll_create1(EPOLL_CLOEXEC);
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (epoll < 0 || listener < 0) stop("socket");
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(listener, (struct sockaddr *)&here, sizeof here) || listen(listener, 4096)) stop("listen");
  watch(epoll, listener, (uint64_t)listener);
  puts("ready");
  fflush(stdout);
  for (;;) {
    struct epoll_event events[EVENTS];
    int count = epoll_wait(epoll, events, EVENTS, -1);
    for (int i = 0; i < count; i++) {
      int fd = (int)events[i].data.u64;
      if (fd == listener) {
        int accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (accepted < 0) continue;
        setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        watch(epoll, accepted, (uint64_t)accepted);
        continue;
      }
      ssize_t got = read(fd, chunk, CHUNK);
      if (got > 0) write_all(fd, chunk, (size_t)got);
      else close(fd);
    }
  }
}

static int dial(const struct sockaddr_vm *there) {
  for (int waited = 0;; waited += PAUSE_MS) {
    int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) stop("socket");
    if (!connect(fd, (const struct sockaddr *)there, sizeof *there)) return fd;
    /* A proxy that does not listen yet, or whose backlog is full. */
    if ((errno != ECONNRESET && errno != ETIMEDOUT) || waited >= PATIENCE_MS) stop("connect");
    close(fd);
    usleep(PAUSE_MS * 1000);
  }
}

static void ask(struct connection *each) {
  each->missing = REQUEST;
  write_all(each->fd, chunk, REQUEST);
}

static void begin(int epoll, const struct load *load, int i) {
  all[i].fd = dial(&load->there);
  watch(epoll, all[i].fd, (uint64_t)i);
  ask(&all[i]);
}

/* Gives how many a second. */
static double measure(const struct load *load, int requests) {
  int done = -(requests / 2), epoll = epoll_create1(EPOLL_CLOEXEC);
  double began = seconds();
  if (epoll < 0) stop("epoll");
  memset(all, 0, sizeof all);
  for (int i = 0; i < load->connections; i++) begin(epoll, load, i);
  while (done < requests) {
    struct epoll_event events[EVENTS];
    int count = epoll_wait(epoll, events, EVENTS, PATIENCE_MS);
    if (count <= 0) stop("no answer");
    for (int i = 0; i < count; i++) {
      struct connection *each = &all[events[i].data.u64];
      ssize_t got = read(each->fd, chunk, each->missing);
      if (got <= 0) stop("the proxy closed");
      if ((each->missing -= (size_t)got) > 0) continue;
      each->answered = 1;
      if (++done == 0) began = seconds();
      if (!load->renew) {
        ask(each);
        continue;
      }
      close(each->fd);
      begin(epoll, load, (int)(each - all));
    }
  }
  double took = seconds() - began;
  for (int i = 0; i < load->connections; i++) close(all[i].fd);
  close(epoll);
  return requests / took;
}

static void client(char **words) {
  struct sockaddr_vm there = {
      .svm_family = AF_VSOCK, .svm_cid = (unsigned)atoi(words[0]), .svm_port = (unsigned)atoi(words[1])};
  int many = atoi(words[2]), requests = atoi(words[3]), answered = 0;
  if (many < 1 || many > CONNECTIONS_MAX || requests < 8) stop("numbers");
  double alone = measure(&(struct load){there, 1, 0}, requests);
  double renewed = measure(&(struct load){there, many, 1}, requests / 4);
  double kept = measure(&(struct load){there, many, 0}, 2 * requests);
  for (int i = 0; i < many; i++) answered += all[i].answered;
  printf("{\"onePerSecond\":%.3f,\"manyPerSecond\":%.3f,\"manyAnswered\":%d,\"renewedPerSecond\":%.3f}\n", alone, kept,
         answered, renewed);
}

int main(int count, char **words) {
  if (count == 3 && !strcmp(words[1], "echo")) echo(atoi(words[2]));
  else if (count == 6 && !strcmp(words[1], "ask")) client(words + 2);
  else return 2;
  return 0;
}
