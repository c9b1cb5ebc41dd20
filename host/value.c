/*
 * value.c - ahost_value: plain data of a program in C, without any Lua.
 *
 * A value knows the list or map that it is in, so that none is freed twice and
 * none can contain itself.
 */
#include "value.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- making ------------------------------------------------------------- */

static ahost_value *make(ahost_kind kind) {
    ahost_value *value = calloc(1, sizeof(*value));
    if (value != NULL)
        value->kind = kind;
    return value;
}

ahost_value *ahost_make_null(void) {
    return make(AHOST_NULL);
}

ahost_value *ahost_make_boolean(int boolean) {
    ahost_value *value = make(AHOST_BOOLEAN);
    if (value != NULL)
        value->as.integer = boolean != 0;
    return value;
}

ahost_value *ahost_make_integer(int64_t integer) {
    ahost_value *value = make(AHOST_INTEGER);
    if (value != NULL)
        value->as.integer = integer;
    return value;
}

ahost_value *ahost_make_number(double number) {
    ahost_value *value = make(AHOST_NUMBER);
    if (value != NULL)
        value->as.number = number;
    return value;
}

ahost_value *ahost__make_text(ahost_kind kind, const void *bytes, size_t size) {
    ahost_value *value = make(kind);
    if (value == NULL)
        return NULL;
    value->as.text.bytes = size < SIZE_MAX ? malloc(size + 1) : NULL;
    if (value->as.text.bytes == NULL) {
        free(value);
        return NULL;
    }
    if (size > 0)
        memcpy(value->as.text.bytes, bytes, size);
    value->as.text.bytes[size] = '\0';
    value->as.text.size = size;
    return value;
}

ahost_value *ahost_make_bytes(const void *bytes, size_t size) {
    if (bytes == NULL && size > 0)
        return NULL;
    return ahost__make_text(AHOST_STRING, bytes, size);
}

ahost_value *ahost_make_string(const char *text) {
    return text != NULL ? ahost_make_bytes(text, strlen(text)) : NULL;
}

ahost_value *ahost_make_list(void) {
    return make(AHOST_LIST);
}

ahost_value *ahost_make_map(void) {
    return make(AHOST_MAP);
}

ahost_value *ahost__make_pointer(void *pointer, const ahost_type *type) {
    ahost_value *value = make(AHOST_POINTER);
    if (value != NULL) {
        value->as.pointer.address = pointer;
        value->as.pointer.type = type;
    }
    return value;
}

/* ---- freeing ------------------------------------------------------------ */

static int is_container(const ahost_value *value) {
    return value->kind == AHOST_LIST || value->kind == AHOST_MAP;
}

/* Frees what is in a value; its items go to the list *rest, by `parent`. */
static void free_content(ahost_value *value, ahost_value **rest) {
    if (value->kind == AHOST_STRING || value->kind == AHOST_OTHER)
        free(value->as.text.bytes);
    if (!is_container(value))
        return;
    for (size_t i = 0; i < value->as.items.count; i++) {
        ahost_value *item = value->as.items.values[i];
        item->parent = *rest;
        *rest = item;
        if (value->kind == AHOST_MAP)
            free(value->as.items.names[i]);
    }
    free(value->as.items.values);
    free(value->as.items.names);
}

/* Without recursion, for a value may be nested as deeply as anybody likes. */
static void free_all(ahost_value *value) {
    value->parent = NULL;
    while (value != NULL) {
        ahost_value *rest = value->parent;
        free_content(value, &rest);
        free(value);
        value = rest;
    }
}

void ahost_value_free(ahost_value *value) {
    if (value != NULL && value->parent == NULL)
        free_all(value);
}

/* ---- filling ------------------------------------------------------------ */

static int mark_broken(ahost_value *value) {
    for (; value != NULL; value = value->parent)
        value->broken = 1;
    return AHOST_NO_MEMORY;
}

/* Whether the value is the list or map, or around it. */
static int contains(const ahost_value *value, const ahost_value *container) {
    while (container != NULL && container != value)
        container = container->parent;
    return container != NULL;
}

/* Makes room for one more; false for want of memory. */
static int grow(ahost_value *value) {
    size_t capacity = value->as.items.capacity;
    void *grown;
    if (value->as.items.count < capacity)
        return 1;
    capacity = capacity != 0 ? capacity * 2 : 4;
    grown = realloc(value->as.items.values, capacity * sizeof(ahost_value *));
    if (grown == NULL)
        return 0;
    value->as.items.values = grown;
    if (value->kind == AHOST_MAP) {
        grown = realloc(value->as.items.names, capacity * sizeof(char *));
        if (grown == NULL)
            return 0;
        value->as.items.names = grown;
    }
    value->as.items.capacity = capacity;
    return 1;
}

/* Takes over an item that can be put there. `name` is taken over, too. */
static int add(ahost_value *container, char *name, ahost_value *item) {
    if (!grow(container)) {
        free(name);
        free_all(item);
        return mark_broken(container);
    }
    if (name != NULL)
        container->as.items.names[container->as.items.count] = name;
    container->as.items.values[container->as.items.count++] = item;
    item->parent = container;
    return item->broken ? mark_broken(container) : AHOST_OK;
}

/* AHOST_OK when the item can be taken over by a value of that kind; else the
 * item is freed, unless that would be the end of the container, too. */
