/*
 * log_text.c - the text of log records that Lua code makes: a format with its
 * arguments, and structured data.
 *
 * Nothing that is wrong with a record is to disturb the code that logs it. It
 * is written as it is then, with a note.
 */
#include <stdio.h>
#include <string.h>

#include "log.h"

enum { NAME_MAX_5424 = 32 };

static const char format_key, sort_key; /* of string.format, table.sort */

/* Keeps functions of Lua's own in the registry, whatever scripts do to them. */
void ahost__open_log_text(lua_State *L) {
    lua_getglobal(L, "string");
    lua_getfield(L, -1, "format");
    lua_rawsetp(L, LUA_REGISTRYINDEX, &format_key);
    lua_getglobal(L, "table");
    lua_getfield(L, -1, "sort");
    lua_rawsetp(L, LUA_REGISTRYINDEX, &sort_key);
    lua_pop(L, 2);
}

/* ---- the message -------------------------------------------------------- */

/* How many arguments the format takes. */
static int count_arguments(const char *format) {
    int count = 0;
    while ((format = strchr(format, '%')) != NULL) {
        format++;
        if (*format != '%' && *format != '\0')
            count++;
        format += strspn(format, "-+ #0123456789.");
        if (*format != '\0')
            format++;
    }
    return count;
}

static int to_text(lua_State *L) {
    if (lua_islightuserdata(L, 1) && lua_touserdata(L, 1) == NULL)
        lua_pushliteral(L, "null");
    else
        luaL_tolstring(L, 1, NULL);
    return 1;
}

/* Pushes the value at `index` as text, whatever its __tostring does. */
static void push_text(lua_State *L, int index) {
    index = lua_absindex(L, index);
    lua_pushcfunction(L, to_text);
    lua_pushvalue(L, index);
    if (lua_pcall(L, 1, 1, 0) == LUA_OK)
        return;
    lua_pop(L, 1);
    lua_pushfstring(L, "(%s without text)", luaL_typename(L, index));
}

/* Replaces the error of string.format on the top by a note. The arguments are
 * counted from the one behind the format. */
static void make_note(lua_State *L) {
    const char *error =
        lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "error";
    const char *reason = strstr(error, "format' ");
    int argument;
    if (reason != NULL && sscanf(error, "bad argument #%d", &argument) == 1)
        lua_pushfstring(L, " (bad format: argument %d: %s)", argument - 1,
                        reason + strlen("format' "));
    else
        lua_pushfstring(L, " (bad format: %s)", error);
    lua_remove(L, -2);
}

/* Pushes the format at `first` with `count` arguments behind it filled in. */
static void push_formatted(lua_State *L, int first, int count) {
    luaL_checkstack(L, count + LUA_MINSTACK, "too many arguments");
    lua_rawgetp(L, LUA_REGISTRYINDEX, &format_key);
    for (int i = 0; i <= count; i++)
        lua_pushvalue(L, first + i);
    if (lua_pcall(L, count + 1, 1, 0) == LUA_OK)
        return;
    make_note(L);
    lua_pushvalue(L, first);
    lua_insert(L, -2);
    lua_concat(L, 2);
}

/* Appends a note to the message on the top when arguments are left over. */
static void note_unused(lua_State *L, int from, int last) {
    int unused = 0;
    for (int i = from; i <= last; i++)
        unused += !lua_isnil(L, i);
    if (unused == 0)
        return;
    lua_pushfstring(L, " (%d argument%s too many)", unused,
                    unused > 1 ? "s" : "");
    lua_concat(L, 2);
}

/* Pushes the message. Stack: format at `first`, `last` - `first` arguments.
 * Returns the index of the structured data, or 0. */
static int push_message(lua_State *L, int first, int last) {
    int takes = 0, given = last - first, data;
    const char *format =
        lua_type(L, first) == LUA_TSTRING ? lua_tostring(L, first) : NULL;
    if (format != NULL)
        takes = count_arguments(format);
    data = given > takes && lua_istable(L, last) ? last : 0;
    if (format == NULL)
        push_text(L, first);
    else if (strchr(format, '%') == NULL)
        lua_pushvalue(L, first);
    else
        push_formatted(L, first, given < takes ? given : takes);
    note_unused(L, first + takes + 1, data != 0 ? last - 1 : last);
    return data;
}

