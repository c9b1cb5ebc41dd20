/*
 * main.c - the command `ahost`: a client of the library like any other.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "ahost.h"

enum { EXIT_USAGE = 2, EXIT_EMERGENCY = 70, STRIKES = 3, FORGIVEN = 5 };

static const char usage[] =
    "usage: ahost [options] SCRIPT [argument ...]\n"
    "       ahost [options] test [option ...] [PATH ...]\n"
    "\n"
    "SCRIPT is a Lua file; its body is the main task. `test` runs busted "
    "specs\n"
    "inside a host; its options are busted's.\n"
    "\n"
    "options:\n"
    "  -h, --help     show this and exit\n"
    "      --version  show the version and exit\n"
    "  -v             verbose: log debug records too\n";

/* The host that process signals stop; set before they can arrive. */
static ahost *running;
static volatile sig_atomic_t strikes, answered;
static volatile time_t last_strike;

static void emergency_exit(void) {
    static const char text[] = "ahost: emergency exit\n";
    ssize_t ignored = write(STDERR_FILENO, text, sizeof(text) - 1);
    (void)ignored;
    _exit(EXIT_EMERGENCY);
}

/* The first strike stops the host or is for the script to answer, the third
 * ends the program in any case. For a script that answers, an interactive one,
 * those are three within a few seconds of each other. */
static void on_stop_signal(int number) {
    int saved_errno = errno;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (answered && now.tv_sec - last_strike > FORGIVEN)
        strikes = 0;
    last_strike = now.tv_sec;
    if (++strikes >= STRIKES)
        emergency_exit();
    answered = ahost_signal(running, number);
    errno = saved_errno;
}

static void handle(int number, void (*handler)(int)) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, NULL);
}

static const char *level_name(int level) {
    if (level >= AHOST_LOG_CRITICAL)
        return "CRITICAL";
    if (level >= AHOST_LOG_ERROR)
        return "ERROR";
    if (level >= AHOST_LOG_WARNING)
        return "WARNING";
    return level >= AHOST_LOG_NOTICE ? "NOTICE"
           : level >= AHOST_LOG_INFO ? "INFO"
                                     : "DEBUG";
}

static void print_record(void *data, int level, const char *logger,
                         const char *text) {
    (void)data;
    fprintf(stderr, "%s %s: %s\n", level_name(level), logger, text);
}

static int load(ahost *host, const char *command) {
    if (strcmp(command, "test") == 0)
        return ahost_load_string(host, "return require 'ahost.test'(...)",
                                 "=ahost test");
    return ahost_load_file(host, command);
}

/* Runs a script or command with the arguments behind its name. */
static int run(const char *command, int argc, char **argv, int log_level) {
    static const int signals[] = {SIGINT, SIGTERM, 0};
    ahost_options options = {.size = sizeof(options),
                             .log = print_record,
                             .log_level = log_level,
                             .argc = argc,
                             .argv = argv,
                             .signals = signals};
    ahost *host;
    int status = EXIT_USAGE;
    if (ahost_open(&host, &options) != AHOST_OK) {
        fputs("ahost: not enough memory or descriptors to start\n", stderr);
        return 1;
    }
    running = host;
    handle(SIGPIPE, SIG_IGN);
    handle(SIGINT, on_stop_signal);
    handle(SIGTERM, on_stop_signal);
    if (load(host, command) == AHOST_OK)
        status = ahost_run(host);
    else
        fprintf(stderr, "ahost: %s\n", ahost_errmsg(host));
    handle(SIGINT, SIG_DFL);
    handle(SIGTERM, SIG_DFL);
    ahost_close(host);
    return status;
}

/* A standard descriptor that is closed would be taken by the first socket. */
static void open_standard_descriptors(void) {
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) == -1 && open("/dev/null", O_RDWR) != fd)
            exit(EXIT_USAGE);
}

/* Lua frees memory in waves. To give each back to the system and fetch it again
 * for the next would cost page faults all the time. */
static void keep_freed_memory(void) {
    mallopt(M_TRIM_THRESHOLD, 256 * 1024 * 1024);
    mallopt(M_TOP_PAD, 64 * 1024);
}

int main(int argc, char **argv) {
    static const struct option long_options[] = {
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        {NULL, 0, NULL, 0}};
    int option, log_level = AHOST_LOG_NOTICE;
    open_standard_descriptors();
    argv = uv_setup_args(argc, argv); /* for process.title */
    keep_freed_memory();
    while ((option = getopt_long(argc, argv, "+hv", long_options, NULL)) != -1)
        switch (option) {
        case 'h':
            fputs(usage, stdout);
            return 0;
        case 'V':
            puts("ahost " AHOST_VERSION);
            return 0;
        case 'v':
            log_level = AHOST_LOG_DEBUG;
            break;
        default:
            fputs("try 'ahost --help'\n", stderr);
            return EXIT_USAGE;
        }
    if (optind == argc) {
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    return run(argv[optind], argc - optind - 1, argv + optind + 1, log_level);
}
