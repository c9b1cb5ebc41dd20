/*
 * log_levels.c - the lowest level of records, by the names of loggers.
 *
 * Kept in C, as records are also made where Lua cannot be used. There are few.
 */
#include <string.h>

#include "log.h"

typedef struct rule {
    ahost__link link;
    int level;
    size_t size;   /* of the whole */
    size_t length; /* of the name */
    char name[];
} rule;

static const struct {
    int level;
    const char *name;
} levels[AHOST__LOG_LEVELS] = {
    {AHOST_LOG_CRITICAL, "critical"}, {AHOST_LOG_ERROR, "error"},
    {AHOST_LOG_WARNING, "warning"},   {AHOST_LOG_NOTICE, "notice"},
    {AHOST_LOG_INFO, "info"},         {AHOST_LOG_DEBUG, "debug"},
};

/* The place of a level, or of the next one below it, in the table. */
static int place_of(int level) {
    int i = 0;
    while (i < AHOST__LOG_LEVELS - 1 && level < levels[i].level)
        i++;
    return i;
}

const char *ahost__log_level_name(int level) {
    return levels[place_of(level)].name;
}

void ahost__log_count(ahost *h, int level) {
    h->log_counts[place_of(level)]++;
}

void ahost__log_push_counts(lua_State *L, const ahost *h) {
    lua_createtable(L, 0, AHOST__LOG_LEVELS);
    for (int i = 0; i < AHOST__LOG_LEVELS; i++) {
        lua_pushinteger(L, (lua_Integer)h->log_counts[i]);
        lua_setfield(L, -2, levels[i].name);
    }
}

int ahost__check_log_level(lua_State *L, int arg) {
    const char *name = luaL_checkstring(L, arg);
    for (int i = 0; i < AHOST__LOG_LEVELS; i++)
        if (strcmp(levels[i].name, name) == 0)
            return levels[i].level;
    return luaL_argerror(
        L, arg,
        lua_pushfstring(L,
                        "no log level '%s' (debug, info, notice, warning, "
                        "error or critical expected)",
                        name));
}

static rule *next_rule(const ahost *h, const ahost__link *link) {
    return link->next == &h->log_rules
               ? NULL
               : ahost__container_of(link->next, rule, link);
}

/* Whether the rule is about the logger or one above it. */
static int covers(const rule *r, const char *logger) {
    return strncmp(r->name, logger, r->length) == 0 &&
           (logger[r->length] == '.' || logger[r->length] == '\0');
}

int ahost__log_level(const ahost *h, const char *logger) {
    size_t nearest = 0;
    int level = h->log_level;
    const rule *r = next_rule(h, &h->log_rules);
    for (; r != NULL; r = next_rule(h, &r->link))
        if (r->length > nearest && covers(r, logger)) {
            nearest = r->length;
            level = r->level;
        }
    return level;
}

int ahost__log_heard(const ahost *h) {
    return h->log != NULL || h->logging != NULL ||
           !ahost__list_empty(&h->captures);
}

int ahost__log_wants(const ahost *h, const char *logger, int level) {
    if (!ahost__log_heard(h))
        return 0;
    return level >= ahost__log_level(h, logger);
}

static rule *find_rule(const ahost *h, const char *logger) {
    rule *r = next_rule(h, &h->log_rules);
    while (r != NULL && strcmp(r->name, logger) != 0)
        r = next_rule(h, &r->link);
    return r;
}

static void free_rule(ahost *h, rule *r) {
    ahost__list_remove(&r->link);
    ahost__free(h, r, r->size);
}

static rule *add_rule(ahost *h, const char *logger) {
    size_t length = strlen(logger), size = sizeof(rule) + length + 1;
    rule *r = ahost__alloc(h, size);
    if (r == NULL)
        return NULL;
    r->size = size;
    r->length = length;
    memcpy(r->name, logger, length + 1);
    ahost__list_append(&h->log_rules, &r->link);
    return r;
}

int ahost__log_set_level(ahost *h, const char *logger, int level) {
    rule *r = find_rule(h, logger);
    h->log_version++;
    if (*logger == '\0') {
        h->log_level = level != 0 ? level : AHOST_LOG_NOTICE;
        return 1;
    }
    if (level == 0) {
        if (r != NULL)
            free_rule(h, r);
        return 1;
    }
    if (r == NULL)
        r = add_rule(h, logger);
    if (r != NULL)
        r->level = level;
    return r != NULL;
}

void ahost__log_levels_free(ahost *h) {
    while (!ahost__list_empty(&h->log_rules))
        free_rule(h, next_rule(h, &h->log_rules));
}
