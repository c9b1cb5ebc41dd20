/*
 * main.c - the command `ahost`: a client of the library like any other.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include <lauxlib.h>
#include "ahost_lua.h"
#include "daemon_module.h"
#include "detach.h"
#include "supervisor.h"

enum {
    EXIT_USAGE = 2,
    EXIT_EMERGENCY = 70,
    STRIKES = 3,
    FORGIVEN = 5,
    FLUSH_TIME = 500
};

#define LOCAL_SYSLOG "unix:///dev/log"

/* The names that mean the commands of ahost even where there is such a file. */
static const char *const commands[] = {"check", "config", "new", "components",
                                       "ctl",   "run",    "test"};

/* The host that process signals stop; set before they can arrive. */
static ahost *running;
static volatile sig_atomic_t strikes, answered;
static volatile time_t last_strike;

static void emergency_exit(void) {
    static const char text[] = "ahost: emergency exit\n";
    ssize_t ignored = write(STDERR_FILENO, text, sizeof(text) - 1);
    (void)ignored;
    ahost__supervisor_kill();
    ahost_log_flush(running, FLUSH_TIME);
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

static void print_record(void *data, const ahost_record *record) {
    (void)data;
    fprintf(stderr, "%s %s: %s\n", level_name(record->level), record->logger,
            record->text);
}

/* ---- stalls ------------------------------------------------------------- */

/* Reaches the thread of the host while Lua code keeps it busy. Scripts know no
 * name of it, so that none can listen to it. */
static int stall_signal(void) {
    return SIGRTMIN + 5;
}

static void on_stall_signal(int number) {
    int saved_errno = errno;
    (void)number;
    ahost_interrupted(running);
    errno = saved_errno;
}

static void interrupt_host(void *thread) {
    pthread_kill(*(pthread_t *)thread, stall_signal());
}

static void print_blocked(void *data, double seconds, unsigned task) {
    (void)data;
    fprintf(stderr,
            "WARNING ahost.watchdog: task %u keeps the loop for %.2f s so far, "
            "inside a C function\n",
            task, seconds);
}

/* ------------------------------------------------------------------------- */

/* Scripts are told from commands by their names, which need not exist. */
static int is_script(const char *word) {
    size_t size = strlen(word);
    struct stat file;
    return (!isalpha((unsigned char)*word) && *word != '_') ||
           strchr(word, '/') != NULL ||
           (size > 4 && strcmp(word + size - 4, ".lua") == 0) ||
           (stat(word, &file) == 0 && S_ISREG(file.st_mode));
}

/* `script` is NULL for commands, which are written in Lua. */
static int load(ahost *host, const char *script) {
    int err;
    if (script != NULL)
        return ahost_load_file(host, script);
    err = ahost_preload(host, "ahost.command.daemon.core", daemon_open_module);
    if (err == AHOST_OK)
        err = ahost_preload(host, "ahost.supervisor.core",
                            ahost__open_supervisor);
    if (err != AHOST_OK)
        return err;
    return ahost_load_string(host, "return require 'ahost.command'(...)",
                             "=ahost");
}

/* What a script is run with; commands find that out themselves. */
typedef struct script_options {
    int level;
    const char *file, *syslog; /* where records go, or NULL */
    int watch;
} script_options;

/* Sends records there. False, with what is wrong told, when that cannot be. */
static int configure_log(ahost *host, const script_options *given) {
    static const char code[] =
        "local file, syslog = ...\n"
        "local log = require 'ahost.log'\n"
        "assert(log.configure(nil, {file = file, syslog = syslog}))";
    lua_State *L = ahost_lua(host);
    int ok = luaL_loadbuffer(L, code, sizeof(code) - 1, "=ahost") == LUA_OK;
    lua_pushstring(L, given->file);
    lua_pushstring(L, given->syslog);
    ok = ok && lua_pcall(L, 2, 0, 0) == LUA_OK;
    if (!ok) {
        lua_getfield(L, -1, "message");
        fprintf(stderr, "ahost: %s\n", lua_tostring(L, -1));
    }
    lua_settop(L, 0);
    return ok;
}

/* A component that the script returns is to be reloaded with its files. */
static int watch_files(ahost *host) {
    static const char code[] = "require 'ahost.application.script'.opened =\n"
                               "  require 'ahost.command.watching'.application";
    lua_State *L = ahost_lua(host);
    int ok = luaL_loadbuffer(L, code, sizeof(code) - 1, "=ahost") == LUA_OK &&
             lua_pcall(L, 0, 0, 0) == LUA_OK;
    if (!ok)
        fprintf(stderr, "ahost: %s\n", lua_tostring(L, -1));
    lua_settop(L, 0);
    return ok;
}

/* Runs a script with the arguments behind its name, or a command with all. */
static int run(const char *script, int argc, char **argv,
               const script_options *given) {
    static const int signals[] = {SIGINT, SIGTERM, 0};
    pthread_t thread = pthread_self();
    ahost_options options = {.size = sizeof(options),
                             .log = print_record,
                             .log_level = given->level,
                             .argc = argc,
                             .argv = argv,
                             .signals = signals,
                             .stall = 1,
                             .interrupt = interrupt_host,
                             .interrupt_data = &thread,
                             .blocked = print_blocked};
    ahost *host;
    int status = EXIT_USAGE, err;
    if (ahost_open(&host, &options) != AHOST_OK) {
        fputs("ahost: not enough memory or descriptors to start\n", stderr);
        return 1;
    }
    running = host;
    handle(SIGPIPE, SIG_IGN);
    handle(SIGTERM, on_stop_signal);
    handle(stall_signal(), on_stall_signal);
    if (getenv("AHOST_WORKER") == NULL) {
        handle(SIGINT, on_stop_signal);
    } else { /* meant for the supervisor, who says what to do */
        handle(SIGINT, SIG_IGN);
        handle(SIGUSR2, SIG_IGN);
    }
    if (script != NULL && (given->file != NULL || given->syslog != NULL) &&
        !configure_log(host, given))
        status = EXIT_USAGE;
    else if (script != NULL && given->watch && !watch_files(host))
        status = EXIT_USAGE;
    else if ((err = load(host, script)) == AHOST_OK || err == AHOST_FAILED)
        status = ahost_run(host); /* what failed has been logged */
    else
        fprintf(stderr, "ahost: %s\n", ahost_errmsg(host));
    handle(SIGINT, SIG_DFL);
    handle(SIGTERM, SIG_DFL);
    ahost_close(host);
    handle(stall_signal(), SIG_IGN);
    return status;
}

/* A command that is to be a daemon begins again in that. */
static int run_command(int argc, char **argv, const script_options *given) {
    int status = run(NULL, argc, argv, given);
    if (!daemon_is_wanted() || !detach(&status))
        return status;
    strikes = 0;
    status = run(NULL, argc, argv, given);
    detach_end(status);
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

static int is_command(const char *word) {
    for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
        if (strcmp(word, commands[i]) == 0)
            return 1;
    return 0;
}

int main(int argc, char **argv) {
    static const struct option long_options[] = {
        {"help", no_argument, NULL, 'h'},
        {"syslog", optional_argument, NULL, 'S'},
        {"version", no_argument, NULL, 'V'},
        {"watch", no_argument, NULL, 'w'},
        {NULL, 0, NULL, 0}};
    int option, help = 0, for_commands = 0;
    script_options given = {.level = AHOST_LOG_NOTICE};
    const char *word;
    open_standard_descriptors();
    argv = uv_setup_args(argc, argv); /* for process.title */
    keep_freed_memory();
    while ((option = getopt_long(argc, argv, "+c:dhkl:vw", long_options,
                                 NULL)) != -1)
        switch (option) {
        case 'c':
        case 'd':
        case 'k':
            for_commands = option;
            break;
        case 'h':
            help = 1;
            break;
        case 'l':
            given.file = optarg;
            break;
        case 'S':
            given.syslog = optarg != NULL ? optarg : LOCAL_SYSLOG;
            break;
        case 'V':
            puts("ahost " AHOST_VERSION);
            return 0;
        case 'v':
            given.level = AHOST_LOG_DEBUG;
            break;
        case 'w':
            given.watch = 1;
            break;
        default:
            fputs("try 'ahost --help'\n", stderr);
            return EXIT_USAGE;
        }
    word = optind < argc ? argv[optind] : NULL;
    if (help || word == NULL || is_command(word) || !is_script(word))
        return run_command(argc - 1, argv + 1, &given);
    if (for_commands) {
        fprintf(stderr, "ahost: -%c is for commands, and %s is a script\n",
                for_commands, word);
        return EXIT_USAGE;
    }
    return run(word, argc - optind - 1, argv + optind + 1, &given);
}
