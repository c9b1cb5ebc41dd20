/*
 * The load of the row tls_echo.
 *
 *     bench_tls_load HOST PORT CONNECTIONS SIZE WARMUP SECONDS SERVER_PID
 *
 * Every connection has one chunk of SIZE bytes in flight, which is compared
 * when it has come back. Both sides get the same cipher. Prints key=value
 * lines, as bench_load does.
 */
#include "client.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/epoll.h>

#define EVENTS 64

struct connection {
    SSL *ssl;
    size_t received;
};

static char *chunk, *input;
static size_t chunk_size;
static uint64_t completed;

static void send_chunk(struct connection *conn) {
    size_t written;
    ERR_clear_error();
    if (!SSL_write_ex(conn->ssl, chunk, chunk_size, &written) ||
        written != chunk_size)
        fail("send");
    conn->received = 0;
}

static void receive(struct connection *conn) {
    size_t size;
    ERR_clear_error();
    while (SSL_read_ex(conn->ssl, input, chunk_size - conn->received, &size)) {
        if (memcmp(input, chunk + conn->received, size) != 0)
            fail("other bytes came back");
        conn->received += size;
        if (conn->received == chunk_size) {
            completed++;
            send_chunk(conn);
        }
    }
    if (SSL_get_error(conn->ssl, 0) != SSL_ERROR_WANT_READ)
        fail("connection closed");
}

static SSL_CTX *new_context(void) {
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (context == NULL ||
        !SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256"))
        fail("no TLS");
    return context;
}

/* The handshake blocks; what follows does not. One chunk fits the buffers of
 * the kernel, so that a write never has to wait. */
static void open_connection(struct connection *conn, SSL_CTX *context,
                            const char *host, int port, int epoll) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};
    int fd = connect_to(host, port);
    int size = 1 << 20;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    conn->ssl = SSL_new(context);
    SSL_set_fd(conn->ssl, fd);
    if (SSL_connect(conn->ssl) != 1)
        fail("handshake");
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        fail("epoll: %s", strerror(errno));
    send_chunk(conn);
}

static void run_until(int epoll, double end) {
    struct epoll_event events[EVENTS];
    double last = clock_seconds(CLOCK_MONOTONIC);
    while (clock_seconds(CLOCK_MONOTONIC) < end) {
        int count = epoll_wait(epoll, events, EVENTS, 0);
        for (int i = 0; i < count; i++)
            receive(events[i].data.ptr);
        if (count > 0)
            last = clock_seconds(CLOCK_MONOTONIC);
        else if (clock_seconds(CLOCK_MONOTONIC) - last > PATIENCE)
            fail("no answer");
    }
}

int main(int argc, char **argv) {
    struct connection *connections;
    double start, seconds, cpu;
    uint64_t before;
    int count, epoll = epoll_create1(0);
    pid_t server;
    if (argc != 8)
        fail("usage: %s HOST PORT CONNECTIONS SIZE WARMUP SECONDS PID",
             argv[0]);
    count = atoi(argv[3]);
    chunk_size = (size_t)atol(argv[4]);
    server = (pid_t)atol(argv[7]);
    chunk = malloc(chunk_size);
    input = malloc(chunk_size);
    connections = calloc((size_t)count, sizeof(*connections));
    for (size_t i = 0; i < chunk_size; i++)
        chunk[i] = (char)(i * 31 % 251);
    SSL_CTX *context = new_context();
    for (int i = 0; i < count; i++)
        open_connection(&connections[i], context, argv[1], atoi(argv[2]),
                        epoll);
    start = clock_seconds(CLOCK_MONOTONIC) + atof(argv[5]);
    run_until(epoll, start);
    before = completed;
    cpu = cpu_seconds(server);
    start = clock_seconds(CLOCK_MONOTONIC);
    run_until(epoll, start + atof(argv[6]));
    seconds = clock_seconds(CLOCK_MONOTONIC) - start;
    cpu = cpu_seconds(server) - cpu;
    printf("messages=%llu\nseconds=%f\nrate=%f\nserver_cpu=%f\n",
           (unsigned long long)(completed - before), seconds,
           (double)(completed - before) / seconds, cpu);
    return 0;
}
