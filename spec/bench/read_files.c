/*
 * The reference for the row `files`: COUNT small files read in plain C on
 * libuv's pool.
 *
 *     bench_read_files [COUNT]
 *
 * A hundred requests are under way; each reads its file from beginning to end
 * in one go of a thread, and is submitted again from the loop. The first tenth
 * only warms up.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

enum { READERS = 100, SIZE = 1024 };

struct reader {
    uv_work_t work;
    char path[64];
    size_t left, got;
};

static double cpu_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void read_file(uv_work_t *work) {
    struct reader *r = (struct reader *)work;
    int fd = open(r->path, O_RDONLY | O_CLOEXEC);
    struct stat info;
    char *data;
    ssize_t size;
    if (fd < 0 || fstat(fd, &info) != 0)
        abort();
    data = malloc((size_t)info.st_size + 1);
    r->got = 0;
    while ((size = read(fd, data + r->got, (size_t)info.st_size + 1 - r->got)) >
           0)
        r->got += (size_t)size;
    close(fd);
    free(data);
}

static void on_read(uv_work_t *work, int status) {
    struct reader *r = (struct reader *)work;
    if (status != 0 || r->got != SIZE)
        abort();
    if (--r->left > 0)
        uv_queue_work(work->loop, work, read_file, on_read);
}

static void run(uv_loop_t *loop, struct reader *readers, size_t count) {
    for (int i = 0; i < READERS; i++) {
        readers[i].left = count / READERS;
        uv_queue_work(loop, &readers[i].work, read_file, on_read);
    }
    uv_run(loop, UV_RUN_DEFAULT);
}

static void write_file(const char *path) {
    char data[SIZE];
    FILE *file = fopen(path, "w");
    memset(data, 'x', sizeof(data));
    if (file == NULL || fwrite(data, SIZE, 1, file) != 1 || fclose(file) != 0)
        abort();
}

int main(int argc, char **argv) {
    static struct reader readers[READERS];
    size_t count = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000;
    char directory[] = "/tmp/bench_read_files.XXXXXX";
    uv_loop_t loop;
    double began, began_cpu, seconds, cpu;
    if (mkdtemp(directory) == NULL || uv_loop_init(&loop) != 0)
        return 1;
    for (int i = 0; i < READERS; i++) {
        snprintf(readers[i].path, sizeof(readers[i].path), "%s/%d", directory,
                 i);
        write_file(readers[i].path);
    }
    run(&loop, readers, count / 10);
    began = (double)uv_hrtime() * 1e-9;
    began_cpu = cpu_now();
    run(&loop, readers, count);
    seconds = (double)uv_hrtime() * 1e-9 - began;
    cpu = cpu_now() - began_cpu;
    for (int i = 0; i < READERS; i++)
        unlink(readers[i].path);
    rmdir(directory);
    printf("operations=%zu\nseconds=%.6f\ncpu=%.6f\n",
           count / READERS * READERS, seconds, cpu);
    return 0;
}