/* ---- structured data ---------------------------------------------------- */

/* RFC 5424: 1 to 32 of printable ASCII without '=', ']', '"' and space. */
static void add_name(luaL_Buffer *text, const char *name) {
    if (*name == '\0')
        luaL_addchar(text, '_');
    for (int i = 0; name[i] != '\0' && i < NAME_MAX_5424; i++) {
        char c = name[i];
        int fits = c > ' ' && c < 127 && strchr("=]\"", c) == NULL;
        luaL_addchar(text, fits ? c : '_');
    }
}

static void add_value(luaL_Buffer *text, const char *value) {
    for (; *value != '\0'; value++) {
        if (strchr("\"\\]", *value) != NULL)
            luaL_addchar(text, '\\');
        luaL_addchar(text, *value);
    }
}

/* Pushes a sorted array of the names of the data at `data`, and a table of
 * their values as texts. */
static int push_fields(lua_State *L, int data) {
    int count = 0, names;
    lua_newtable(L);
    lua_newtable(L);
    names = lua_gettop(L) - 1;
    lua_pushnil(L);
    while (lua_next(L, data) != 0) {
        push_text(L, -2);
        lua_pushvalue(L, -1);
        lua_rawseti(L, names, ++count);
        push_text(L, -2);
        lua_rawset(L, names + 1);
        lua_pop(L, 1);
    }
    lua_rawgetp(L, LUA_REGISTRYINDEX, &sort_key);
    lua_pushvalue(L, names);
    lua_call(L, 1, 0);
    return count;
}

/* Pushes ` name="value"`. */
static void push_field(lua_State *L, const char *name, const char *value) {
    luaL_Buffer text;
    luaL_buffinit(L, &text);
    luaL_addchar(&text, ' ');
    add_name(&text, name);
    luaL_addstring(&text, "=\"");
    add_value(&text, value);
    luaL_addchar(&text, '"');
    luaL_pushresult(&text);
}

/* Pushes `[sd name="value" ...] `, or an empty text without data. */
static void push_data(lua_State *L, int data) {
    int count = data != 0 ? push_fields(L, data) : 0;
    int values = lua_gettop(L), names = values - 1;
    if (count == 0) {
        lua_pushliteral(L, "");
        return;
    }
    luaL_checkstack(L, count + LUA_MINSTACK, "too many fields");
    lua_pushliteral(L, "[sd");
    for (int i = 1; i <= count; i++) {
        lua_rawgeti(L, names, i);
        lua_pushvalue(L, -1);
        lua_rawget(L, values);
        push_field(L, lua_tostring(L, -2), lua_tostring(L, -1));
        lua_replace(L, -3);
        lua_pop(L, 1);
    }
    lua_pushliteral(L, "] ");
    lua_concat(L, count + 2);
}

/* ---- the whole ---------------------------------------------------------- */

/* Replaces the string on the top by one that C code sees the whole of. */
static void escape_zeros(lua_State *L) {
    size_t length;
    const char *text = lua_tolstring(L, -1, &length);
    luaL_Buffer escaped;
    if (memchr(text, 0, length) == NULL)
        return;
    luaL_buffinit(L, &escaped);
    for (size_t i = 0; i < length; i++)
        if (text[i] != '\0')
            luaL_addchar(&escaped, text[i]);
        else
            luaL_addstring(&escaped, "\\0");
    luaL_pushresult(&escaped);
    lua_replace(L, -2);
}

size_t ahost__push_log_text(lua_State *L, int first) {
    int last = lua_gettop(L);
    size_t size;
    int data = push_message(L, first, last);
    int message = lua_gettop(L);
    push_data(L, data);
    size = lua_rawlen(L, -1);
    lua_pushvalue(L, message);
    lua_concat(L, 2);
    escape_zeros(L);
    lua_copy(L, -1, message + 1);
    lua_settop(L, message + 1);
    lua_insert(L, message);
    if (data != 0)
        lua_pushvalue(L, data);
    else
        lua_pushnil(L);
    return size;
}
