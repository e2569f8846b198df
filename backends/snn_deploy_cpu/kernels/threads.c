/* Threads that share out the rows of one convolution.
 *
 * Waking a thread takes longer than a small layer, so threads that have finished one stay awake for a moment and look for the
 * next. A thread that wakes too late is not waited for: its part has been computed by then. */
#include "kernels.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

enum { MOST_THREADS = 64, LOOKS = 40000, PARTS_EACH = 2 }; /* a look takes 15 to 50 ns */

typedef int64_t kernel(const maps *x, const void *weights, const void *geometry, const currents *target, const neurons *cells);

/* Parts of a convolution that threads take, each its own first; `saturated` adds up what they return. */
typedef struct {
    kernel *compute;
    const maps *x;
    const void *weights, *geometry;
    const currents *target;
    const neurons *cells;
    int64_t parts;
    atomic_bool taken[MOST_THREADS * PARTS_EACH], failed;
    _Atomic int64_t saturated;
} job;

enum { IDLE, OFFERED, BUSY };

static struct {
    pthread_mutex_t lock;
    pthread_cond_t offered;
    atomic_flag taken;
    atomic_int state[MOST_THREADS], asleep;
    job *present;
    int workers;
    bool expects_forks;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .offered = PTHREAD_COND_INITIALIZER, .taken = ATOMIC_FLAG_INIT};

static void look_away(int64_t looks) {
    if (looks % 256 == 255)
        sched_yield();
    else
#if defined(__x86_64__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        __asm__ volatile("yield");
#else
        sched_yield();
#endif
}

/* The same rows fall to the same thread in every layer, in whose cache they are, unless another one has nothing left to do. */
static void compute_parts(job *work, int64_t thread) {
    for (int64_t each = 0; each < work->parts; each++) {
        const int64_t part = (thread * PARTS_EACH + each) % work->parts;
        if (atomic_exchange(&work->taken[part], true)) continue;
        currents target = *work->target;
        const int64_t first = target.rows * part / work->parts, last = target.rows * (part + 1) / work->parts;
        const int64_t place = target.pitch ? first * target.pitch : part * target.columns * target.channels;
        target.out = (char *)target.out + place * target.number_bytes;
        target.row_begin += first, target.rows = last - first;
        const int64_t saturated = work->compute(work->x, work->weights, work->geometry, &target, work->cells);
        if (saturated < 0)
            work->failed = true;
        else
            work->saturated += saturated;
    }
}

static void *serve(void *own_state) {
    atomic_int *state = own_state;
    for (;;) {
        for (int64_t looks = 0; *state != OFFERED && looks < LOOKS; looks++) look_away(looks);
        if (*state != OFFERED) {
            pthread_mutex_lock(&pool.lock);
            pool.asleep++; /* before the last look: whoever offers looks at it afterwards */
            while (*state != OFFERED) pthread_cond_wait(&pool.offered, &pool.lock);
            pool.asleep--;
            pthread_mutex_unlock(&pool.lock);
        }
        int expected = OFFERED;
        if (!atomic_compare_exchange_strong(state, &expected, BUSY)) continue;
        compute_parts(pool.present, state - pool.state + 1);
        *state = IDLE;
    }
    return NULL;
}

/* A child process has none of the threads. */
static void forget_workers(void) {
    pthread_mutex_init(&pool.lock, NULL), pthread_cond_init(&pool.offered, NULL);
    for (int i = 0; i < pool.workers; i++) pool.state[i] = IDLE;
    pool.workers = pool.asleep = 0;
    atomic_flag_clear(&pool.taken);
}

static int start_workers(int wanted) {
    if (!pool.expects_forks) pool.expects_forks = !pthread_atfork(NULL, NULL, forget_workers);
    for (pthread_t thread; pool.expects_forks && pool.workers < wanted; pool.workers++) {
        if (pthread_create(&thread, NULL, serve, &pool.state[pool.workers])) break;
        pthread_detach(thread);
    }
    return MIN(pool.workers, wanted);
}

/* `compute` on rows of the target in parts, on up to `threads` threads; the caller's is among them, and does it all where
 * another caller has the rest. Where rows share one place, `out` has room for `threads * PARTS_EACH` of them. */
EXPORT int64_t share_rows(kernel *compute, const maps *x, const void *weights, const void *geometry, const currents *target,
                          const neurons *cells, int64_t threads) {
    const int64_t most = MIN(threads, MOST_THREADS);
    job work = {compute, x, weights, geometry, target, cells, MIN(most * PARTS_EACH, target->rows), .failed = false};
    const bool alone = most < 2 || atomic_flag_test_and_set(&pool.taken);
    const int workers = alone ? 0 : start_workers((int)most - 1);
    if (workers) pool.present = &work;
    for (int i = 0; i < workers; i++) pool.state[i] = OFFERED;
    if (workers && pool.asleep) {
        pthread_mutex_lock(&pool.lock);
        pthread_cond_broadcast(&pool.offered);
        pthread_mutex_unlock(&pool.lock);
    }
    compute_parts(&work, 0);
    for (int i = 0; i < workers; i++) {
        int expected = OFFERED; /* withdrawn from a thread that has not begun */
        if (!atomic_compare_exchange_strong(&pool.state[i], &expected, IDLE))
            for (int64_t looks = 0; pool.state[i] != IDLE; looks++) look_away(looks);
    }
    if (!alone) atomic_flag_clear(&pool.taken);
    return work.failed ? OUT_OF_MEMORY : work.saturated;
}

EXPORT int64_t parts_each(void) { return PARTS_EACH; }
