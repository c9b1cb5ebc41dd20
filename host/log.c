/*
 * log.c - records for the log function of the program.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "host.h"

/* Text that does not fit the buffer and finds no memory is cut. */
static void log_text(ahost *h, int level, const char *logger,
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
    h->log(h->log_data, level, logger, text);
    if (text != buffer)
        free(text);
}

void ahost__log(ahost *h, int level, const char *logger, const char *format,
                ...) {
    va_list arguments;
    if (h->log == NULL)
        return;
    va_start(arguments, format);
    log_text(h, level, logger, format, arguments);
    va_end(arguments);
}

const char *ahost__push_place(lua_State *L, lua_State *co) {
    lua_Debug ar;
    for (int level = 0; co != NULL && lua_getstack(co, level, &ar); level++) {
        lua_getinfo(co, "Sl", &ar);
        if (ar.currentline > 0)
            return lua_pushfstring(L, "%s:%d", ar.short_src, ar.currentline);
    }
    return lua_pushliteral(L, "");
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
