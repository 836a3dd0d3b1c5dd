/* The libuv side of the benches: each function does one measured piece of work and
 * returns the nanoseconds that it took. */
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <uv.h>

static uint64_t fired;

const char *tb_version(void) { return uv_version_string(); }

static void close_cb(uv_handle_t *h, void *arg) {
  (void)arg;
  if (!uv_is_closing(h)) uv_close(h, NULL);
}

static void finish(uv_loop_t *loop) {
  uv_walk(loop, close_cb, NULL);
  uv_run(loop, UV_RUN_DEFAULT);
  uv_loop_close(loop);
}

static void timer_cb(uv_timer_t *t) { (void)t; fired++; }
static void idle_cb(uv_idle_t *i) { (void)i; }

/* Turns with nothing due: one timer far away. */
uint64_t tb_turns(uint64_t n) {
  uv_loop_t loop;
  uv_timer_t far;
  uv_loop_init(&loop);
  uv_timer_init(&loop, &far);
  uv_timer_start(&far, timer_cb, 3600000, 0);
  uint64_t t0 = uv_hrtime();
  for (uint64_t i = 0; i < n; i++) uv_run(&loop, UV_RUN_NOWAIT);
  uint64_t took = uv_hrtime() - t0;
  finish(&loop);
  return took;
}

struct idle_run { uv_idle_t idle; uint64_t left; };

static void idle_count_cb(uv_idle_t *i) {
  struct idle_run *r = (struct idle_run *)i;
  if (--r->left == 0) uv_idle_stop(i);
}

/* Turns of one run, with an idle handle. */
uint64_t tb_idle_turns(uint64_t n) {
  uv_loop_t loop;
  struct idle_run r;
  r.left = n;
  uv_loop_init(&loop);
  uv_idle_init(&loop, &r.idle);
  uv_idle_start(&r.idle, n ? idle_count_cb : idle_cb);
  uint64_t t0 = uv_hrtime();
  uv_run(&loop, UV_RUN_DEFAULT);
  uint64_t took = uv_hrtime() - t0;
  finish(&loop);
  return took;
}

/* n timers: started with these delays (ms), and then either all stopped in this
 * order, or fired after the last is due. out: start, stop or fire. */
void tb_timers(uint64_t n, const uint32_t *delay, const uint32_t *order, int fire, uint64_t *out) {
  uv_loop_t loop;
  uv_timer_t *timers = malloc(n * sizeof(*timers));
  uv_loop_init(&loop);
  fired = 0;
  uint64_t t0 = uv_hrtime();
  for (uint64_t i = 0; i < n; i++) {
    uv_timer_init(&loop, &timers[i]);
    uv_timer_start(&timers[i], timer_cb, delay[i], 0);
  }
  uint64_t t1 = uv_hrtime();
  out[0] = t1 - t0;
  if (fire) {
    uint64_t due = 0;
    for (uint64_t i = 0; i < n; i++) if (delay[i] > due) due = delay[i];
    while (uv_hrtime() - t1 < (due + 2) * 1000000) {}
    uint64_t t2 = uv_hrtime();
    uv_run(&loop, UV_RUN_NOWAIT);
    out[1] = uv_hrtime() - t2;
    if (fired != n) abort();
  } else {
    uint64_t t2 = uv_hrtime();
    for (uint64_t i = 0; i < n; i++) uv_timer_stop(&timers[order[i]]);
    out[1] = uv_hrtime() - t2;
  }
  finish(&loop);
  free(timers);
}

/* n timers with delays from 1 ms, one ms longer for each `same`, are started; stopped and started
 * again; then the first `live` are restarted n times. out: the first start with the handles'
 * init, the second, the restarts. */
void tb_idle_timers(uint64_t n, uint32_t same, uint32_t live, uint64_t *out) {
  uv_loop_t loop;
  uint64_t count = n > live ? n : live;
  uv_timer_t *timers = malloc(count * sizeof(*timers));
  uv_loop_init(&loop);
  for (int again = 0; again < 2; again++) {
    uint64_t t0 = uv_hrtime();
    for (uint64_t i = 0; i < n; i++) {
      if (!again) uv_timer_init(&loop, &timers[i]);
      uv_timer_start(&timers[i], timer_cb, i / same + 1, 0);
    }
    out[again] = uv_hrtime() - t0;
    for (uint64_t i = n; i > 0; i--) uv_timer_stop(&timers[i - 1]);
  }
  for (uint64_t i = n; i < count; i++) uv_timer_init(&loop, &timers[i]);
  for (uint64_t i = 0; i < live; i++) uv_timer_start(&timers[i], timer_cb, 3600000, 0);
  uint64_t t0 = uv_hrtime();
  /* Its time stands still outside of a run: a millisecond passes for each 16,384. */
  for (uint64_t i = 0; i < n; i++)
    uv_timer_start(&timers[i % live], timer_cb, 3600000 + (i >> 14), 0);
  out[2] = uv_hrtime() - t0;
  finish(&loop);
  free(timers);
}

