/*
 * daemon_module.c - the module ahost.command.daemon.core: what the commands
 * written in Lua need to put the program into the background, and to end it.
 *
 * Failures of the system are `nil, message` here: the caller knows what they
 * are about.
 */
#include "daemon_module.h"

#include <errno.h>
#include <lauxlib.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "detach.h"
#include "identity.h"
#include "pidfile.h"

#define PIDFILE_TYPE "ahost.command.pidfile"

enum { MOST_GROUPS = 64 };

static int wanted; /* once in the life of the program */

int daemon_is_wanted(void) {
    return wanted;
}

/* -> nil, message */
static int fail(lua_State *L, int err) {
    lua_pushnil(L);
    lua_pushstring(L, strerror(-err));
    return 2;
}

/* 0 is success. -> true | nil, message */
static int push_result(lua_State *L, int err) {
    if (err != 0)
        return fail(L, err);
    lua_pushboolean(L, 1);
    return 1;
}

/* ---- the background ----------------------------------------------------- */

/* detach(): the program is run again, as a daemon, when this host has ended */
static int l_detach(lua_State *L) {
    (void)L;
    wanted = 1;
    return 0;
}

/* detached() -> whether this is that run */
static int l_detached(lua_State *L) {
    lua_pushboolean(L, detach_done());
    return 1;
}

/* ready(): everything has started */
static int l_ready(lua_State *L) {
    (void)L;
    detach_ready();
    return 0;
}

/* leave_terminal(): in a process that the daemon has started */
static int l_leave_terminal(lua_State *L) {
    (void)L;
    detach_leave_terminal();
    return 0;
}

/* ---- pid files ---------------------------------------------------------- */

static int push_state(lua_State *L, int state, pid_t holder) {
    static const char *const names[] = {[PIDFILE_HELD] = "held",
                                        [PIDFILE_STALE] = "stale",
                                        [PIDFILE_FOREIGN] = "foreign"};
    lua_pushstring(L, names[state]);
    lua_pushinteger(L, holder);
    return 2;
}

/* take_pidfile(path) -> "taken" | "held", pid (0: unknown) | "foreign" | nil,
 * message */
static int l_take_pidfile(lua_State *L) {
    int holder, err = detach_take_pidfile(luaL_checkstring(L, 1), &holder);
    if (err < 0)
        return fail(L, err);
    if (err > 0)
        return push_state(L, err, holder);
    lua_pushliteral(L, "taken");
    return 1;
}

/* open_pidfile(path) -> file | nil, "missing" | nil, "foreign" | nil, message
 */
static int l_open_pidfile(lua_State *L) {
    const char *path = luaL_checkstring(L, 1);
    int *fd = lua_newuserdatauv(L, sizeof(*fd), 0);
    *fd = -1;
    luaL_setmetatable(L, PIDFILE_TYPE);
    *fd = pidfile_open(path);
    if (*fd >= 0)
        return 1;
    lua_pushnil(L);
    lua_pushstring(L, *fd == -ENOENT  ? "missing"
                      : *fd == -ELOOP ? "foreign"
                                      : strerror(-*fd));
    return 2;
}

/* file:state() -> "held", pid (0: not written yet) | "stale" | "foreign". The
 * file is the same even if its name leads elsewhere by now. */
static int l_pidfile_state(lua_State *L) {
    const int *fd = luaL_checkudata(L, 1, PIDFILE_TYPE);
    pid_t holder;
    int state = pidfile_state(*fd, &holder);
    return push_state(L, state, holder);
}

static int l_pidfile_close(lua_State *L) {
    int *fd = luaL_checkudata(L, 1, PIDFILE_TYPE);
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
    return 0;
}

/* remove_stale(path, pid): removes what the process has left when it ended */
static int l_remove_stale(lua_State *L) {
    pidfile_remove_stale(luaL_checkstring(L, 1),
                         (pid_t)luaL_checkinteger(L, 2));
    return 0;
}

/* terminate(pid) -> true | nil, message */
static int l_terminate(lua_State *L) {
    lua_Integer pid = luaL_checkinteger(L, 1);
    luaL_argcheck(L, pid > 1 && pid <= INT_MAX, 1,
                  "no process that can be told");
    return push_result(L, kill((pid_t)pid, SIGTERM) == 0 ? 0 : -errno);
}

