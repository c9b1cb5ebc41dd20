/*
 * The reference for the row `spawn_process`: a program started by posix_spawn
 * and waited for, COUNT times.
 *
 *     bench_spawn_processes [COUNT]
 *
 * Its output and errors come through pipes that are read to their end, as
 * process.run does. A tenth of the count warms up.
 */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void read_all(int fd) {
    char buffer[4096];
    while (read(fd, buffer, sizeof(buffer)) > 0)
        continue;
    close(fd);
}

static void run_once(void) {
    char name[] = "true";
    char *words[] = {name, NULL};
    posix_spawn_file_actions_t actions;
    int out[2], err[2], status;
    pid_t pid;
    if (pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0)
        abort();
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    posix_spawn_file_actions_adddup2(&actions, err[1], 2);
    if (posix_spawnp(&pid, name, &actions, NULL, words, environ) != 0)
        abort();
    posix_spawn_file_actions_destroy(&actions);
    close(out[1]);
    close(err[1]);
    read_all(out[0]);
    read_all(err[0]);
    if (waitpid(pid, &status, 0) != pid || status != 0)
        abort();
}

int main(int argc, char **argv) {
    int count = argc > 1 ? atoi(argv[1]) : 1000;
    double began;
    for (int i = 0; i < count / 10; i++)
        run_once();
    began = now();
    for (int i = 0; i < count; i++)
        run_once();
    printf("operations=%d\nseconds=%.6f\n", count, now() - began);
    return 0;
}
