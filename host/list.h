/*
 * list.h - intrusive doubly linked lists.
 *
 * A list is a link whose neighbours are its first and last elements; an empty
 * list points at itself. A link outside every list is {NULL, NULL}, so that
 * removing twice is harmless.
 */
#ifndef AHOST_LIST_H
#define AHOST_LIST_H

#include <stddef.h>

typedef struct ahost__link {
    struct ahost__link *prev, *next;
} ahost__link;

#define ahost__container_of(pointer, type, member)                             \
    ((type *)((char *)(pointer)-offsetof(type, member)))

static inline void ahost__list_init(ahost__link *list) {
    list->prev = list->next = list;
}

static inline int ahost__list_empty(const ahost__link *list) {
    return list->next == list;
}

static inline int ahost__linked(const ahost__link *link) {
    return link->next != NULL;
}

static inline void ahost__list_append(ahost__link *list, ahost__link *link) {
    link->prev = list->prev;
    link->next = list;
    list->prev->next = link;
    list->prev = link;
}

static inline void ahost__list_remove(ahost__link *link) {
    if (link->next == NULL)
        return;
    link->prev->next = link->next;
    link->next->prev = link->prev;
    link->prev = link->next = NULL;
}

/* Takes the oldest element off the list; NULL when there is none. */
static inline ahost__link *ahost__list_shift(ahost__link *list) {
    ahost__link *first = list->next;
    if (first == list)
        return NULL;
    ahost__list_remove(first);
    return first;
}

#endif
