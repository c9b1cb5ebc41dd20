/*
 * number.h - numbers as text.
 */
#ifndef AHOST_NUMBER_H
#define AHOST_NUMBER_H

#include <stddef.h>

/* Enough for any float. */
enum { AHOST__FLOAT_SIZE = 32 };

/* Writes the shortest text that reads as the same finite float; it has a point
 * or an exponent, whatever the locale. */
void ahost__print_float(double x, char *text, size_t size);

#endif
