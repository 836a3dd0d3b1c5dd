/* Servers over libuv in its tightest idiomatic form: one read buffer for all, uv_try_write
 * first, and uv_write, with a copy, for what the kernel refused. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <malloc.h>
#include <poll.h>
#include <unistd.h>
#include <netinet/tcp.h>
#include <uv.h>

/* Since then each datagram of one call is a callback with a flag, as it is here understood. */
#if UV_VERSION_HEX >= 0x012800
#define TB_RECVMMSG
#endif

/* As `Mode`; termios.h has an ECHO of its own. */
enum { ACCEPT, ANSWER, ECHOES, DISCARD, BATCH, DATAGRAMS, ANSWERS, FLOODED, BULK };

struct tb_options {
  int listener, control, mode, backlog, udp;
  uint32_t messages; /* of BATCH */
  uint64_t work;     /* ns of each turn */
  uint64_t *stamps, stamps_len, *stamps_used;
  uint64_t *received; /* of FLOODED */
  int many;           /* datagrams by UV_UDP_RECVMMSG, if this libuv has it */
};

/* What is held, counted by the allocator of the Rust side. */
void tb_count(int64_t bytes);

static void *counted_malloc(size_t n) {
  void *p = malloc(n);
  if (p) tb_count((int64_t)malloc_usable_size(p));
  return p;
}
static void counted_free(void *p) {
  if (p) tb_count(-(int64_t)malloc_usable_size(p));
  free(p);
}
static void *counted_realloc(void *p, size_t n) {
  int64_t before = p ? (int64_t)malloc_usable_size(p) : 0;
  p = realloc(p, n);
  if (p) tb_count((int64_t)malloc_usable_size(p) - before);
  return p;
}
static void *counted_calloc(size_t n, size_t size) {
  void *p = calloc(n, size);
  if (p) tb_count((int64_t)malloc_usable_size(p));
  return p;
}

void tb_count_allocations(void) {
  uv_replace_allocator(counted_malloc, counted_realloc, counted_calloc, counted_free);
}

#define CHUNK 65536
/* The most that libuv receives by one recvmmsg. */
#define CHUNKS 20
struct conn { uv_tcp_t tcp; uv_write_t write; char *pending; };
struct server {
  uv_tcp_t tcp;
  uv_udp_t udp;
  uv_poll_t control;
  uv_check_t check;
  uv_timer_t tick;
  uint64_t armed;
  struct tb_options o;
  char *datagrams; /* of `many`: CHUNKS * CHUNK bytes */
  char buffer[CHUNK];
};

static void closed(uv_handle_t *h) {
  counted_free(((struct conn *)h)->pending);
  counted_free(h);
}
static void drop(struct conn *c) {
  if (!uv_is_closing((uv_handle_t *)&c->tcp)) uv_close((uv_handle_t *)&c->tcp, closed);
}
static struct server *of(const uv_handle_t *h) { return h->loop->data; }

static void room(uv_handle_t *h, size_t size, uv_buf_t *b) {
  (void)size;
  b->base = of(h)->buffer;
  b->len = CHUNK;
}
static void wide_room(uv_handle_t *h, size_t size, uv_buf_t *b) {
  (void)size;
  b->base = of(h)->datagrams;
  b->len = (size_t)CHUNKS * CHUNK;
}
static void got(uv_stream_t *s, ssize_t n, const uv_buf_t *b);
static void flushed(uv_write_t *w, int status) {
  struct conn *c = (struct conn *)w->handle;
  if (status < 0) { drop(c); return; }
  uv_read_start((uv_stream_t *)&c->tcp, room, got);
}
static void got(uv_stream_t *s, ssize_t n, const uv_buf_t *b) {
  struct conn *c = (struct conn *)s;
  if (n < 0) { drop(c); return; }
  int mode = of((uv_handle_t *)s)->o.mode;
  if (n == 0 || (mode != ECHOES && mode != FLOODED)) return;
  uv_buf_t out = uv_buf_init(b->base, (unsigned)n);
  int w = uv_try_write(s, &out, 1);
  if (w == n) return;
  if (w < 0 && w != UV_EAGAIN) { drop(c); return; }
  if (w < 0) w = 0;
  c->pending = counted_realloc(c->pending, CHUNK);
  memcpy(c->pending, b->base + w, (size_t)(n - w));
  out = uv_buf_init(c->pending, (unsigned)(n - w));
  uv_read_stop(s);
  uv_write(&c->write, s, &out, 1, flushed);
}