struct wakes {
  uv_async_t async;
  uv_thread_t thread;
  uint64_t n, took;
  volatile int done;
};

static void wakes_cb(uv_async_t *a) {
  struct wakes *w = (struct wakes *)a;
  if (w->done) uv_close((uv_handle_t *)a, NULL);
}

/* To the core where no loop is; the Rust side knows it. */
void tb_pin_client(void);

static void wakes_thread(void *arg) {
  tb_pin_client();
  struct wakes *w = arg;
  uint64_t t0 = uv_hrtime();
  for (uint64_t i = 0; i < w->n; i++) uv_async_send(&w->async);
  w->took = uv_hrtime() - t0;
  __atomic_store_n(&w->done, 1, __ATOMIC_SEQ_CST);
  uv_async_send(&w->async);
}

/* n wake-ups from another thread; the time of the calls. */
uint64_t tb_wakes(uint64_t n) {
  uv_loop_t loop;
  struct wakes w = { .n = n };
  uv_loop_init(&loop);
  uv_async_init(&loop, &w.async, wakes_cb);
  uv_thread_create(&w.thread, wakes_thread, &w);
  uv_run(&loop, UV_RUN_DEFAULT);
  uv_thread_join(&w.thread);
  finish(&loop);
  return w.took;
}

/* Posts: a queue under a mutex, and a wake-up for each. What every user of libuv
 * writes. */
struct node { struct node *next; void (*f)(void *); void *arg; };

struct posts {
  uv_async_t async;
  uv_mutex_t mutex;
  struct node *head, **tail;
  uint64_t left, each;
  sem_t answer;
};

static void post(struct posts *p, void (*f)(void *), void *arg) {
  struct node *n = malloc(sizeof(*n));
  n->next = NULL;
  n->f = f;
  n->arg = arg;
  uv_mutex_lock(&p->mutex);
  *p->tail = n;
  p->tail = &n->next;
  uv_mutex_unlock(&p->mutex);
  uv_async_send(&p->async);
}

static void posts_cb(uv_async_t *a) {
  struct posts *p = (struct posts *)a;
  uv_mutex_lock(&p->mutex);
  struct node *n = p->head;
  p->head = NULL;
  p->tail = &p->head;
  uv_mutex_unlock(&p->mutex);
  while (n) {
    struct node *next = n->next;
    n->f(n->arg);
    free(n);
    n = next;
  }
  if (p->left == 0) uv_close((uv_handle_t *)a, NULL);
}

static void count_down(void *arg) { ((struct posts *)arg)->left--; }

static void posts_thread(void *arg) {
  tb_pin_client();
  struct posts *p = arg;
  for (uint64_t i = 0; i < p->each; i++) post(p, count_down, p);
}

static void answer(void *arg) {
  struct posts *p = arg;
  p->left--;
  sem_post(&p->answer);
}

static void rounds_thread(void *arg) {
  tb_pin_client();
  struct posts *p = arg;
  for (uint64_t i = 0; i < p->each; i++) {
    post(p, answer, p);
    while (sem_wait(&p->answer) != 0) {}
  }
}

/* n posts from `threads` threads, or as many round trips from one. */
uint64_t tb_posts(uint64_t n, int threads, int round_trips) {
  uv_loop_t loop;
  struct posts p = { .each = n / threads };
  uv_thread_t t[16];
  p.left = p.each * threads;
  p.tail = &p.head;
  uv_loop_init(&loop);
  uv_mutex_init(&p.mutex);
  sem_init(&p.answer, 0, 0);
  uv_async_init(&loop, &p.async, posts_cb);
  uint64_t t0 = uv_hrtime();
  for (int i = 0; i < threads; i++)
    uv_thread_create(&t[i], round_trips ? rounds_thread : posts_thread, &p);
  uv_run(&loop, UV_RUN_DEFAULT);
  uint64_t took = uv_hrtime() - t0;
  for (int i = 0; i < threads; i++) uv_thread_join(&t[i]);
  finish(&loop);
  uv_mutex_destroy(&p.mutex);
  sem_destroy(&p.answer);
  return took;
}

struct jobs { uv_work_t req; uint64_t left; };

static void job_cb(uv_work_t *req) { (void)req; }

static void job_done_cb(uv_work_t *req, int status) {
  struct jobs *j = (struct jobs *)req;
  (void)status;
  if (--j->left) uv_queue_work(req->loop, req, job_cb, job_done_cb);
}

/* n round trips through the pool, one after another. */
uint64_t tb_jobs(uint64_t n) {
  uv_loop_t loop;
  struct jobs j = { .left = n };
  uv_loop_init(&loop);
  uint64_t t0 = uv_hrtime();
  uv_queue_work(&loop, &j.req, job_cb, job_done_cb);
  uv_run(&loop, UV_RUN_DEFAULT);
  uint64_t took = uv_hrtime() - t0;
  finish(&loop);
  return took;
}
