/*
 * The row `startup`: the time from exec to the first byte of output.
 *
 *     bench_startup RUNS COMMAND [ARGS...]
 *
 * Prints the median and the least of RUNS runs, after one that warms up.
 */
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static void fail(const char *what, const char *why) {
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* -> the process, whose standard output can be read from `*out` */
static pid_t start(char **command, int *out) {
    posix_spawn_file_actions_t actions;
    pid_t pid;
    int ends[2];
    if (pipe(ends) < 0)
        fail("pipe", strerror(errno));
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    posix_spawn_file_actions_addclose(&actions, ends[1]);
    int error =
        posix_spawnp(&pid, command[0], &actions, NULL, command, environ);
    if (error != 0)
        fail(command[0], strerror(error));
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    *out = ends[0];
    return pid;
}

static double time_one(char **command) {
    char output[256];
    int out, status;
    double began = now();
    pid_t pid = start(command, &out);
    ssize_t n = read(out, output, sizeof(output));
    double seconds = now() - began;
    if (n <= 0)
        fail(command[0], "no output");
    while (read(out, output, sizeof(output)) > 0)
        continue;
    close(out);
    waitpid(pid, &status, 0);
    if (status != 0)
        fail(command[0], "failed");
    return seconds;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    size_t runs = argc > 2 ? strtoul(argv[1], NULL, 10) : 0;
    double *seconds = calloc(runs + 1, sizeof(double));
    if (runs == 0 || seconds == NULL) {
        fprintf(stderr, "usage: %s RUNS COMMAND [ARGS...]\n", argv[0]);
        return 2;
    }
    for (size_t i = 0; i <= runs; i++)
        seconds[i] = time_one(argv + 2);
    qsort(seconds + 1, runs, sizeof(double), compare);
    printf("runs=%zu\nseconds=%.6f\nleast=%.6f\n", runs, seconds[1 + runs / 2],
           seconds[1]);
    free(seconds);
    return 0;
}