/* ---- users and groups --------------------------------------------------- */

/* A name, or NULL and a number. */
static const char *check_name(lua_State *L, int arg, long *number) {
    *number = lua_isinteger(L, arg) ? (long)lua_tointeger(L, arg) : 0;
    return lua_isinteger(L, arg) ? NULL : luaL_checkstring(L, arg);
}

/* user(name or uid) -> {uid=, gid=} | nil: there is none | nil, message
 */
static int l_user(lua_State *L) {
    identity_user user;
    long number;
    const char *name = check_name(L, 1, &number);
    int found;
    lua_createtable(L, 0, 3);
    found = identity_find_user(name, number, &user);
    if (found <= 0)
        return found == 0 ? 0 : fail(L, found);
    identity_free_user(&user);
    lua_pushinteger(L, user.uid);
    lua_setfield(L, -2, "uid");
    lua_pushinteger(L, user.gid);
    lua_setfield(L, -2, "gid");
    return 1;
}

/* group(name or gid) -> gid | nil: there is none | nil, message */
static int l_group(lua_State *L) {
    long number;
    const char *name = check_name(L, 1, &number);
    gid_t gid;
    int found = identity_find_group(name, number, &gid);
    if (found <= 0)
        return found == 0 ? 0 : fail(L, found);
    lua_pushinteger(L, gid);
    return 1;
}

/* identity() -> uid, gid: the effective ones */
static int l_identity(lua_State *L) {
    lua_pushinteger(L, geteuid());
    lua_pushinteger(L, getegid());
    return 2;
}

/* The numbers of the list at `arg`. */
static size_t read_groups(lua_State *L, int arg, gid_t groups[MOST_GROUPS]) {
    size_t count = lua_rawlen(L, arg);
    luaL_argcheck(L, count <= MOST_GROUPS, arg, "too many groups");
    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(L, arg, (lua_Integer)i + 1);
        groups[i] = (gid_t)luaL_checkinteger(L, -1);
        lua_pop(L, 1);
    }
    return count;
}

/* become(uid, gid, [groups]) -> true | nil, message */
static int l_become(lua_State *L) {
    lua_Integer uid = luaL_checkinteger(L, 1);
    gid_t gid = (gid_t)luaL_checkinteger(L, 2), groups[MOST_GROUPS];
    int given = !lua_isnoneornil(L, 3), err;
    size_t count = given ? read_groups(L, 3, groups) : 0;
    identity_user user;
    err = identity_find_user(NULL, (long)uid, &user);
    if (err < 0)
        return fail(L, err);
    err = identity_become(&user, gid, given ? groups : NULL, count);
    identity_free_user(&user);
    return push_result(L, err);
}

/* umask(mask) */
static int l_umask(lua_State *L) {
    umask((mode_t)luaL_checkinteger(L, 1) & 0777);
    return 0;
}

static const luaL_Reg functions[] = {{"detach", l_detach},
                                     {"detached", l_detached},
                                     {"ready", l_ready},
                                     {"leave_terminal", l_leave_terminal},
                                     {"take_pidfile", l_take_pidfile},
                                     {"open_pidfile", l_open_pidfile},
                                     {"remove_stale", l_remove_stale},
                                     {"terminate", l_terminate},
                                     {"user", l_user},
                                     {"group", l_group},
                                     {"identity", l_identity},
                                     {"become", l_become},
                                     {"umask", l_umask},
                                     {NULL, NULL}};

static const luaL_Reg pidfile_methods[] = {{"state", l_pidfile_state},
                                           {NULL, NULL}};

static const luaL_Reg pidfile_meta[] = {
    {"__gc", l_pidfile_close}, {"__close", l_pidfile_close}, {NULL, NULL}};

int daemon_open_module(lua_State *L) {
    if (luaL_newmetatable(L, PIDFILE_TYPE)) {
        luaL_setfuncs(L, pidfile_meta, 0);
        luaL_newlib(L, pidfile_methods);
        lua_setfield(L, -2, "__index");
    }
    lua_pop(L, 1);
    luaL_newlib(L, functions);
    return 1;
}
