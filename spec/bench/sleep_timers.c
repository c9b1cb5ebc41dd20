/*
 * The reference for the row `sleep`: COUNT timers at once in plain C on libuv.
 *
 *     bench_sleep_timers [COUNT [ROUNDS]]
 *
 * Timer i sleeps 1 + i % 10 ms. Each is an allocation of its own that is
 * closed and freed when it has fired, as a request that sleeps would be. A
 * round is timed from the first start to the last fire. Prints the median
 * round; the first one only warms up.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <uv.h>

struct job {
    size_t left;
    double fired; /* when the last one did */
    double fired_cpu;
};

struct sleeper {
    uv_timer_t timer;
    struct job *job;
};

static double cpu_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double now(void) {
    return (double)uv_hrtime() * 1e-9;
}

static void on_close(uv_handle_t *handle) {
    free(handle);
}

static void on_timer(uv_timer_t *timer) {
    struct job *job = ((struct sleeper *)timer)->job;
    if (--job->left == 0) {
        job->fired = now();
        job->fired_cpu = cpu_now();
    }
    uv_close((uv_handle_t *)timer, on_close);
}

static void start_one(uv_loop_t *loop, struct job *job, unsigned delay) {
    struct sleeper *sleeper = malloc(sizeof(*sleeper));
    if (sleeper == NULL)
        abort();
    sleeper->job = job;
    uv_timer_init(loop, &sleeper->timer);
    uv_timer_start(&sleeper->timer, on_timer, delay, 0);
}

static void run_round(uv_loop_t *loop, size_t count, double *wall,
                      double *cpu) {
    struct job job = {.left = count};
    double began = now();
    double began_cpu = cpu_now();
    uv_update_time(loop);
    for (size_t i = 0; i < count; i++)
        start_one(loop, &job, 1 + (unsigned)(i % 10));
    uv_run(loop, UV_RUN_DEFAULT);
    *wall = job.fired - began;
    *cpu = job.fired_cpu - began_cpu;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    size_t count = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000;
    size_t rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : 5;
    double *wall = calloc(rounds + 1, sizeof(double));
    double *cpu = calloc(rounds + 1, sizeof(double));
    uv_loop_t loop;
    if (wall == NULL || cpu == NULL || count == 0 || rounds == 0 ||
        uv_loop_init(&loop) != 0)
        return 1;
    for (size_t i = 0; i <= rounds; i++)
        run_round(&loop, count, &wall[i], &cpu[i]);
    qsort(wall + 1, rounds, sizeof(double), compare);
    qsort(cpu + 1, rounds, sizeof(double), compare);
    printf("operations=%zu\nseconds=%.6f\ncpu=%.6f\n", count,
           wall[1 + rounds / 2], cpu[1 + rounds / 2]);
    free(cpu);
    free(wall);
    return uv_loop_close(&loop) == 0 ? 0 : 1;
}
