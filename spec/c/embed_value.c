/*
 * embed_value.c - ahost_value: building, reading, ownership; no host at all.
 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "ahost.h"

static void test_scalars(void) {
    ahost_value *v = ahost_make_integer(INT64_MIN);
    size_t size;
    assert(ahost_value_kind(v) == AHOST_INTEGER);
    assert(ahost_value_integer(v, 1) == INT64_MIN);
    assert(ahost_value_number(v, 0) == (double)INT64_MIN);
    assert(ahost_value_boolean(v, 7) == 7);
    assert(ahost_value_string(v, &size) == NULL && size == 0);
    ahost_value_free(v);

    v = ahost_make_number(3.0);
    assert(ahost_value_integer(v, 0) == 3);
    ahost_value_free(v);
    v = ahost_make_number(3.5);
    assert(ahost_value_integer(v, -1) == -1);
    ahost_value_free(v);
    v = ahost_make_number(1e300);
    assert(ahost_value_integer(v, -1) == -1);
    ahost_value_free(v);
    v = ahost_make_number(NAN);
    assert(ahost_value_integer(v, -1) == -1);
    ahost_value_free(v);

    v = ahost_make_bytes("a\0b", 3);
    assert(memcmp(ahost_value_string(v, &size), "a\0b", 4) == 0 && size == 3);
    ahost_value_free(v);
    v = ahost_make_bytes(NULL, 0);
    assert(strcmp(ahost_value_string(v, NULL), "") == 0);
    ahost_value_free(v);
}

static void test_nothing(void) {
    const ahost_value *field = NULL;
    assert(ahost_make_string(NULL) == NULL);
    assert(ahost_value_kind(NULL) == AHOST_NULL);
    assert(ahost_value_integer(NULL, 5) == 5);
    assert(ahost_value_number(NULL, 5) == 5);
    assert(ahost_value_boolean(NULL, 5) == 5);
    assert(ahost_value_string(NULL, NULL) == NULL);
    assert(ahost_value_count(NULL) == 0);
    assert(ahost_list_item(NULL, 0) == NULL);
    assert(ahost_map_get(NULL, "x") == NULL);
    assert(ahost_map_entry(NULL, 0, &field) == NULL && field == NULL);
    assert(ahost_value_copy(NULL) == NULL);
    assert(ahost_list_add(NULL, NULL) == AHOST_NO_MEMORY);
    ahost_value_free(NULL);
}

static ahost_value *sample(void) {
    ahost_value *map = ahost_make_map(), *list = ahost_make_list();
    for (int i = 0; i < 20; i++)
        assert(ahost_list_add(list, ahost_make_integer(i)) == AHOST_OK);
    assert(ahost_map_set(map, "list", list) == AHOST_OK);
    assert(ahost_map_set(map, "name", ahost_make_string("a")) == AHOST_OK);
    assert(ahost_map_set(map, "none", ahost_make_null()) == AHOST_OK);
    assert(ahost_map_set(map, "name", ahost_make_string("b")) == AHOST_OK);
    return map;
}

static void check_sample(const ahost_value *map) {
    const ahost_value *field;
    assert(ahost_value_count(map) == 3);
    assert(strcmp(ahost_map_entry(map, 1, &field), "name") == 0);
    assert(strcmp(ahost_value_string(field, NULL), "b") == 0);
    assert(ahost_map_entry(map, 3, &field) == NULL && field == NULL);
    assert(ahost_value_kind(ahost_map_get(map, "none")) == AHOST_NULL);
    assert(ahost_map_get(map, "none") != NULL);
    assert(ahost_map_get(map, "other") == NULL);
    field = ahost_map_get(map, "list");
    assert(ahost_value_count(field) == 20);
    assert(ahost_value_integer(ahost_list_item(field, 19), -1) == 19);
    assert(ahost_list_item(field, 20) == NULL);
    assert(ahost_map_get(field, "x") == NULL);
}

static void test_containers(void) {
    ahost_value *map = sample(), *copy = ahost_value_copy(map);
    check_sample(map);
    ahost_value_free(map);
    check_sample(copy);
    ahost_value_free(copy);
}

/* What is put into something is owned by that, once, in every case. */
static void test_ownership(void) {
    ahost_value *list = ahost_make_list(), *other = ahost_make_list();
    ahost_value *item = ahost_make_integer(1);
    assert(ahost_list_add(list, item) == AHOST_OK);
    assert(ahost_list_add(list, item) == AHOST_MISUSE);
    assert(ahost_list_add(other, item) == AHOST_MISUSE);
    ahost_value_free(item); /* not ours any more: harmless */
    assert(ahost_value_count(list) == 1);
    assert(ahost_list_add(list, list) == AHOST_MISUSE);
    assert(ahost_list_add(other, list) == AHOST_OK);
    assert(ahost_list_add(list, other) == AHOST_MISUSE); /* a circle */
    assert(ahost_map_set(list, "x", ahost_make_null()) == AHOST_MISUSE);
    assert(ahost_list_add(item, ahost_make_null()) == AHOST_MISUSE);
    ahost_value_free(other);
    list = ahost_make_map();
    assert(ahost_map_set(list, NULL, ahost_make_null()) == AHOST_MISUSE);
    ahost_value_free(list);
}

/* A want of memory is noticed at the end, not at each step. */
static void test_broken(void) {
    ahost_value *list = ahost_make_list(), *map = ahost_make_map();
    assert(ahost_map_set(map, "list", list) == AHOST_OK);
    assert(ahost_list_add(list, NULL) == AHOST_NO_MEMORY);
    assert(ahost_list_add(list, ahost_make_null()) == AHOST_OK);
    assert(ahost_value_copy(map) == NULL);
    ahost_value_free(map);
}

static void test_depth(void) {
    ahost_value *outer = ahost_make_list();
    for (int i = 0; i < 100000; i++) {
        ahost_value *next = ahost_make_list();
        assert(ahost_list_add(next, outer) == AHOST_OK);
        outer = next;
    }
    assert(ahost_value_copy(outer) == NULL);
    ahost_value_free(outer); /* without as deep a stack */
}

int main(void) {
    test_scalars();
    test_nothing();
    test_containers();
    test_ownership();
    test_broken();
    test_depth();
    return 0;
}
