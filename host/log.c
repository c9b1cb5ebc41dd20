/*
 * log.c - records that C code makes, and what every record goes through.
 */
#include "ahost_lua.h"
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void ahost__log_write(ahost *h, const ahost__log_record *record) {
    ahost__log_count(h, record->level);
    if (ahost__capture_text(h, record))
        ahost__log_deliver(h, record);
}

/* Text that does not fit the buffer and finds no memory is cut. */
static void write_formatted(ahost *h, ahost__log_record *record,
                            const char *format, va_list arguments) {
    char buffer[512], *text = buffer;
    va_list again;
    int size;
    va_copy(again, arguments);
    size = vsnprintf(buffer, sizeof(buffer), format, arguments);
    if (size >= (int)sizeof(buffer)) {
        text = malloc((size_t)size + 1);
        if (text != NULL)
            vsnprintf(text, (size_t)size + 1, format, again);
        else
            text = buffer;
    }
    va_end(again);
    record->text = text;
    ahost__log_write(h, record);
    if (text != buffer)
        free(text);
}

void ahost__log(ahost *h, int level, const char *logger, const char *format,
                ...) {
    ahost__log_record record = {.level = level, .logger = logger};
    va_list arguments;
    if (!ahost__log_wants(h, logger, level))
        return;
    va_start(arguments, format);
    write_formatted(h, &record, format, arguments);
    va_end(arguments);
}

/* Whether a function is the host's own: its source is embedded. */
static int is_embedded(const lua_Debug *ar) {
    static const char prefix[] = "@lua/ahost/";
    return strncmp(ar->source, prefix, sizeof(prefix) - 1) == 0;
}

void ahost_log(ahost *h, int level, const char *logger, const char *format,
               ...) {
    ahost__log_record record = {.level = level, .logger = logger};
    va_list arguments;
    if (h == NULL || !ahost__log_wants(h, logger, level))
        return;
    va_start(arguments, format);
    write_formatted(h, &record, format, arguments);
    va_end(arguments);
}

const char *ahost__push_place(lua_State *L, lua_State *co) {
    lua_Debug ar, best = {.currentline = 0};
    for (int level = 0; co != NULL && lua_getstack(co, level, &ar); level++) {
        lua_getinfo(co, "Sl", &ar);
        if (ar.currentline <= 0)
            continue;
        if (best.currentline == 0 || !is_embedded(&ar))
            best = ar;
        if (!is_embedded(&best))
            break;
    }
    if (best.currentline == 0)
        return lua_pushliteral(L, "");
    return lua_pushfstring(L, "%s:%d", best.short_src, best.currentline);
}

void ahost__log_waiting(lua_State *L, int level, ahost__task *task,
                        const char *text) {
    const ahost__wait *w = &task->wait;
    const char *name = ahost__task_push_name(L, task);
    const char *place = ahost__push_place(L, w->type != NULL ? w->L : NULL);
    ahost__log(ahost__of(L), level, "ahost.task", "%s %s: %s%s%s", name, text,
               w->type != NULL ? w->type->what : "not waiting",
               *place != '\0' ? " at " : "", place);
    lua_pop(L, 2);
}
