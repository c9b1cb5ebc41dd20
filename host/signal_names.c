/*
 * signal_names.c - the names of process signals.
 */
#include <lauxlib.h>
#include <signal.h>
#include <string.h>

#include "process.h"

static const struct {
    const char *name;
    int number;
} names[] = {{"ABRT", SIGABRT},     {"ALRM", SIGALRM},  {"BUS", SIGBUS},
             {"CHLD", SIGCHLD},     {"CONT", SIGCONT},  {"FPE", SIGFPE},
             {"HUP", SIGHUP},       {"ILL", SIGILL},    {"INT", SIGINT},
             {"IO", SIGIO},         {"KILL", SIGKILL},  {"PIPE", SIGPIPE},
             {"PROF", SIGPROF},     {"QUIT", SIGQUIT},  {"SEGV", SIGSEGV},
             {"STOP", SIGSTOP},     {"SYS", SIGSYS},    {"TERM", SIGTERM},
             {"TRAP", SIGTRAP},     {"TSTP", SIGTSTP},  {"TTIN", SIGTTIN},
             {"TTOU", SIGTTOU},     {"URG", SIGURG},    {"USR1", SIGUSR1},
             {"USR2", SIGUSR2},     {"XCPU", SIGXCPU},  {"XFSZ", SIGXFSZ},
             {"VTALRM", SIGVTALRM}, {"WINCH", SIGWINCH}};

enum { NAMES = sizeof(names) / sizeof(names[0]), GREATEST = 64 };

const char *ahost__signal_name(int number) {
    for (int i = 0; i < NAMES; i++)
        if (names[i].number == number)
            return names[i].name;
    return NULL;
}

static int raise_unknown(lua_State *L, const char *given) {
    luaL_Buffer text;
    luaL_buffinit(L, &text);
    for (int i = 0; i < NAMES; i++) {
        luaL_addchar(&text, ' ');
        luaL_addstring(&text, names[i].name);
    }
    luaL_pushresult(&text);
    return luaL_error(L, "unknown process signal '%s'; there are%s", given,
                      lua_tostring(L, -1));
}

int ahost__check_signal_name(lua_State *L, int arg) {
    const char *given, *name;
    luaL_checktype(L, arg, LUA_TSTRING);
    given = name = lua_tostring(L, arg);
    if (strncmp(name, "SIG", 3) == 0)
        name += 3;
    for (int i = 0; i < NAMES; i++)
        if (strcmp(names[i].name, name) == 0)
            return names[i].number;
    return raise_unknown(L, given);
}

int ahost__check_signal_number(lua_State *L, int arg) {
    lua_Integer number;
    if (lua_type(L, arg) != LUA_TNUMBER)
        return ahost__check_signal_name(L, arg);
    number = luaL_checkinteger(L, arg);
    luaL_argcheck(L, number > 0 && number <= GREATEST, arg,
                  "process signals are numbered from 1 to 64");
    return (int)number;
}