static int check_item(ahost_value *container, ahost_kind kind,
                      ahost_value *item) {
    if (item != NULL && contains(item, container))
        return AHOST_MISUSE;
    if (container == NULL || container->kind != kind) {
        ahost_value_free(item);
        return container == NULL ? AHOST_NO_MEMORY : AHOST_MISUSE;
    }
    if (item == NULL)
        return mark_broken(container);
    return item->parent == NULL ? AHOST_OK : AHOST_MISUSE;
}

int ahost_list_add(ahost_value *list, ahost_value *item) {
    int err = check_item(list, AHOST_LIST, item);
    return err == AHOST_OK ? add(list, NULL, item) : err;
}

/* The place of a field, or the number of fields. */
static size_t find(const ahost_value *map, const char *name) {
    size_t i = 0;
    while (i < map->as.items.count && strcmp(map->as.items.names[i], name) != 0)
        i++;
    return i;
}

int ahost__map_add(ahost_value *map, const char *name, ahost_value *field) {
    char *copy = strdup(name);
    if (copy == NULL) {
        free_all(field);
        return mark_broken(map);
    }
    return add(map, copy, field);
}

int ahost_map_set(ahost_value *map, const char *name, ahost_value *field) {
    int err = check_item(map, AHOST_MAP, field);
    size_t at;
    if (err != AHOST_OK)
        return err;
    if (name == NULL) {
        free_all(field);
        return AHOST_MISUSE;
    }
    at = find(map, name);
    if (at == map->as.items.count)
        return ahost__map_add(map, name, field);
    free_all(map->as.items.values[at]);
    map->as.items.values[at] = field;
    field->parent = map;
    return field->broken ? mark_broken(map) : AHOST_OK;
}

/* ---- reading ------------------------------------------------------------ */

ahost_kind ahost_value_kind(const ahost_value *value) {
    return value != NULL ? value->kind : AHOST_NULL;
}

int ahost_value_boolean(const ahost_value *value, int fallback) {
    return ahost_value_kind(value) == AHOST_BOOLEAN ? (int)value->as.integer
                                                    : fallback;
}

int64_t ahost_value_integer(const ahost_value *value, int64_t fallback) {
    static const double limit = 9223372036854775808.0; /* 2^63 */
    double number;
    if (ahost_value_kind(value) == AHOST_INTEGER)
        return value->as.integer;
    if (ahost_value_kind(value) != AHOST_NUMBER)
        return fallback;
    number = value->as.number;
    if (floor(number) != number || number < -limit || number >= limit)
        return fallback;
    return (int64_t)number;
}

double ahost_value_number(const ahost_value *value, double fallback) {
    if (ahost_value_kind(value) == AHOST_NUMBER)
        return value->as.number;
    return ahost_value_kind(value) == AHOST_INTEGER ? (double)value->as.integer
                                                    : fallback;
}

const char *ahost_value_string(const ahost_value *value, size_t *size) {
    ahost_kind kind = ahost_value_kind(value);
    int is_text = kind == AHOST_STRING || kind == AHOST_OTHER;
    if (size != NULL)
        *size = is_text ? value->as.text.size : 0;
    return is_text ? value->as.text.bytes : NULL;
}

size_t ahost_value_count(const ahost_value *value) {
    return value != NULL && is_container(value) ? value->as.items.count : 0;
}

const ahost_value *ahost_list_item(const ahost_value *list, size_t index) {
    if (ahost_value_kind(list) != AHOST_LIST || index >= list->as.items.count)
        return NULL;
    return list->as.items.values[index];
}

const ahost_value *ahost_map_get(const ahost_value *map, const char *name) {
    size_t at;
    if (ahost_value_kind(map) != AHOST_MAP || name == NULL)
        return NULL;
    at = find(map, name);
    return at < map->as.items.count ? map->as.items.values[at] : NULL;
}

const char *ahost_map_entry(const ahost_value *map, size_t index,
                            const ahost_value **field) {
    int found =
        ahost_value_kind(map) == AHOST_MAP && index < map->as.items.count;
    if (field != NULL)
        *field = found ? map->as.items.values[index] : NULL;
    return found ? map->as.items.names[index] : NULL;
}

/* ---- copying ------------------------------------------------------------ */

static ahost_value *copy(const ahost_value *value, int depth);

static ahost_value *copy_items(const ahost_value *value, int depth) {
    ahost_value *result = make(value->kind);
    int err = result != NULL && depth < AHOST__VALUE_DEPTH ? AHOST_OK
                                                           : AHOST_NO_MEMORY;
    for (size_t i = 0; err == AHOST_OK && i < value->as.items.count; i++) {
        ahost_value *item = copy(value->as.items.values[i], depth + 1);
        if (item == NULL)
            err = AHOST_NO_MEMORY;
        else if (value->kind == AHOST_LIST)
            err = add(result, NULL, item);
        else
            err = ahost__map_add(result, value->as.items.names[i], item);
    }
    if (err == AHOST_OK)
        return result;
    ahost_value_free(result);
    return NULL;
}

static ahost_value *copy(const ahost_value *value, int depth) {
    ahost_value *result;
    if (value->broken)
        return NULL;
    if (is_container(value))
        return copy_items(value, depth);
    if (value->kind == AHOST_STRING || value->kind == AHOST_OTHER)
        return ahost__make_text(value->kind, value->as.text.bytes,
                                value->as.text.size);
    result = make(value->kind);
    if (result != NULL)
        result->as = value->as;
    return result;
}

ahost_value *ahost_value_copy(const ahost_value *value) {
    return value != NULL ? copy(value, 0) : NULL;
}
