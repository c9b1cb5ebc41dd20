/*
 * loading.c - what a host runs: a script, or the application of configuration
 * files, as a task up to its first await.
 */
#include <lauxlib.h>
#include <string.h>

#include "embed.h"
#include "host.h"
#include "loader.h"

/* ---- the main task ------------------------------------------------------ */

/* Whether the value on the top is a component: a table with one of the fields
 * that make one. */
static int is_component(lua_State *L) {
    static const char *const fields[] = {"start", "prepare", "run", "init",
                                         "components"};
    int found = 0;
    for (int i = 0; i < 5 && !found && lua_istable(L, -1); i++) {
        lua_pushstring(L, fields[i]);
        found = lua_rawget(L, -2) != LUA_TNIL;
        lua_pop(L, 1);
    }
    return found;
}

static int nothing_more(lua_State *L, int status, lua_KContext unused) {
    (void)L;
    (void)status;
    (void)unused;
    return 0;
}

/* A component that the main function returned becomes an application. It leaves
 * process signals alone where the program has nothing to do with them. */
static int main_returned(lua_State *L, int status, lua_KContext unused) {
    if (!is_component(L))
        return nothing_more(L, status, unused);
    lua_getglobal(L, "require");
    lua_pushliteral(L, "ahost.application.script");
    lua_call(L, 1, 1);
    lua_getfield(L, -1, "run");
    lua_pushvalue(L, -3);
    lua_pushboolean(L, ahost__of(L)->passed_signals != 0);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_callk(L, 3, 0, 0, nothing_more);
    return nothing_more(L, status, unused);
}

/* The body of the main task. Stack: the main function and its arguments.
 * Upvalue: the path of a script, which is loaded again for reloads, or nil. */
static int run_main(lua_State *L) {
    ahost__of(L)->begun = 1;
    lua_callk(L, lua_gettop(L) - 1, 1, 0, main_returned);
    return main_returned(L, LUA_OK, 0);
}

typedef struct loading {
    const char *path, *source, *name; /* a script is a file, or source */
    const char *const *files;         /* of a configuration */
    const char *const *sets;
    int status; /* of Lua's loading */
} loading;

/* Stack: the main function and its arguments, to be spawned. */
static void spawn_main(lua_State *L, const char *name, const char *path) {
    ahost *h = ahost__of(L);
    ahost__task *task;
    lua_pushstring(L, path);
    lua_pushcclosure(L, run_main, 1);
    lua_insert(L, 1);
    task = ahost__spawn(L, h->root, lua_gettop(L) - 1);
    lua_pushstring(L, name);
    ahost__task_set_text(L, task, AHOST__TASK_NAME);
    if (h->inside == 1) /* in a callback it is to run soon */
        h->loading = task;
    h->loaded++;
}

/* The first main task is called so, others by what they run. */
static const char *task_name(const ahost *h, const char *name) {
    if (h->loaded == 0)
        return "main";
    return name + (*name == '=' || *name == '@');
}

/* ---- scripts ------------------------------------------------------------ */

static int compile(lua_State *L, const loading *load) {
    if (load->path == NULL)
        return luaL_loadbufferx(L, load->source, strlen(load->source),
                                load->name, "t");
    ahost__search_beside(L, load->path);
    return luaL_loadfilex(L, load->path, NULL);
}

/* (loading) */
static int load_script(lua_State *L) {
    ahost *h = ahost__of(L);
    loading *load = lua_touserdata(L, 1);
    lua_settop(L, 0);
    load->status = compile(L, load);
    if (load->status != LUA_OK) {
        ahost__keep_errmsg(h, lua_tostring(L, -1));
        return 0;
    }
    luaL_checkstack(L, h->argc + 1, "too many arguments");
    for (int i = 0; i < h->argc; i++)
        lua_pushstring(L, h->argv[i]);
    spawn_main(L, task_name(h, load->path != NULL ? load->path : load->name),
               load->path);
    return 0;
}

static int code_of_status(int status) {
    return status == LUA_ERRFILE     ? AHOST_NOT_FOUND
           : status == LUA_ERRSYNTAX ? AHOST_SYNTAX
           : status == LUA_OK        ? AHOST_OK
                                     : AHOST_NO_MEMORY;
}

/* ---- configurations ----------------------------------------------------- */

/* Pushes a list of strings that is ended by NULL, or NULL. */
static void push_texts(lua_State *L, const char *const *texts) {
    lua_newtable(L);
    for (int i = 0; texts != NULL && texts[i] != NULL; i++) {
        lua_pushstring(L, texts[i]);
        lua_rawseti(L, -2, i + 1);
    }
}

/* (loading) */
static int load_configuration(lua_State *L) {
    loading *load = lua_touserdata(L, 1);
    lua_settop(L, 0);
    ahost__push_embedding(L, "run");
    push_texts(L, load->files);
    push_texts(L, load->sets);
    spawn_main(L, task_name(ahost__of(L), load->files[0]), NULL);
    return 0;
}

/* ---- running what was loaded -------------------------------------------- */

void ahost__load_failed(ahost *h, int code, const char *text) {
    h->loading = NULL;
    h->load_code = code;
    ahost__keep_errmsg(h, text);
}

static int load(ahost *h, lua_CFunction fn, loading *what) {
    int err;
    h->load_code = AHOST_OK;
    err = ahost__protect(h, fn, what);
    if (err == AHOST_OK)
        err = code_of_status(what->status);
    if (err != AHOST_OK)
        return err;
    ahost__ready_begin(h);
    h->loading = NULL;
    if (h->load_code == AHOST_OK && h->root->failed)
        return ahost__refuse(h, AHOST_FAILED,
                             "a task has failed meanwhile: see the log");
    return h->load_code;
}

int ahost_load_file(ahost *h, const char *path) {
    loading script = {.path = path};
    int err = ahost__check(h, "ahost_load_file", AHOST__TAKES);
    if (err != AHOST_OK)
        return err;
    if (path == NULL)
        return ahost__refuse(h, AHOST_MISUSE, "ahost_load_file: no path");
    return load(h, load_script, &script);
}

int ahost_load_string(ahost *h, const char *source, const char *name) {
    loading script = {.source = source, .name = name};
    int err = ahost__check(h, "ahost_load_string", AHOST__TAKES);
    if (err != AHOST_OK)
        return err;
    if (source == NULL || name == NULL)
        return ahost__refuse(h, AHOST_MISUSE,
                             "ahost_load_string: no source, or no name for it");
    return load(h, load_script, &script);
}

int ahost_load_config(ahost *h, const char *const *files,
                      const char *const *sets) {
    loading configuration = {.files = files, .sets = sets};
    int err = ahost__check(h, "ahost_load_config", AHOST__TAKES);
    if (err != AHOST_OK)
        return err;
    if (files == NULL || files[0] == NULL)
        return ahost__refuse(h, AHOST_MISUSE,
                             "ahost_load_config: no files (end them by NULL)");
    return load(h, load_configuration, &configuration);
}