static void written(uv_write_t *w, int status) {
  (void)status;
  counted_free(w);
}
static void ended(uv_shutdown_t *r, int status) {
  (void)status;
  counted_free(r);
}
/* Each message is a request of its own, as libuv's own benchmark has it. */
static void batch(struct conn *c, uint32_t n) {
  static char text[] = "Hello, world.";
  for (uint32_t i = 0; i < n; i++) {
    uv_write_t *w = counted_malloc(sizeof *w);
    uv_buf_t b = uv_buf_init(text, sizeof text - 1);
    if (uv_write(w, (uv_stream_t *)&c->tcp, &b, 1, written)) counted_free(w);
  }
  uv_shutdown_t *r = counted_malloc(sizeof *r);
  if (uv_shutdown(r, (uv_stream_t *)&c->tcp, ended)) counted_free(r);
}

static void note(struct server *v, uint64_t ns) {
  if (v->o.stamps && *v->o.stamps_used < v->o.stamps_len)
    v->o.stamps[(*v->o.stamps_used)++] = ns;
}

static void connection(uv_stream_t *s, int status) {
  struct server *v = of((uv_handle_t *)s);
  if (status < 0) return;
  if (v->o.mode != FLOODED) note(v, uv_hrtime());
  struct conn *c = counted_malloc(sizeof *c);
  c->pending = NULL;
  uv_tcp_init(s->loop, &c->tcp);
  if (uv_accept(s, (uv_stream_t *)&c->tcp) || v->o.mode == ACCEPT) { drop(c); return; }
  if (v->o.mode == ANSWER) {
    uv_buf_t out = uv_buf_init("x", 1);
    uv_try_write((uv_stream_t *)&c->tcp, &out, 1);
  }
  uv_read_start((uv_stream_t *)&c->tcp, room, got);
  if (v->o.mode == BATCH) batch(c, v->o.messages);
}

static void datagram(uv_udp_t *u, ssize_t n, const uv_buf_t *b, const struct sockaddr *from,
                     unsigned flags) {
  (void)flags;
  if (n < 0 || !from) return;
  static char answer[512];
  int answers = of((uv_handle_t *)u)->o.mode == ANSWERS;
  uv_buf_t out = uv_buf_init(answers ? answer : b->base, answers ? sizeof answer : (unsigned)n);
  uv_udp_try_send(u, &out, 1, from);
}
static void sink(uv_udp_t *u, ssize_t n, const uv_buf_t *b, const struct sockaddr *from,
                 unsigned flags) {
  (void)b;
  (void)flags;
  if (n >= 0 && from) ++*of((uv_handle_t *)u)->o.received;
}
static void bulk(uv_udp_t *u, ssize_t n, const uv_buf_t *b, const struct sockaddr *from,
                 unsigned flags) {
  static char piece[1200];
  uint32_t left;
  (void)flags;
  if (n != sizeof left || !from) return;
  memcpy(&left, b->base, sizeof left);
  uv_buf_t out = uv_buf_init(piece, sizeof piece);
  while (left) {
    int sent = uv_udp_try_send(u, &out, 1, from);
    if (sent >= 0) left--;
    else if (sent != UV_EAGAIN) break;
  }
  note(of((uv_handle_t *)u), uv_hrtime());
}
static int serve_datagrams(struct server *v, int fd, uv_udp_recv_cb f) {
  int failed = uv_udp_open(&v->udp, fd);
  return failed ? failed : uv_udp_recv_start(&v->udp, v->datagrams ? wide_room : room, f);
}

static void ticked(uv_timer_t *t) {
  struct server *v = of((uv_handle_t *)t);
  uint64_t now = uv_hrtime(), due = v->armed + 1000000;
  note(v, now > due ? now - due : 0);
  v->armed = now;
  uv_timer_start(t, ticked, 1, 0);
}

/* The orders of `Server`: h, hold still until the next; g, go on; the end, stop. */
static void control(uv_poll_t *p, int status, int events) {
  struct server *v = of((uv_handle_t *)p);
  char order;
  (void)status;
  (void)events;
  for (;;) {
    ssize_t n = read(v->o.control, &order, 1);
    if (n < 0) return;
    if (n == 0) { uv_stop(p->loop); return; }
    if (order == 'h') {
      struct pollfd wait = { .fd = v->o.control, .events = POLLIN };
      if (write(v->o.control, "h", 1) == 1) while (poll(&wait, 1, -1) < 1) {}
    }
  }
}

