/*
 * The row `memory`: what an idle connection costs a line echo server.
 *
 *     bench_idle_memory HOST PORT CONNECTIONS SERVER_PID
 *
 * Each connection is made, echoes one line, so that its task is known to wait
 * for the next, and then stays. The first WARM ones are not counted: they pay
 * for what the server allocates once. Prints the growth of the server's
 * resident memory per connection.
 */
#include "client.h"

#define WARM 200

static void make_idle(const char *host, int port, size_t count) {
    for (size_t i = 0; i < count; i++) {
        char line[32], answer[32];
        int length = snprintf(line, sizeof(line), "connection %zu\n", i);
        int fd = connect_to(host, port);
        send_all(fd, line, (size_t)length);
        receive_all(fd, answer, (size_t)length);
        if (memcmp(line, answer, (size_t)length) != 0)
            fail("wrong reply");
    }
}

static double resident_bytes(int pid) {
    char path[64];
    long total, resident;
    snprintf(path, sizeof(path), "/proc/%d/statm", pid);
    FILE *file = fopen(path, "r");
    if (file == NULL || fscanf(file, "%ld %ld", &total, &resident) != 2)
        fail("%s cannot be read", path);
    fclose(file);
    return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

int main(int argc, char **argv) {
    if (argc < 5) {
        fprintf(stderr, "usage: %s HOST PORT CONNECTIONS SERVER_PID\n",
                argv[0]);
        return 2;
    }
    int port = atoi(argv[2]), pid = atoi(argv[4]);
    size_t count = strtoul(argv[3], NULL, 10);
    raise_file_limit();
    make_idle(argv[1], port, WARM);
    double before = resident_bytes(pid);
    make_idle(argv[1], port, count);
    double after = resident_bytes(pid);
    printf("connections=%zu\nbefore=%.0f\nafter=%.0f\nbytes=%.1f\n", count,
           before, after, (after - before) / (double)count);
    return 0;
}
