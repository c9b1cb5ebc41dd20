/*
 * utf8.h - what is valid UTF-8.
 */
#ifndef AHOST_UTF8_H
#define AHOST_UTF8_H

#include <stddef.h>

/* The length of the character that begins at p, which is no ASCII; 0 if it is
 * not valid. */
size_t ahost__utf8_length(const char *p, const char *end);

/* The first byte of s that does not belong to valid UTF-8, or NULL. */
const char *ahost__utf8_fault(const char *s, size_t length);

#endif