static void work(uv_check_t *h) {
  uint64_t until = uv_hrtime() + of((uv_handle_t *)h)->o.work;
  while (uv_hrtime() < until) {}
}

static void close_any(uv_handle_t *h, void *arg) {
  struct server *v = arg;
  int own = h == (uv_handle_t *)&v->tcp || h == (uv_handle_t *)&v->control ||
            h == (uv_handle_t *)&v->udp || h == (uv_handle_t *)&v->check ||
            h == (uv_handle_t *)&v->tick;
  if (!uv_is_closing(h)) uv_close(h, own ? NULL : closed);
}

/* Serves until the control socket ends; 0, or libuv's error. */
int tb_serve(const struct tb_options *o) {
  uv_loop_t loop;
  struct server *v = counted_calloc(1, sizeof *v);
  v->o = *o;
  uv_loop_init(&loop);
  loop.data = v;
  uv_tcp_init(&loop, &v->tcp);
#ifdef TB_RECVMMSG
  if (o->many) {
    v->datagrams = counted_malloc((size_t)CHUNKS * CHUNK);
    uv_udp_init_ex(&loop, &v->udp, AF_UNSPEC | UV_UDP_RECVMMSG);
  } else
#endif
    uv_udp_init(&loop, &v->udp);
  uv_poll_init(&loop, &v->control, o->control);
  uv_poll_start(&v->control, UV_READABLE, control);
  uv_check_init(&loop, &v->check);
  if (o->work) uv_check_start(&v->check, work);
  uv_timer_init(&loop, &v->tick);
  int mode = o->mode, no_tcp = mode == DATAGRAMS || mode == ANSWERS || mode == BULK;
  int failed = 0;
  if (mode == FLOODED) {
    failed = serve_datagrams(v, o->udp, sink);
    v->armed = uv_hrtime();
    uv_timer_start(&v->tick, ticked, 1, 0);
  }
  if (!failed && no_tcp) failed = serve_datagrams(v, o->listener, mode == BULK ? bulk : datagram);
  if (!failed && !no_tcp) failed = uv_tcp_open(&v->tcp, o->listener);
  if (!failed && !no_tcp)
    failed = uv_listen((uv_stream_t *)&v->tcp, o->backlog, connection);
  if (!failed) uv_run(&loop, UV_RUN_DEFAULT);
  uv_walk(&loop, close_any, v);
  uv_run(&loop, UV_RUN_DEFAULT);
  uv_loop_close(&loop);
  counted_free(v->datagrams);
  counted_free(v);
  return failed;
}

/* Connects to a name, n times, one after another. */
struct named { uv_tcp_t tcp; uv_connect_t connect; uv_getaddrinfo_t lookup; uint64_t left; const char *port; };
static void next_named(uv_loop_t *loop, struct named *n);
static void named_closed(uv_handle_t *h) {
  struct named *n = (struct named *)h;
  if (--n->left) next_named(h->loop, n);
}
static void named_connected(uv_connect_t *r, int status) {
  if (status < 0) abort();
  if (uv_tcp_close_reset((uv_tcp_t *)r->handle, named_closed)) abort();
}
static void named_found(uv_getaddrinfo_t *r, int status, struct addrinfo *found) {
  struct named *n = r->data;
  if (status < 0) abort();
  uv_tcp_init(r->loop, &n->tcp);
  uv_tcp_connect(&n->connect, &n->tcp, found->ai_addr, named_connected);
  uv_freeaddrinfo(found);
}
static void next_named(uv_loop_t *loop, struct named *n) {
  struct addrinfo hints = { .ai_family = AF_INET, .ai_socktype = SOCK_STREAM };
  n->lookup.data = n;
  if (uv_getaddrinfo(loop, &n->lookup, named_found, "localhost", n->port, &hints)) abort();
}
uint64_t tb_named(uint64_t times, const char *port) {
  uv_loop_t loop;
  struct named n = { .left = times, .port = port };
  uv_loop_init(&loop);
  uint64_t t0 = uv_hrtime();
  next_named(&loop, &n);
  uv_run(&loop, UV_RUN_DEFAULT);
  uint64_t took = uv_hrtime() - t0;
  uv_loop_close(&loop);
  return took;
}
